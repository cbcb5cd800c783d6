//! Accounts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Timestamp, User, UserId};

/// An account, as itself sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// Its name.
    pub username: String,
    /// Whether it is connected, or declares to be online.
    pub is_online: bool,
    /// Whether it administers.
    pub is_admin: bool,
}

impl UserView {
    /// `user`, who is online or not.
    pub fn new(user: &User, is_online: bool) -> Self {
        Self {
            id: user.id,
            email: user.email.as_str().to_owned(),
            username: user.username.as_str().to_owned(),
            is_online,
            is_admin: user.is_admin,
        }
    }
}

/// An account, as administrators see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountView {
    /// What the user sees.
    #[serde(flatten)]
    pub user: UserView,
    /// Whether it is shut.
    pub is_disabled: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl AccountView {
    /// `user`, who is online or not.
    pub fn new(user: &User, is_online: bool) -> Self {
        Self {
            user: UserView::new(user, is_online),
            is_disabled: user.is_disabled,
            created_at: user.created_at,
        }
    }
}

/// A person as members of the same rooms see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserBrief {
    /// Their id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Their address.
    pub email: String,
    /// Their name.
    pub username: String,
}

impl From<&User> for UserBrief {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            email: user.email.as_str().to_owned(),
            username: user.username.as_str().to_owned(),
        }
    }
}

/// A person as anybody signed in sees them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserName {
    /// Their id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Their name.
    pub username: String,
}

impl From<&User> for UserName {
    fn from(user: &User) -> Self {
        Self { id: user.id, username: user.username.as_str().to_owned() }
    }
}

/// `POST /signup`.
#[derive(Deserialize, ToSchema)]
pub struct SignUp {
    /// An e-mail address, unique without regard to case.
    #[schema(max_length = 254)]
    pub email: String,
    /// The name that others see, unique without regard to case.
    #[schema(min_length = 1, max_length = 64)]
    pub username: String,
    /// At most 72 bytes of UTF-8, without a NUL.
    #[schema(format = Password)]
    pub password: String,
}

/// `POST /token`: the form of OAuth2's password flow, whose other fields are not looked at.
#[derive(Deserialize, ToSchema)]
pub struct SignIn {
    /// The name or the e-mail address.
    pub username: String,
    /// The password.
    #[schema(format = Password)]
    pub password: String,
}

/// `PUT /users/me/password`.
#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    /// What it is.
    #[schema(format = Password)]
    pub current_password: String,
    /// What it is to be: at most 72 bytes of UTF-8, without a NUL.
    #[schema(format = Password)]
    pub new_password: String,
}

/// `PATCH /admin/users/{id}`: what is not given, or `null`, stays as it is.
#[derive(Deserialize, ToSchema)]
pub struct AccountChange {
    /// A new e-mail address.
    pub email: Option<String>,
    /// A new name.
    pub username: Option<String>,
    /// A new password; it ends every token and socket of the user.
    #[schema(format = Password)]
    pub password: Option<String>,
    /// Whether it administers.
    pub is_admin: Option<bool>,
    /// Whether it is shut, which ends every token and socket of the user.
    pub is_disabled: Option<bool>,
}

/// `POST /admin/users`.
#[derive(Deserialize, ToSchema)]
pub struct NewAccount {
    /// As for `POST /signup`.
    #[schema(max_length = 254)]
    pub email: String,
    /// As for `POST /signup`.
    #[schema(min_length = 1, max_length = 64)]
    pub username: String,
    /// As for `POST /signup`.
    #[schema(format = Password)]
    pub password: String,
    /// Whether it administers.
    #[serde(default)]
    pub is_admin: bool,
}

/// What is to become of what a person has said.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub struct Erasure {
    /// Whether their messages and files stay, without a name. Not, unless said so.
    #[serde(default)]
    #[schema(required = false)]
    pub keep_messages: bool,
}

/// An erasure that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasureView {
    /// Whose account it was.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Whether their messages and files stay, without a name.
    pub keep_messages: bool,
}

/// `PUT /user/online-status`: `true`, `false`, or `{"is_online": ...}`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a boolean, or an object with is_online")]
pub enum OnlineStatus {
    /// The inherited form.
    Bare(bool),
    /// The same as an object.
    Named {
        /// Whether the user is online.
        is_online: bool,
    },
}

impl OnlineStatus {
    /// Whether the user is online.
    pub fn is_online(self) -> bool {
        match self {
            Self::Bare(is_online) | Self::Named { is_online } => is_online,
        }
    }
}

/// The answer to a declared status.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusView {
    /// What is so now, in words.
    pub message: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// `bearer`.
    pub token_type: &'static str,
    /// Seconds until it expires.
    pub expires_in: u64,
}
