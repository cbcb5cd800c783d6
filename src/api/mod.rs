//! The JSON shapes of requests, answers and events, shared by the transports and the frames.
//!
//! docs/PROTOCOL.md describes them; `/openapi.json` is made from them.

pub mod asyncapi;
mod error;
mod events;
pub(crate) mod malformed;
mod messages;
mod requests;
mod retention;
mod rooms;
mod users;

pub use error::{ErrorBody, ErrorCode, FieldError};
pub use events::*;
pub use messages::*;
pub use requests::*;
pub use retention::*;
pub use rooms::*;
pub use users::*;
