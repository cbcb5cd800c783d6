//! Messages and what is attached to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{
    Attachment, AttachmentId, Body, ClientId, Epoch, Event, Message, MessageId, MessageType,
    RoomId, Seq, Timestamp, UserId,
};

/// Which bytes of an attachment a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As they were uploaded.
    Original,
    /// A smaller picture of it.
    Thumbnail,
}

/// A stored message.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MessageView {
    /// Its id: opaque, and it sorts nowhere.
    #[schema(value_type = String)]
    pub id: MessageId,
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Who wrote it.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// The writer's name when it was stored.
    pub username: String,
    /// The words.
    pub content: String,
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// What its writer said it is.
    #[schema(value_type = String)]
    pub message_type: MessageType,
    /// The name of what is attached.
    pub file_name: Option<String>,
    /// A signed path on this service that an `<img>` or a link can load, for this reader, as long as a token lives.
    pub file_path: Option<String>,
    /// Its position in the room's log.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// How many messages the room's log holds up to it.
    pub ordinal: u64,
    /// The client's key, if it gave one.
    pub client_id: Option<String>,
    /// What is attached.
    pub attachment: Option<AttachmentView>,
}

/// A file that is part of a message, or will be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AttachmentView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AttachmentId,
    /// The name its owner gave, cleaned, for show only.
    pub file_name: String,
    /// Bytes.
    pub size: u64,
    /// The type that its first bytes show.
    pub content_type: String,
    /// Pixels across, of a picture.
    pub width: Option<u32>,
    /// Pixels down, of a picture.
    pub height: Option<u32>,
    /// A signed path of a smaller picture.
    pub thumbnail_path: Option<String>,
}

impl AttachmentView {
    /// `attachment` with its thumbnail's link, if it has a thumbnail and a reader to sign it for.
    pub fn new(attachment: &Attachment, thumbnail_path: Option<String>) -> Self {
        Self {
            id: attachment.id,
            file_name: attachment.file_name.clone(),
            size: attachment.size,
            content_type: attachment.content_type.clone(),
            width: attachment.image.map(|image| image.width),
            height: attachment.image.map(|image| image.height),
            thumbnail_path,
        }
    }
}

impl MessageView {
    /// The message that `event` is, for one reader, whose links `link` signs; `None` if the event is no
    /// message, or nothing is left of it.
    pub fn new(
        event: &Event,
        epoch: Epoch,
        link: impl Fn(&Attachment, Variant) -> String,
    ) -> Option<Self> {
        let Body::Message(message) = &event.body else { return None };
        Some(Self::of(event, message, epoch, link))
    }

    fn of(
        event: &Event,
        message: &Message,
        epoch: Epoch,
        link: impl Fn(&Attachment, Variant) -> String,
    ) -> Self {
        let attached = message.attachment.as_ref();
        let view = attached.map(|attachment| {
            let thumbnail = attachment.image.is_some_and(|image| image.has_thumbnail);
            AttachmentView::new(attachment, thumbnail.then(|| link(attachment, Variant::Thumbnail)))
        });
        Self {
            id: MessageId { epoch, room: event.room, seq: event.seq },
            chat_room_id: event.room,
            user_id: message.sender,
            username: message.username.as_str().to_owned(),
            content: message.text.clone(),
            timestamp: event.timestamp,
            message_type: message.message_type,
            file_name: attached.map(|attachment| attachment.file_name.clone()),
            file_path: attached.map(|attachment| link(attachment, Variant::Original)),
            seq: event.seq,
            ordinal: event.ordinal,
            client_id: event.client_id.as_ref().and_then(ClientId::given).map(str::to_owned),
            attachment: view,
        }
    }
}

/// `POST /chat-rooms/{id}/messages`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewMessage {
    /// The words: at most 16 KiB of UTF-8, blank only beside an attachment.
    #[serde(default)]
    pub content: String,
    /// `text`, `image` or `file`. Without it: `text`, or what the attachment is.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub message_type: Option<MessageType>,
    /// The key that makes a retry safe: 1 to 64 characters, not beginning with `~`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// An upload of the caller's into this room that no message has yet.
    #[serde(default)]
    pub attachment_id: Option<String>,
}
