//! What clients may say: the payloads of their events, as they come in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::Data;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;

use crate::api::NewMessage;
use crate::domain::{MessageId, MessageType, RoomId, Seq};
use crate::service::Error;

/// `auth` of the handshake, or what stands for it in the query of a client without `auth`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Handshake {
    pub(super) token: Option<String>,
    pub(super) chat_room_id: Option<String>,
    pub(super) after: Option<HashMap<String, After>>,
}

/// Up to where a client has seen a room.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum After {
    /// Without an epoch: believed if it is not beyond the tail.
    Bare(Seq),
    /// With the epoch that it belongs to: any text, for a foreign one is only foreign.
    Full {
        /// The position.
        seq: Seq,
        /// The epoch.
        epoch: String,
    },
}

/// An event of a client, decoded.
#[derive(Debug)]
pub(super) enum Request {
    Chat { room: Option<RoomId>, message: NewMessage, file: Option<InlineFile> },
    GetMoreMessages { oldest: MessageId, limit: Option<u32> },
    OpenRoom { room: Option<RoomId> },
    CloseRoom { room: Option<RoomId> },
    Typing { room: Option<RoomId>, is_typing: bool },
    MarkRead { room: Option<RoomId>, seq: Seq },
}

/// A file inside `chat`.
#[derive(Debug)]
pub(super) struct InlineFile {
    pub(super) name: Option<String>,
    pub(super) bytes: Bytes,
}

#[derive(Deserialize)]
struct ChatPayload {
    chat_room_id: Option<RoomId>,
    #[serde(default)]
    content: Option<String>,
    message_type: Option<MessageType>,
    client_id: Option<String>,
    attachment_id: Option<String>,
    file_name: Option<String>,
    #[serde(default, deserialize_with = "file")]
    file: Option<Bytes>,
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

#[derive(Deserialize)]
struct PagePayload {
    oldest_message_id: MessageId,
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct RoomPayload {
    chat_room_id: Option<RoomId>,
}

#[derive(Deserialize)]
struct TypingPayload {
    chat_room_id: Option<RoomId>,
    is_typing: bool,
}

#[derive(Deserialize)]
struct MarkReadPayload {
    chat_room_id: Option<RoomId>,
    seq: Seq,
}

/// Decodes the event `name` of a client.
///
/// # Errors
///
/// [`Error::Invalid`] for a payload that is not of the event's shape, [`Error::NotFound`] for an event that does not exist.
pub(super) fn decode(
    name: &str,
    socket: &Arc<Socket<LocalAdapter>>,
    value: &mut Value,
) -> Result<Request, Error> {
    Ok(match name {
        "chat" => chat(payload(socket, value)?),
        "get_more_messages" => {
            let PagePayload { oldest_message_id, limit } = payload(socket, value)?;
            Request::GetMoreMessages { oldest: oldest_message_id, limit }
        }
        "open_room" => {
            let RoomPayload { chat_room_id } = payload(socket, value)?;
            Request::OpenRoom { room: chat_room_id }
        }
        "close_room" => {
            let RoomPayload { chat_room_id } = payload(socket, value)?;
            Request::CloseRoom { room: chat_room_id }
        }
        "typing" => {
            let TypingPayload { chat_room_id, is_typing } = payload(socket, value)?;
            Request::Typing { room: chat_room_id, is_typing }
        }
        "mark_read" => {
            let MarkReadPayload { chat_room_id, seq } = payload(socket, value)?;
            Request::MarkRead { room: chat_room_id, seq }
        }
        _ => return Err(Error::invalid("event", "is none that this server knows")),
    })
}

fn chat(payload: ChatPayload) -> Request {
    let file = payload.file.map(|bytes| InlineFile { name: payload.file_name, bytes });
    Request::Chat {
        room: payload.chat_room_id,
        message: NewMessage {
            content: payload.content.unwrap_or_default(),
            message_type: payload.message_type,
            client_id: payload.client_id,
            attachment_id: payload.attachment_id,
        },
        file,
    }
}

fn payload<T: DeserializeOwned>(
    socket: &Arc<Socket<LocalAdapter>>,
    value: &mut Value,
) -> Result<T, Error> {
    match Data::<T>::from_message_parts(socket, value, &None) {
        Ok(Data(payload)) => Ok(payload),
        // The parser's words speak of what the client sent, not of the server.
        Err(error) => Err(Error::invalid("payload", format!("is malformed: {error}"))),
    }
}
