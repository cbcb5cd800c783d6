//! How failures are told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The stable code of a failure, the same over HTTP and sockets. The list is closed; docs/PROTOCOL.md says
/// what each means and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Correct the request.
    Invalid,
    /// The e-mail address is another account's.
    EmailTaken,
    /// The username is another account's.
    UsernameTaken,
    /// The user is in the room already.
    AlreadyMember,
    /// The user has asked already.
    AlreadyRequested,
    /// The room is the caller's own.
    OwnRoom,
    /// The join request has been answered.
    AlreadyHandled,
    /// A private room needs two people.
    PrivateWithOneself,
    /// There must be an administrator.
    LastAdmin,
    /// Sign in (again).
    Unauthorized,
    /// Not theirs to do.
    Forbidden,
    /// The operator lets nobody sign up.
    SignupClosed,
    /// It is not, or the caller may not know that it is.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The state does not allow it.
    Conflict,
    /// The `client_id` stands for other content.
    ClientIdConflict,
    /// More bytes than allowed.
    TooLarge,
    /// The body's type is not one that is read here.
    UnsupportedMediaType,
    /// Too much in too short a time.
    RateLimited,
    /// A queue is full.
    Overloaded,
    /// A part behind the server does not answer.
    Unavailable,
    /// The outcome is not known: send the same `client_id` again.
    Unknown,
    /// This node is going.
    Draining,
    /// The media store is full.
    StorageFull,
    /// A fault of the server.
    Internal,
}

/// The body of every failure over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// One sentence.
    pub detail: String,
    /// The stable code.
    pub code: ErrorCode,
    /// With a 422: which fields are wrong, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One field that breaks a rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The field as the request names it; `body` for the whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}
