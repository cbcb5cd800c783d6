//! Accounts: making them, signing in, passwords, revocation, finding people.

use std::net::IpAddr;

use super::{Error, Result, new_id, sessions};
use crate::api::{PasswordChange, SignIn, SignUp, TokenView};
use crate::app::App;
use crate::config::Signup;
use crate::domain::text::fold;
use crate::domain::{Email, Page, Password, Timestamp, User, UserId, Username};
use crate::metrics::LoginFailure;
use crate::store::{NewUser, UserChange};

/// What an account is made of, checked.
pub(crate) struct Details {
    pub(crate) email: Email,
    pub(crate) username: Username,
    pub(crate) password: Password,
}

impl Details {
    /// Checks every field, and tells of all that are wrong.
    pub(crate) fn parse(app: &App, given: SignUp) -> Result<Self> {
        let min = app.config.auth.password_min_bytes;
        let email = Email::parse(given.email);
        let username = Username::parse(given.username);
        let password = Password::parse("password", given.password, min);
        match (email, username, password) {
            (Ok(email), Ok(username), Ok(password)) => Ok(Self { email, username, password }),
            (email, username, password) => {
                let wrong = [email.err(), username.err(), password.err()];
                Err(Error::Invalid(wrong.into_iter().flatten().collect()))
            }
        }
    }
}

/// Makes an account for whoever asks from `address`. The very first one administers.
///
/// # Errors
///
/// [`Error::SignupClosed`]; [`Error::Invalid`]; [`Error::RateLimited`]; [`Error::Overloaded`];
/// [`Error::Conflict`] for a taken address or name, which costs as much as making an account.
pub(crate) async fn sign_up(app: &App, address: IpAddr, given: SignUp) -> Result<User> {
    if app.config.signup == Signup::Closed {
        return Err(Error::SignupClosed);
    }
    let details = Details::parse(app, given)?;
    app.limits.sign_up(address)?;
    create(app, details, false).await
}

/// Makes an account, without asking who wants it.
pub(crate) async fn create(app: &App, details: Details, is_admin: bool) -> Result<User> {
    let password_hash = app.passwords.hash(details.password).await?;
    let user = NewUser {
        id: new_id(UserId::new),
        email: details.email,
        username: details.username,
        password_hash,
        is_admin,
        created_at: Timestamp::now(),
    };
    Ok(app.store.create_user(user).await?)
}

/// A token for whoever knows the password. Costs one call of bcrypt, whoever is asked for.
///
/// # Errors
///
/// [`Error::RateLimited`] by account and address; [`Error::Overloaded`]; [`Error::Unauthorized`], the same for
/// somebody unknown, a wrong password and a disabled account.
pub(crate) async fn sign_in(app: &App, address: IpAddr, given: SignIn) -> Result<TokenView> {
    let signed_in = token_for(app, address, given).await;
    let accounts = &app.metrics.accounts;
    let failed = |reason| accounts.login_failures.of(reason).inc();
    match &signed_in {
        Ok(_) => accounts.logins.inc(),
        Err(Error::Unauthorized(_)) => failed(LoginFailure::Credentials),
        Err(Error::RateLimited { .. }) => failed(LoginFailure::RateLimited),
        Err(Error::Overloaded) => failed(LoginFailure::Overloaded),
        Err(_) => {}
    }
    signed_in
}

async fn token_for(app: &App, address: IpAddr, given: SignIn) -> Result<TokenView> {
    let login = login_name(&given.username);
    app.limits.login(login.as_deref().unwrap_or_default(), address)?;
    let found = match login {
        Some(login) => app.store.user_by_login(&login).await?,
        None => None,
    };
    let (user, hash) = found.unzip();
    let is_right = app.passwords.verify(given.password, hash).await?;
    let user = user.filter(|user| is_right && !user.is_disabled);
    let user = user.ok_or(Error::Unauthorized("The username or the password is wrong."))?;
    sessions::issue(app, &user, Timestamp::now())
}

/// The folded form of what somebody signs in with; `None` for what is longer than any address or name.
fn login_name(given: &str) -> Option<String> {
    (given.len() <= 4 * Email::MAX_BYTES).then(|| fold(given.trim()))
}

/// Changes the password of `user`, who knows the current one. Every older token and socket ends; the answer is
/// a new token.
///
/// # Errors
///
/// [`Error::Forbidden`] if `current_password` is another; [`Error::Invalid`] for the new one;
/// [`Error::RateLimited`] like signing in.
pub(crate) async fn change_password(
    app: &App,
    user: User,
    address: IpAddr,
    change: PasswordChange,
) -> Result<TokenView> {
    let min = app.config.auth.password_min_bytes;
    let new = Password::parse("new_password", change.new_password, min)?;
    app.limits.login(&user.username.folded(), address)?;
    let hash = app.store.password_hash(user.id).await?;
    if !app.passwords.verify(change.current_password, hash).await? {
        return Err(Error::Forbidden("The current password is another."));
    }
    let password_hash = Some(app.passwords.hash(new).await?);
    let change = UserChange { password_hash, revoke: true, ..UserChange::default() };
    let user = app.store.update_user(user.id, change).await?;
    app.rooms.revoke(user.id, Some(user.generation));
    sessions::issue(app, &user, Timestamp::now())
}

/// Ends every token and every socket of a user. The generation is raised first, so that no socket that opens
/// meanwhile is missed: it is verified by the new one.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Unavailable`].
pub(crate) async fn revoke(app: &App, user: UserId) -> Result<()> {
    let change = UserChange { revoke: true, online_until: Some(None), ..UserChange::default() };
    let account = app.store.update_user(user, change).await?;
    app.rooms.revoke(user, Some(account.generation));
    Ok(())
}

/// Declares a user to be online until then, or not.
///
/// # Errors
///
/// [`Error::Unavailable`].
pub(crate) async fn declare_online(
    app: &App,
    user: UserId,
    until: Option<Timestamp>,
) -> Result<()> {
    let change = UserChange { online_until: Some(until), ..UserChange::default() };
    app.store.update_user(user, change).await?;
    Ok(())
}

/// People whose name begins with `name`, in upper or lower case, every character of it meant literally.
///
/// # Errors
///
/// [`Error::Invalid`] for an empty name, which would list everybody; [`Error::Unavailable`].
pub(crate) async fn find(app: &App, name: &str, page: Page<UserId>) -> Result<Vec<User>> {
    if name.is_empty() {
        return Err(Error::invalid("name", "must not be empty"));
    }
    // Folding can make four bytes of a character out of one; nothing longer begins any name.
    if name.chars().count() > Username::MAX_CHARS {
        return Ok(Vec::new());
    }
    Ok(app.store.users_by_name(&fold(name), page).await?)
}

/// Makes the administrator of `auth.admin_*`, at the first start: nothing while there is an administrator, so
/// a password that stands in a file opens nothing later.
///
/// # Errors
///
/// [`Error::Invalid`] if what is configured can be no account; [`Error::Conflict`] if the address or name is
/// another account's; [`Error::Unavailable`].
pub async fn ensure_first_admin(app: &App) -> Result<()> {
    let Some(wanted) = &app.config.auth.first_admin else { return Ok(()) };
    let given = SignUp {
        email: wanted.email.clone(),
        username: wanted.username.clone(),
        password: wanted.password.expose().to_owned(),
    };
    let details = Details::parse(app, given)?;
    if has_admin(app).await? {
        return Ok(());
    }
    let user = create(app, details, true).await?;
    tracing::info!(user.id = %user.id, "made the first administrator");
    Ok(())
}

async fn has_admin(app: &App) -> Result<bool> {
    let mut page = Page::first(Page::<UserId>::MAX);
    loop {
        let users = app.store.users(page).await?;
        if users.iter().any(|user| user.is_admin && !user.is_disabled) {
            return Ok(true);
        }
        let Some(last) = users.last() else { return Ok(false) };
        page.after = Some(last.id);
    }
}
