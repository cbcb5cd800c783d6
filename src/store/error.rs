//! Why a store did not do what was asked.

/// What the ports answer.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why the store did not do what was asked, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was to be changed does not exist.
    #[error("not found")]
    NotFound,
    /// A rule that the store keeps forbids it; nothing was changed.
    #[error("conflict: {0:?}")]
    Conflict(Conflict),
    /// The store does not answer, or not in time. Whether a change was made is not known.
    #[error("the store does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store answers, but is not as it has to be: an operator has to do what the sentence says. Nothing was
    /// changed.
    #[error("{0}")]
    Unprepared(String),
    /// The store can never be used as it is configured: the sentence says why.
    #[error("{0}")]
    Misconfigured(String),
    /// What is stored cannot be read: a fault of natter, or of whoever wrote into its store.
    #[error("malformed data in the store")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A rule that the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The address is another account's.
    EmailTaken,
    /// The name is another account's.
    UsernameTaken,
    /// It is the last account that administers.
    LastAdmin,
    /// The user has asked to join this room and has no answer yet.
    AlreadyRequested,
    /// The join request has been answered.
    AlreadyHandled,
    /// The upload is part of another message, or being collected.
    Attached,
}
