//! Accounts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Timestamp, User, UserId};

/// An account, as itself and administrators see it.
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
    /// Whether it is shut.
    pub is_disabled: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
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
            is_disabled: user.is_disabled,
            created_at: user.created_at,
        }
    }
}

/// A person as members of the same rooms see them.
#[derive(Debug, Clone, Serialize, ToSchema)]
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

/// `POST /signup`.
#[derive(Deserialize, ToSchema)]
pub struct SignUp {
    /// An e-mail address.
    pub email: String,
    /// The name that others see.
    pub username: String,
    /// At most 72 bytes.
    pub password: String,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// `bearer`.
    pub token_type: &'static str,
    /// Seconds until it expires.
    pub expires_in: u64,
}
