//! Accounts in the hands of an administrator.

use super::accounts::{self, Details};
use super::{Error, Result, memberships};
use crate::api::{AccountChange, NewAccount, SignUp};
use crate::app::App;
use crate::domain::{Email, Page, Password, User, UserId, Username};
use crate::store::UserChange;

/// All accounts, in the order in which they were made.
///
/// # Errors
///
/// [`Error::Unavailable`].
pub(crate) async fn users(app: &App, page: Page<UserId>) -> Result<Vec<User>> {
    Ok(app.store.users(page).await?)
}

/// An account, also a disabled one.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Unavailable`].
pub(crate) async fn user(app: &App, id: UserId) -> Result<User> {
    app.store.user(id).await?.ok_or(Error::NotFound("User"))
}

/// Makes an account, also while sign-up is closed.
///
/// # Errors
///
/// [`Error::Invalid`]; [`Error::Conflict`] for a taken address or name; [`Error::Overloaded`].
pub async fn create_user(app: &App, given: NewAccount) -> Result<User> {
    let NewAccount { email, username, password, is_admin } = given;
    let details = Details::parse(app, SignUp { email, username, password })?;
    accounts::create(app, details, is_admin).await
}

/// Changes an account. A new password and disabling end its tokens and sockets at once.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] for a taken address or name, and if nobody would
/// be left to administer.
pub async fn change_user(app: &App, id: UserId, given: AccountChange) -> Result<User> {
    user(app, id).await?;
    let revoke = given.password.is_some() || given.is_disabled == Some(true);
    let mut change = UserChange {
        is_admin: given.is_admin,
        is_disabled: given.is_disabled,
        online_until: revoke.then_some(None),
        revoke,
        ..UserChange::default()
    };
    let password = check(app, given.email, given.username, given.password, &mut change)?;
    if let Some(password) = password {
        change.password_hash = Some(app.passwords.hash(password).await?);
    }
    let user = app.store.update_user(id, change).await.map_err(found_before)?;
    if revoke {
        app.rooms.revoke(id, Some(user.generation));
    }
    Ok(user)
}

/// Checks the texts of a change, and tells of all that are wrong.
fn check(
    app: &App,
    email: Option<String>,
    username: Option<String>,
    password: Option<String>,
    change: &mut UserChange,
) -> Result<Option<Password>> {
    let min = app.config.auth.password_min_bytes;
    let email = email.map(Email::parse).transpose();
    let username = username.map(Username::parse).transpose();
    let password = password.map(|text| Password::parse("password", text, min)).transpose();
    match (email, username, password) {
        (Ok(email), Ok(username), Ok(password)) => {
            (change.email, change.username) = (email, username);
            Ok(password)
        }
        (email, username, password) => {
            let wrong = [email.err(), username.err(), password.err()];
            Err(Error::Invalid(wrong.into_iter().flatten().collect()))
        }
    }
}

/// Deletes an account: its tokens and sockets end at once, its address and name are free, and it leaves its
/// rooms by events. Its messages stay.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Conflict`] if nobody would be left to administer; [`Error::Unavailable`].
pub async fn delete_user(app: &App, id: UserId) -> Result<()> {
    app.store.remove_user(id).await.map_err(found_before)?;
    app.rooms.revoke(id, None);
    // The account is gone whatever becomes of this, and the job that ends unfinished deletions takes it up.
    if let Err(error) = memberships::end_all(app, id).await {
        tracing::warn!(user.id = %id, error = &error as &dyn std::error::Error, "a deleted user leaves rooms later");
    }
    Ok(())
}

/// Names what the store did not find.
fn found_before(error: crate::store::StoreError) -> Error {
    match error {
        crate::store::StoreError::NotFound => Error::NotFound("User"),
        error => error.into(),
    }
}
