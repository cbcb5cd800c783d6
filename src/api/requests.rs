//! What sockets say: the payloads of clients' events, and the answers to them.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::MessageView;
use crate::domain::{Epoch, MessageId, MessageType, RoomId, Seq};

/// `auth` of the handshake, or what stands for it in the query of a client without `auth`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Handshake {
    /// An access token. It may come as `Authorization: Bearer` instead, never in the query.
    pub token: Option<String>,
    /// The room of a room socket; a session socket serves all rooms of the user.
    pub chat_room_id: Option<String>,
    /// Up to where the client has seen each room, by its id.
    pub after: Option<HashMap<String, After>>,
}

/// Up to where a client has seen a room.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum After {
    /// Without an epoch: believed if it is not beyond the tail.
    Bare(u64),
    /// With the epoch that it belongs to: any text, for a foreign one is only foreign.
    Full {
        /// The position.
        #[schema(value_type = u64)]
        seq: Seq,
        /// The epoch.
        epoch: String,
    },
}

/// `chat`: say something.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The room; a room socket may leave it out.
    #[schema(value_type = Option<String>)]
    pub chat_room_id: Option<RoomId>,
    /// The words: at most 16 KiB of UTF-8, blank only beside a file.
    pub content: Option<String>,
    /// `text`, `image` or `file`.
    #[schema(value_type = Option<String>)]
    pub message_type: Option<MessageType>,
    /// The key that makes a retry safe: 1 to 64 characters, not beginning with `~`.
    pub client_id: Option<String>,
    /// An upload of the sender's into this room that no message has yet, instead of `file`.
    pub attachment_id: Option<String>,
    /// The name of `file`, for show.
    pub file_name: Option<String>,
    /// The bytes of a file, at most `limits.max_inline_file_bytes`.
    #[serde(default, deserialize_with = "file")]
    #[schema(value_type = Option<String>, format = Binary)]
    pub file: Option<Bytes>,
}

/// Reads bytes or `null`. An `Option<Bytes>` would be handed past the parser that puts binary attachments in
/// their places, and would find the placeholder instead.
fn file<'de, D: Deserializer<'de>>(payload: D) -> Result<Option<Bytes>, D::Error> {
    struct Attached;
    impl Visitor<'_> for Attached {
        type Value = Option<Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("binary data")
        }

        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
            Ok(Some(bytes.into()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    payload.deserialize_any(Attached)
}

/// `get_more_messages`: page back.
#[derive(Debug, Deserialize, ToSchema)]
pub struct MoreMessagesRequest {
    /// The oldest message that the client has; the answer is what stands before it.
    #[schema(value_type = String)]
    pub oldest_message_id: MessageId,
    /// 1 to 500; 50 by default.
    pub limit: Option<u32>,
}

/// `open_room`, `close_room`: be present in a room, or no longer.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RoomRequest {
    /// The room; a room socket may leave it out.
    #[schema(value_type = Option<String>)]
    pub chat_room_id: Option<RoomId>,
}

/// `typing`: the user is typing, or has stopped.
#[derive(Debug, Deserialize, ToSchema)]
pub struct TypingRequest {
    /// The room; a room socket may leave it out.
    #[schema(value_type = Option<String>)]
    pub chat_room_id: Option<RoomId>,
    /// Whether they are.
    pub is_typing: bool,
}

/// `mark_read`: the user has read up to a position.
#[derive(Debug, Deserialize, ToSchema)]
pub struct MarkReadRequest {
    /// The room; a room socket may leave it out.
    #[schema(value_type = Option<String>)]
    pub chat_room_id: Option<RoomId>,
    /// The position; never moves back, and not beyond the tail.
    #[schema(value_type = u64)]
    pub seq: Seq,
}

/// The answer to `chat`: the message is stored durably.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatAnswer {
    /// The message as it was stored, the first time if this is a retry.
    pub message: MessageView,
}

/// The answer to `get_more_messages`.
#[derive(Debug, Serialize, ToSchema)]
pub struct MoreMessagesAnswer<'a> {
    /// What stands before the oldest, oldest first.
    pub messages: &'a [MessageView],
}

/// The answer to `open_room`.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenRoomAnswer {
    /// The newest messages, oldest first, up to `seq`.
    pub messages: Vec<MessageView>,
    /// The others who are present: the first hundred names.
    pub online_users: Vec<String>,
    /// Where the page ends and live begins.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// The life of the store that positions belong to.
    #[schema(value_type = String)]
    pub epoch: Epoch,
}

/// The answer to `mark_read`.
#[derive(Debug, Serialize, ToSchema)]
pub struct MarkReadAnswer {
    /// Where the marker is now.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// How many messages are behind it.
    pub unread: Option<u64>,
}

/// The answer to `close_room` and `typing`: nothing beside `ok`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlainAnswer {}

/// The acknowledgement of what was refused: `{ok: false, error}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedAnswer {
    /// `false`
    pub ok: bool,
    /// Why.
    pub error: AnswerError,
}

/// Why an event was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnswerError {
    /// The stable code.
    pub code: super::ErrorCode,
    /// One sentence.
    pub detail: String,
    /// Seconds after which to try again, for what passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}
