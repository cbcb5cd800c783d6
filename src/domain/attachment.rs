//! Files that belong to messages.

use serde::{Deserialize, Serialize};

use super::{AttachmentId, RoomId, Timestamp, UserId};

/// A stored file, as messages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id; where its bytes are is made from it alone.
    pub id: AttachmentId,
    /// The name its owner gave, cleaned, for show only.
    pub file_name: String,
    /// Bytes.
    pub size: u64,
    /// The type that its first bytes show, whatever its owner claimed.
    pub content_type: String,
    /// Its size in pixels and whether there is a thumbnail, if it is a picture that natter can read.
    pub image: Option<ImageSize>,
}

/// The size of a picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSize {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Whether a smaller picture is stored beside it.
    pub has_thumbnail: bool,
}

/// What has become of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentState {
    /// Stored, and no message has it yet.
    Unattached,
    /// Part of a message.
    Attached,
    /// Claimed by the collector; no message can have it any more.
    Deleting,
}

/// An upload and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file.
    pub attachment: Attachment,
    /// The room it was uploaded for.
    pub room: RoomId,
    /// Who uploaded it.
    pub owner: UserId,
    /// What has become of it.
    pub state: AttachmentState,
    /// SHA-256 of its bytes, by which a retried message is recognised.
    pub sha256: [u8; 32],
    /// When it was stored.
    pub created_at: Timestamp,
}
