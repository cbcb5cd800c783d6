//! Use cases: every rule that needs I/O. Each takes the [`crate::app::App`] and who asks.

pub mod error;

pub use error::Error;

/// What use cases answer.
pub type Result<T> = std::result::Result<T, Error>;
