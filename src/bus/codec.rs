//! What travels on the bus: the JSON inside of the envelopes that [`super::seal`] makes.
//!
//! | subject | payload |
//! | --- | --- |
//! | `natter.room.<id>.events` | [`Frame`] |
//! | `natter.room.<id>.signals` | [`Signal`] |
//! | `natter.user.<id>` | [`Word`] |
//! | `natter.node.<boot id>` | what one node asks of another: `room/errands.rs` |

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{ClientId, Epoch, Event, Nonce, RoomId, Seq, Timestamp, UserId};
use crate::record::{self, Stored};

/// Events of a room, in order and without a hole.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The life of the store that the positions belong to.
    pub epoch: Epoch,
    /// The events.
    events: Vec<Entry>,
}

/// Something fleeting for those who are present in a room.
#[derive(Debug, Serialize, Deserialize)]
pub struct Signal {
    /// The name of the event.
    pub name: String,
    /// Who is not told: whose doing it is.
    pub except: UserId,
    /// What is told.
    pub payload: Box<RawValue>,
}

/// Something that concerns the connections of one user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// They are in a room since this position.
    Entered {
        /// The room.
        room: RoomId,
        /// Of their `member_added`.
        seq: Seq,
    },
    /// Their sockets are to be told something: of a room only those that serve it, else all session sockets.
    Told {
        /// The room.
        room: Option<RoomId>,
        /// The name of the event.
        name: String,
        /// What is told.
        payload: Box<RawValue>,
    },
    /// Their connections end for good.
    Revoked,
}

/// One event.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    room: RoomId,
    seq: Seq,
    ordinal: u64,
    sender: UserId,
    nonce: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Milliseconds since 1970.
    timestamp: i64,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<u128>,
}

/// What is no message of this bus.
#[derive(Debug, thiserror::Error)]
#[error("no message that this node understands")]
pub struct Malformed;

impl Frame {
    /// A frame of `events`.
    pub fn new<'a>(epoch: Epoch, events: impl IntoIterator<Item = &'a Event>) -> Self {
        Self { epoch, events: events.into_iter().map(Entry::of).collect() }
    }

    /// The events in it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if one is of no kind that this node knows.
    pub fn events(self) -> Result<Vec<Event>, Malformed> {
        self.events.into_iter().map(Entry::event).collect()
    }
}

impl Entry {
    fn of(event: &Event) -> Self {
        let Stored { kind, json, digest } = record::encode(&event.body);
        let body = json
            .map(|json| RawValue::from_string(json).expect("what is written down as JSON is JSON"));
        Self {
            room: event.room,
            seq: event.seq,
            ordinal: event.ordinal,
            sender: event.sender,
            nonce: u128::from_be_bytes(event.nonce.0),
            client_id: event.client_id.as_ref().map(|id| id.as_str().to_owned()),
            timestamp: event.timestamp.0,
            kind: kind.to_owned(),
            body,
            digest: digest.map(u128::from_be_bytes),
        }
    }

    fn event(self) -> Result<Event, Malformed> {
        let json = self.body.as_deref().map(RawValue::get);
        let digest = self.digest.map(u128::to_be_bytes);
        let body = record::decode(&self.kind, json, digest, self.sender);
        Ok(Event {
            room: self.room,
            seq: self.seq,
            ordinal: self.ordinal,
            sender: self.sender,
            nonce: Nonce(self.nonce.to_be_bytes()),
            client_id: self.client_id.map(ClientId::stored),
            timestamp: Timestamp(self.timestamp),
            body: body.map_err(|_unknown| Malformed)?,
        })
    }
}
