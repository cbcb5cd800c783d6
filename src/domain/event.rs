//! Events: the lasting facts of a room, in the order of its log.

use std::fmt;

use super::message::Digest;
use super::{
    ClientId, Email, JoinRequestId, MembershipId, Message, Role, RoomId, Seq, Timestamp, UserId,
    Username,
};

/// 16 random bytes that tell one attempt to store something from every other, minted by the node that
/// received it: the only proof that a stored event is one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One entry of a room's log. It states a result, never a step, so applying it twice is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The room.
    pub room: RoomId,
    /// Its position in the room's log.
    pub seq: Seq,
    /// How many messages the log holds up to and with this event.
    pub ordinal: u64,
    /// Who caused it.
    pub sender: UserId,
    /// What tells this attempt from every other.
    pub nonce: Nonce,
    /// The sender's key for retries; unique in (room, sender). Only what can be retried has one.
    pub client_id: Option<ClientId>,
    /// When it was stored, by the clock of the node that stored it; does not go back within a room.
    pub timestamp: Timestamp,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Somebody said something.
    Message(Message),
    /// The text of the message at `target` is now `text`.
    Edited {
        /// The message.
        target: Seq,
        /// Its text from now on.
        text: String,
    },
    /// The message at `target` is deleted; its own entry is blanked.
    Deleted {
        /// The message.
        target: Seq,
    },
    /// Those who react to the message at `target` with `emoji` are now `users`.
    Reacted {
        /// The message.
        target: Seq,
        /// The reaction.
        emoji: String,
        /// All who react so.
        users: Vec<UserId>,
    },
    /// A user came into the room.
    MemberAdded(MemberAdded),
    /// A user is no longer in the room.
    MemberRemoved {
        /// Who.
        user: UserId,
        /// Their name then.
        username: Username,
        /// Why.
        reason: RemovalReason,
    },
    /// The room has this name and this owner from now on.
    RoomUpdated {
        /// Its name.
        name: String,
        /// Its owner, who is a member.
        owner: UserId,
        /// The owner's address.
        owner_email: Email,
        /// The owner's name.
        owner_username: Username,
    },
    /// Every message up to `through` is gone.
    Cleared {
        /// The last position that is cleared.
        through: Seq,
    },
    /// The room is gone. Nothing follows.
    RoomDeleted,
    /// What is left of a message that was deleted or cleared: a digest that recognises a retry of it.
    Gone {
        /// As it was in the [`Message`].
        digest: Digest,
    },
}

/// A user came into a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAdded {
    /// The id of the membership.
    pub membership: MembershipId,
    /// Who.
    pub user: UserId,
    /// Their address then.
    pub email: Email,
    /// Their name then.
    pub username: Username,
    /// What they may do.
    pub role: Role,
    /// The join request that this answers, which is approved by it.
    pub request: Option<JoinRequestId>,
}

/// Why somebody is no longer in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// They went.
    Left,
    /// The owner or an administrator sent them away.
    Removed,
    /// Their account was deleted.
    AccountDeleted,
}

impl Body {
    /// Whether this event counts in the ordinals: a message does, also when nothing is left of it.
    pub const fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Gone { .. })
    }

    /// Whether this event ends the stay of `user` in its room.
    pub fn ends_stay_of(&self, user: UserId) -> bool {
        match self {
            Self::MemberRemoved { user: removed, .. } => *removed == user,
            Self::RoomDeleted => true,
            _ => false,
        }
    }

    /// A rough bound of the encoded size, in bytes, by which batches are cut.
    pub fn weight(&self) -> usize {
        256 + match self {
            Self::Message(message) => message.text.len(),
            Self::Edited { text, .. } => text.len(),
            Self::Reacted { users, .. } => users.len() * 16,
            _ => 0,
        }
    }
}
