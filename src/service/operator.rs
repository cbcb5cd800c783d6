//! What an operator does to accounts from the command line, beside a node that may be running.
//!
//! Nobody is asked for a token: who may read the store's files may do this. A running node follows
//! within 2 s, by its job `revocations`.

use super::accounts::{self, Details};
use super::export::{self, Archive};
use super::{Error, Result, erasure};
use crate::api::SignUp;
use crate::app::App;
use crate::domain::{Page, Password, User, UserId, Words};
use crate::store::UserChange;

/// Makes an account, also where sign-up is closed. The very first one administers anyway.
///
/// # Errors
///
/// [`Error::Invalid`]; [`Error::Conflict`] for a taken address or name; [`Error::Unavailable`].
pub async fn create_user(app: &App, account: SignUp, is_admin: bool) -> Result<User> {
    accounts::create(app, Details::parse(app, account)?, is_admin).await
}

/// Gives an account another password. Every token and socket of it ends.
///
/// # Errors
///
/// [`Error::NotFound`] if no account has this name or address; [`Error::Invalid`] for what can be no
/// password; [`Error::Unavailable`].
pub async fn reset_password(app: &App, login: &str, password: String) -> Result<User> {
    let min = app.config.auth.password_min_bytes;
    let password = Password::parse("password", password, min)?;
    let user = user_of(app, login).await?;
    let password_hash = Some(app.passwords.hash(password).await?);
    let change = UserChange { password_hash, revoke: true, ..UserChange::default() };
    Ok(app.store.update_user(user.id, change).await?)
}

/// Ends every token and socket of an account.
///
/// # Errors
///
/// [`Error::NotFound`] if no account has this name or address; [`Error::Unavailable`].
pub async fn revoke_sessions(app: &App, login: &str) -> Result<User> {
    let user = user_of(app, login).await?;
    accounts::revoke(app, user.id).await?;
    Ok(user)
}

/// Accounts in the order in which they were made, those behind `after`. None is the end.
///
/// # Errors
///
/// [`Error::Unavailable`].
pub async fn list_users(app: &App, after: Option<UserId>) -> Result<Vec<User>> {
    let page = Page { after, ..Page::first(Page::<UserId>::MAX) };
    Ok(app.store.users(page).await?)
}

/// Deletes an account and has everything erased that tells of its person, which a running node, or else the next one, begins
/// within seconds. `login` may be an id, also of an account that is deleted.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Conflict`] for the last administrator; [`Error::Unavailable`].
pub async fn erase_user(app: &App, login: &str, words: Words) -> Result<UserId> {
    let user = match login.parse() {
        Ok(id) => id,
        Err(_no_id) => user_of(app, login).await?.id,
    };
    erasure::begin(app, user, words).await.map(|begun| begun.id)
}

/// Begins the archive of everything that is kept of an account.
///
/// # Errors
///
/// [`Error::NotFound`] if no account has this name or address; [`Error::Unavailable`].
pub async fn export_user(app: &App, login: &str) -> Result<Archive> {
    let user = user_of(app, login).await?;
    export::of(app, user.id).await
}

async fn user_of(app: &App, login: &str) -> Result<User> {
    let found = app.store.user_by_login(login).await?;
    found.map(|(user, _hash)| user).ok_or(Error::NotFound("The account was"))
}
