//! Use cases: every rule that needs I/O. Each takes the [`crate::app::App`] and who asks.

pub mod accounts;
pub mod administration;
pub mod attachments;
pub(crate) mod counted;
pub mod erasure;
pub mod error;
pub mod export;
pub mod join_requests;
pub mod memberships;
pub mod messages;
pub mod operator;
pub mod presence;
pub mod retention;
pub mod rooms;
pub mod sessions;
pub mod spending;

pub use error::Error;

/// What use cases answer.
pub type Result<T> = std::result::Result<T, Error>;

/// A new id of a kind, from the clock and from chance: `new_id(RoomId::new)`.
pub(crate) fn new_id<Id>(make: impl FnOnce(u64, u64) -> Id) -> Id {
    make(crate::domain::Timestamp::now().as_millis(), rand::random())
}

/// What tells one attempt to store something from every other.
pub(crate) fn new_nonce() -> crate::domain::Nonce {
    crate::domain::Nonce(rand::random())
}

/// Reads the id that a client gave as `field`.
///
/// # Errors
///
/// [`Error::Malformed`]: an id that cannot be one is told apart from one that is nobody's.
pub(crate) fn parse_id<Id: std::str::FromStr>(field: &'static str, text: &str) -> Result<Id> {
    text.parse().map_err(|_not_an_id| Error::Malformed(format!("{field} must be an id.")))
}
