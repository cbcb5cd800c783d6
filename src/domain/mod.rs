//! Types and pure rules: what a user, a room, a message and an event *are*, and who may do what.
//!
//! Nothing here waits, and nothing here knows a database, a bus or a wire format.

pub mod attachment;
pub mod erasure;
pub mod event;
pub mod id;
pub mod membership;
pub mod message;
pub mod page;
pub mod permission;
pub mod retention;
pub mod room;
pub mod text;
pub mod time;
pub mod user;

pub use attachment::{Attachment, AttachmentState, ImageSize};
pub use erasure::Words;
pub use event::{Body, Event, MemberAdded, Nonce, RemovalReason};
pub use id::{
    AttachmentId, BootId, ConnectionId, Epoch, JoinRequestId, MembershipId, MessageId, RoomId, Seq,
    UserId,
};
pub use membership::{JoinRequest, Membership, Role};
pub use message::{ClientId, Draft, Message, MessageText, MessageType};
pub use page::Page;
pub use retention::Retention;
pub use room::{Room, RoomKind, RoomName};
pub use text::Invalid;
pub use time::Timestamp;
pub use user::{Email, Generation, Password, User, Username};
