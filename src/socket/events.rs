//! Decodes what clients say.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::Data;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;

use crate::api::malformed::{self, Broken, Payload};
use crate::api::{
    ChatRequest, MarkReadRequest, MoreMessagesRequest, NewMessage, RoomRequest, TypingRequest,
};
use crate::domain::{MessageId, RoomId, Seq};
use crate::service::Error;

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
            let MoreMessagesRequest { oldest_message_id, limit } = payload(socket, value)?;
            Request::GetMoreMessages { oldest: oldest_message_id, limit }
        }
        "open_room" => {
            let RoomRequest { chat_room_id } = payload(socket, value)?;
            Request::OpenRoom { room: chat_room_id }
        }
        "close_room" => {
            let RoomRequest { chat_room_id } = payload(socket, value)?;
            Request::CloseRoom { room: chat_room_id }
        }
        "typing" => {
            let TypingRequest { chat_room_id, is_typing } = payload(socket, value)?;
            Request::Typing { room: chat_room_id, is_typing }
        }
        "mark_read" => {
            let MarkReadRequest { chat_room_id, seq } = payload(socket, value)?;
            Request::MarkRead { room: chat_room_id, seq }
        }
        _ => return Err(Error::invalid("event", "is none that this server knows")),
    })
}

fn chat(payload: ChatRequest) -> Request {
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
    match Data::<Payload<T>>::from_message_parts(socket, value, &None) {
        Ok(Data(Payload(payload))) => Ok(payload),
        Err(error) => {
            let Broken { field, message } = malformed::of_payload(&error.to_string());
            Err(Error::invalid(field, message))
        }
    }
}
