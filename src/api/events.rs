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
#[derive(Debug, Clone, Serialize)]
pub struct Lasting {
    /// Where it happened.
    #[serde(flatten)]
    pub place: Place,
    /// What happened.
    #[serde(flatten)]
    pub payload: Payload,
}

/// Where a lasting event stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Place {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Its position in the room's log.
    #[schema(value_type = u64)]
    pub seq: Seq,
}

/// What happened, by the name of the event that tells it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Payload {
    /// `chat`
    Chat(Box<Chat>),
    /// `message_edited`
    Edited(MessageEdited),
    /// `message_deleted`
    Deleted(MessageDeleted),
    /// `message_reacted`
    Reacted(MessageReacted),
    /// `member_added`
    MemberAdded(MemberCame),
    /// `member_removed`
    MemberRemoved(MemberWent),
    /// `room_updated`
    RoomUpdated(RoomUpdated),
    /// `messages_cleared`
    Cleared(MessagesCleared),
    /// `room_deleted`, `message_gone`
    Nothing(NothingMore),
}

/// `chat`: somebody said something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Chat {
    /// The message.
    pub message: MessageView,
}

/// `message_edited`: a message has another text from now on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MessageEdited {
    /// Which position.
    #[schema(value_type = u64)]
    pub target_seq: Seq,
    /// The text from now on.
    pub content: String,
}

/// `message_deleted`: a message is gone.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MessageDeleted {
    /// Which position.
    #[schema(value_type = u64)]
    pub target_seq: Seq,
}

/// `message_reacted`: who reacts so to a message from now on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MessageReacted {
    /// Which position.
    #[schema(value_type = u64)]
    pub target_seq: Seq,
    /// The reaction.
    pub emoji: String,
    /// All who react so.
    #[schema(value_type = Vec<String>)]
    pub users: Vec<UserId>,
}

/// `member_added`: somebody came into the room.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemberCame {
    /// Who.
    pub user: UserBrief,
    /// What they may do.
    #[schema(value_type = String)]
    pub role: Role,
}

/// `member_removed`: somebody is no longer in the room.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemberWent {
    /// Who.
    pub user: UserName,
    /// Why: `left`, `removed` or `account_deleted`.
    #[schema(value_type = String)]
    pub reason: RemovalReason,
}

/// `room_updated`: the room has this name and this owner from now on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RoomUpdated {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: UserBrief,
}

/// `messages_cleared`: every message up to a position is gone.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct MessagesCleared {
    /// The last position that is cleared.
    #[schema(value_type = u64)]
    pub through: Seq,
}

/// `room_deleted`, the last event of a room; `message_gone`, where a message stood that was deleted.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct NothingMore {}

impl Payload {
    /// The name and the payload that tell `event`. `message` makes the view of a message; it is asked only
    /// for one.
    pub fn of(
        event: &Event,
        message: impl FnOnce(&Event) -> Option<MessageView>,
    ) -> (&'static str, Self) {
        match &event.body {
            Body::Message(_) => match message(event) {
                Some(view) => ("chat", Self::Chat(Box::new(Chat { message: view }))),
                None => ("message_gone", Self::Nothing(NothingMore {})),
            },
            Body::Gone { .. } => ("message_gone", Self::Nothing(NothingMore {})),
            Body::Edited { target, text } => (
                "message_edited",
                Self::Edited(MessageEdited { target_seq: *target, content: text.clone() }),
            ),
            Body::Deleted { target } => {
                ("message_deleted", Self::Deleted(MessageDeleted { target_seq: *target }))
            }
            Body::Reacted { target, emoji, users } => {
                let (emoji, users) = (emoji.clone(), users.clone());
                let payload = Self::Reacted(MessageReacted { target_seq: *target, emoji, users });
                ("message_reacted", payload)
            }
            Body::MemberAdded(added) => {
                let user = UserBrief {
                    id: added.user,
                    email: added.email.as_str().to_owned(),
                    username: added.username.as_str().to_owned(),
                };
                ("member_added", Self::MemberAdded(MemberCame { user, role: added.role }))
            }
            Body::MemberRemoved { user, username, reason } => {
                let user = UserName { id: *user, username: username.as_str().to_owned() };
                ("member_removed", Self::MemberRemoved(MemberWent { user, reason: *reason }))
            }
            Body::RoomUpdated { name, owner, owner_email, owner_username } => {
                let owner = UserBrief {
                    id: *owner,
                    email: owner_email.as_str().to_owned(),
                    username: owner_username.as_str().to_owned(),
                };
                ("room_updated", Self::RoomUpdated(RoomUpdated { name: name.clone(), owner }))
            }
            Body::Cleared { through } => {
                ("messages_cleared", Self::Cleared(MessagesCleared { through: *through }))
            }
            Body::RoomDeleted => ("room_deleted", Self::Nothing(NothingMore {})),
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
