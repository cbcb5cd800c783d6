//! What sockets are told: names of events and their payloads.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ErrorCode, MessageView, UserBrief, UserName};
use crate::domain::{Body, Epoch, Event, RemovalReason, Role, RoomId, Seq, UserId};

/// The end of a room's log as a client is told it.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Position {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// The position of its last event.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// The life of the store that positions belong to.
    #[schema(value_type = String)]
    pub epoch: Epoch,
}

/// What a client may send at most.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Limits {
    /// Bytes of UTF-8 of `content`.
    pub max_message_bytes: usize,
    /// Bytes of a `file` inside `chat`.
    pub max_inline_file_bytes: u64,
    /// Bytes of an upload.
    pub max_upload_bytes: u64,
    /// Bytes of one packet; a larger one ends the connection.
    pub max_packet_bytes: u64,
    /// Characters of a `client_id`.
    pub max_client_id_chars: usize,
    /// Messages in a page.
    pub page: u32,
}

/// `joined`: the first event on a room socket.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Joined {
    /// Where the history ends and live begins.
    #[serde(flatten)]
    pub position: Position,
    /// What a client may send.
    pub limits: Limits,
}

/// `ready`: the first event on a session socket.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Ready {
    /// Every room of the user; each is live from there.
    pub rooms: Vec<Position>,
    /// What a client may send.
    pub limits: Limits,
}

/// `resume_truncated`: instead of a replay.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResumeTruncated {
    /// Where live begins.
    #[serde(flatten)]
    pub position: Position,
    /// The newest page of messages, oldest first.
    pub messages: Vec<MessageView>,
}

/// A lasting event: `chat` and every other that carries a `seq`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Lasting {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Its position.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// What happened.
    #[serde(flatten)]
    pub payload: Payload,
}

/// What happened, by the name of the event that tells it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Payload {
    /// `chat`
    Chat {
        /// The message.
        message: Box<MessageView>,
    },
    /// `message_edited`
    Edited {
        /// Which position.
        #[schema(value_type = u64)]
        target_seq: Seq,
        /// The text from now on.
        content: String,
    },
    /// `message_deleted`
    Deleted {
        /// Which position.
        #[schema(value_type = u64)]
        target_seq: Seq,
    },
    /// `message_reacted`
    Reacted {
        /// Which position.
        #[schema(value_type = u64)]
        target_seq: Seq,
        /// The reaction.
        emoji: String,
        /// All who react so.
        #[schema(value_type = Vec<String>)]
        users: Vec<UserId>,
    },
    /// `member_added`
    MemberAdded {
        /// Who came.
        user: UserBrief,
        /// What they may do.
        #[schema(value_type = String)]
        role: Role,
    },
    /// `member_removed`
    MemberRemoved {
        /// Who went.
        user: UserName,
        /// Why.
        #[schema(value_type = String)]
        reason: RemovalReason,
    },
    /// `room_updated`
    RoomUpdated {
        /// The name from now on.
        name: String,
        /// The owner from now on.
        owner: UserBrief,
    },
    /// `messages_cleared`
    Cleared {
        /// The last position that is cleared.
        #[schema(value_type = u64)]
        through: Seq,
    },
    /// `room_deleted`, `message_gone`
    Nothing {},
}

impl Payload {
    /// The name and the payload that tell `event`. `message` makes the view of a message; it is asked only
    /// for one.
    pub fn of(
        event: &Event,
        message: impl FnOnce(&Event) -> Option<MessageView>,
    ) -> (&'static str, Self) {
        match &event.body {
            Body::Message(_) => match message(event) {
                Some(view) => ("chat", Self::Chat { message: Box::new(view) }),
                None => ("message_gone", Self::Nothing {}),
            },
            Body::Gone { .. } => ("message_gone", Self::Nothing {}),
            Body::Edited { target, text } => {
                ("message_edited", Self::Edited { target_seq: *target, content: text.clone() })
            }
            Body::Deleted { target } => ("message_deleted", Self::Deleted { target_seq: *target }),
            Body::Reacted { target, emoji, users } => {
                let payload = Self::Reacted {
                    target_seq: *target,
                    emoji: emoji.clone(),
                    users: users.clone(),
                };
                ("message_reacted", payload)
            }
            Body::MemberAdded(added) => {
                let user = UserBrief {
                    id: added.user,
                    email: added.email.as_str().to_owned(),
                    username: added.username.as_str().to_owned(),
                };
                ("member_added", Self::MemberAdded { user, role: added.role })
            }
            Body::MemberRemoved { user, username, reason } => {
                let user = UserName { id: *user, username: username.as_str().to_owned() };
                ("member_removed", Self::MemberRemoved { user, reason: *reason })
            }
            Body::RoomUpdated { name, owner, owner_email, owner_username } => {
                let owner = UserBrief {
                    id: *owner,
                    email: owner_email.as_str().to_owned(),
                    username: owner_username.as_str().to_owned(),
                };
                ("room_updated", Self::RoomUpdated { name: name.clone(), owner })
            }
            Body::Cleared { through } => ("messages_cleared", Self::Cleared { through: *through }),
            Body::RoomDeleted => ("room_deleted", Self::Nothing {}),
        }
    }
}

/// `error`: an event of this socket was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence.
    pub detail: String,
    /// The name of the refused event.
    pub event: String,
    /// The room that it named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub chat_room_id: Option<RoomId>,
}

/// `join`: a user became present in a room.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JoinSignal {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Who.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// Their address.
    pub email: String,
}

/// `leave`: a user's last connection to a room went.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LeaveSignal {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Who.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Their name.
    pub username: String,
}

/// `presence_count`: how many people are online in a room with many.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct PresenceCount {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// People present.
    pub online: usize,
}

/// `typing`: somebody is typing, or has stopped.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TypingSignal {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Who.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// Whether they are.
    pub is_typing: bool,
    /// Seconds after which it ends by itself.
    pub expires_in: u64,
}

/// `read_marker`: a member has read up to a position.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct ReadMarkerSignal {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Who.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Up to where.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// How many messages are behind it; told to the reader alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
}
