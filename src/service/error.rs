//! Why a use case failed, in terms a client can act on.

use std::time::Duration;

use crate::api::ErrorCode;
use crate::config::ByteSize;
use crate::domain::text::Invalid;
use crate::limits::Exceeded;
use crate::media::MediaError;
use crate::passwords::PasswordError;
use crate::room::Refused;
use crate::store::{Conflict, StoreError};

/// Why a use case failed. Each transport renders it once; the sources are for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Parts of the request break rules: all that were found.
    #[error("{}", summary(.0))]
    Invalid(Vec<Invalid>),
    /// An id cannot be one, or a body did not come whole.
    #[error("{0}")]
    Malformed(String),
    /// No valid token, or a wrong password.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// Known, but not theirs to do.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The operator lets nobody sign up.
    #[error("Sign-up is closed on this server.")]
    SignupClosed,
    /// It does not exist, or the caller may not know that it does.
    #[error("{0} not found.")]
    NotFound(&'static str),
    /// The state is already, or cannot be, what was asked for. The code says which case it is.
    #[error("{1}")]
    Conflict(ErrorCode, &'static str),
    /// This `client_id` stands for other content.
    #[error("This client_id was used for a message with other content.")]
    ClientIdConflict,
    /// More bytes than a limit allows.
    #[error("{0}")]
    TooLarge(String),
    /// Too much in too short a time, or too many at once.
    #[error("{detail}")]
    RateLimited {
        /// What there is too much of.
        detail: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// A queue of this node is full.
    #[error("The server is busy; try again shortly.")]
    Overloaded,
    /// A part behind the node does not answer; nothing was changed, or a retry is safe.
    #[error("Temporarily unavailable; try again shortly.")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whether it was stored is not known.
    #[error("The outcome is not known; send it again with the same client_id.")]
    Unknown,
    /// This node is going.
    #[error("This node is shutting down; connect again.")]
    Draining,
    /// The media store has no room left.
    #[error("The file store is full; text messages still work.")]
    StorageFull,
    /// A fault of natter.
    #[error("Internal error.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn summary(errors: &[Invalid]) -> String {
    match errors {
        [] => "The request is malformed.".to_owned(),
        [one] => format!("{} {}.", one.field, one.message),
        [first, rest @ ..] => {
            format!("{} {} (and {} more).", first.field, first.message, rest.len())
        }
    }
}

impl Error {
    /// The stable code of this failure.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) | Self::Malformed(_) => ErrorCode::Invalid,
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::SignupClosed => ErrorCode::SignupClosed,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Conflict(code, _) => *code,
            Self::ClientIdConflict => ErrorCode::ClientIdConflict,
            Self::TooLarge(_) => ErrorCode::TooLarge,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Unknown => ErrorCode::Unknown,
            Self::Draining => ErrorCode::Draining,
            Self::StorageFull => ErrorCode::StorageFull,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// When to try again, for the failures that pass.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Overloaded | Self::Unavailable(_) | Self::Unknown | Self::Draining => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// One field that breaks a rule.
    pub fn invalid(
        field: impl Into<std::borrow::Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::Invalid(vec![Invalid::new(field, message)])
    }

    /// A fault of natter, with what led to it.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(vec![invalid])
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound("It was"),
            StoreError::Conflict(conflict) => conflict.into(),
            StoreError::Unavailable(_)
            | StoreError::Unprepared(_)
            | StoreError::Misconfigured(_) => Self::Unavailable(Box::new(error)),
            StoreError::Malformed(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::NotFound => Self::NotFound("File"),
            MediaError::TooLarge { limit } => {
                let limit = ByteSize::new(limit);
                Self::TooLarge(format!("The file is larger than {limit}."))
            }
            MediaError::Full(_) => Self::StorageFull,
            MediaError::Unavailable(_) => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        let (code, detail) = match conflict {
            Conflict::EmailTaken => (ErrorCode::EmailTaken, "This e-mail address is taken."),
            Conflict::UsernameTaken => (ErrorCode::UsernameTaken, "This username is taken."),
            Conflict::LastAdmin => {
                (ErrorCode::LastAdmin, "The last administrator cannot be removed or demoted.")
            }
            Conflict::AlreadyRequested => {
                (ErrorCode::AlreadyRequested, "You have asked to join this room already.")
            }
            Conflict::AlreadyHandled => {
                (ErrorCode::AlreadyHandled, "This join request has been answered already.")
            }
            Conflict::Attached => (ErrorCode::Conflict, "This attachment belongs to a message."),
        };
        Self::Conflict(code, detail)
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::RateLimited { detail: exceeded.detail, retry_after: exceeded.retry_after }
    }
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::Overloaded,
            PasswordError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound("Room"),
            Refused::Forbidden => Self::Forbidden("Only the owner of the room may do this."),
            Refused::AlreadyMember => {
                Self::Conflict(ErrorCode::AlreadyMember, "This user is in the room already.")
            }
            Refused::NoMember => Self::NotFound("Member"),
            Refused::OwnerStays => Self::Conflict(
                ErrorCode::Conflict,
                "The owner cannot leave; delete the room instead.",
            ),
            Refused::ClientIdConflict => Self::ClientIdConflict,
            Refused::Overloaded => Self::Overloaded,
            Refused::Unknown => Self::Unknown,
            Refused::Unavailable(error) => Self::Unavailable(Box::new(error)),
        }
    }
}
