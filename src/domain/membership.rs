//! A user's place in a room, and the way into one.

use serde::{Deserialize, Serialize};

use super::text::{Invalid, check_prose};
use super::{JoinRequestId, MembershipId, RoomId, Seq, Timestamp, User, UserId};

/// What a member may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Lets people in, sends them away, deletes the room.
    Owner,
    /// Reads and writes.
    Member,
}

/// A user's place in a room: what the inherited contract calls a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// The room.
    pub room: RoomId,
    /// The member.
    pub user: User,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
    /// When they were last connected to the room.
    pub last_seen: Timestamp,
    /// Up to where they have read.
    pub read: ReadMarker,
}

/// Up to where a member has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadMarker {
    /// The position of the last event that was read.
    pub seq: Seq,
    /// How many messages there are up to it: unread is the tail's ordinal less this.
    pub ordinal: u64,
}

/// A request to be let into a group room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Its id.
    pub id: JoinRequestId,
    /// The room.
    pub room: RoomId,
    /// Who asks.
    pub user: User,
    /// What they said to the owner.
    pub message: Option<String>,
    /// `None` until the owner has decided.
    pub approved: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl JoinRequest {
    /// The longest message to the owner, in bytes.
    pub const MAX_MESSAGE_BYTES: usize = 1024;

    /// Checks the words to the owner.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn check_message(text: &str) -> Result<(), Invalid> {
        check_prose("message", text)?;
        if text.len() > Self::MAX_MESSAGE_BYTES {
            let message = format!("must be at most {} bytes", Self::MAX_MESSAGE_BYTES);
            return Err(Invalid::new("message", message));
        }
        Ok(())
    }
}

/// The two members of a private room in the order that names the pair, whoever asked first.
pub fn sorted_pair(one: UserId, other: UserId) -> (UserId, UserId) {
    if one <= other { (one, other) } else { (other, one) }
}
