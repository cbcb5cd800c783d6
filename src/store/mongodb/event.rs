//! How an event lies in its document.

use mongodb::bson::raw::{RawBsonRef, cstr};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{DateTime, RawBinaryRef, RawDocumentBuf};

use super::field::{Place, Row, count, place};
use crate::domain::room::Tail;
use crate::domain::{Body, Event};
use crate::record;
use crate::store::{Result, StoreError};

/// What an event has to change elsewhere is still to be done. Whoever reads what is derived does it first.
pub(super) const TO_APPLY: i32 = 1;
/// It is done, but for messages that are blanked piece by piece; until then readers pass over them.
pub(super) const TO_WIPE: i32 = 2;

/// Whether `body` changes anything beside the log. What a message does to its sender's read marker is looked
/// up in the log instead.
pub(super) fn derives(body: &Body) -> bool {
    match body {
        Body::Message(message) => message.attachment.is_some(),
        Body::Reacted { .. } | Body::Gone { .. } => false,
        Body::Edited { .. }
        | Body::Deleted { .. }
        | Body::Cleared { .. }
        | Body::MemberAdded(_)
        | Body::MemberRemoved { .. }
        | Body::RoomUpdated { .. }
        | Body::RoomDeleted => true,
    }
}

fn bytes(bytes: &[u8]) -> RawBsonRef<'_> {
    RawBsonRef::Binary(RawBinaryRef { subtype: BinarySubtype::Generic, bytes })
}

/// The document of `event`.
pub(super) fn encode(event: &Event) -> RawDocumentBuf {
    let body = record::encode(&event.body);
    let key = place(event.room, event.seq);
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), bytes(&key.bytes));
    document.append(cstr!("room"), bytes(event.room.as_bytes()));
    document.append(cstr!("kind"), body.kind);
    document.append(cstr!("ordinal"), count(event.ordinal));
    document.append(cstr!("sender"), bytes(event.sender.as_bytes()));
    document.append(cstr!("nonce"), bytes(&event.nonce.0));
    if let Some(client_id) = &event.client_id {
        document.append(cstr!("client_id"), client_id.as_str());
    }
    document.append(cstr!("timestamp"), DateTime::from_millis(event.timestamp.0));
    if let Some(json) = &body.json {
        document.append(cstr!("body"), json.as_str());
    }
    if let Some(digest) = &body.digest {
        document.append(cstr!("digest"), bytes(digest));
    }
    if derives(&event.body) {
        document.append(cstr!("pending"), TO_APPLY);
    }
    document
}

/// The event of a document.
pub(super) fn decode(document: &RawDocumentBuf) -> Result<Event> {
    let row = Row::of(document);
    let Place(room, seq) = row.get("_id")?;
    let sender = row.get("sender")?;
    let kind = row.text("kind")?.unwrap_or_default();
    let body = record::decode(kind, row.text("body")?, row.find("digest")?, sender)
        .map_err(|error| StoreError::Malformed(error.into()))?;
    Ok(Event {
        room,
        seq,
        ordinal: row.get("ordinal")?,
        sender,
        nonce: row.get("nonce")?,
        client_id: row.find("client_id")?,
        timestamp: row.get("timestamp")?,
        body,
    })
}

/// The end of a log whose last event is in `row`.
pub(super) fn tail(row: Row<'_>) -> Result<Tail> {
    let Place(_, seq) = row.get("_id")?;
    Ok(Tail { seq, ordinal: row.get("ordinal")?, timestamp: row.get("timestamp")? })
}
