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

use crate::api::UserBrief;
use crate::domain::{BootId, ClientId, Epoch, Event, Nonce, RoomId, Seq, Timestamp, UserId};
use crate::record::{self, Stored};
use crate::telemetry::Steps;

/// Events of a room, in order and without a hole, or only how far its log goes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The life of the store that the positions belong to.
    pub epoch: Epoch,
    /// The room.
    pub room: RoomId,
    /// Each an [`Entry`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<Box<RawValue>>,
    /// Traces of events in it, by their positions: each a `traceparent`, of what is published. What cannot be read is nobody's trace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    traces: Vec<(Seq, String)>,
    /// What is stored up to here is to be read from the store if it was not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Seq>,
}

/// Something fleeting in a room.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// For those who are present.
    Told {
        /// The name of the event.
        name: String,
        /// Who is not told: whose doing it is.
        except: UserId,
        /// What is told.
        payload: Box<RawValue>,
    },
    /// Who is present through the node that says it.
    Present(Present),
    /// Asks the other nodes, or one of them, to say who is present through them, each by a [`Present`] that is whole.
    WhoIsThere {
        /// What the answers name the question by.
        id: u64,
        /// Which node is asked; all when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<BootId>,
        /// Whether those count who have just gone and may be back in a moment.
        with_leaving: bool,
    },
}

/// Who is present in a room through one node: all of them, or what has changed.
///
/// Each change has a number, which rises. Whoever does not know the one that a change comes after has missed something, and asks.
/// One that comes after itself changes nothing, and only tells how far the node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The number of the state that follows from this.
    pub version: u64,
    /// The number of the state that it changes; left out if it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Who has come; of a whole one, who is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub came: Vec<UserBrief>,
    /// Who has gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went: Vec<UserId>,
    /// Which part of a whole one this is, from 0 on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
    /// How many more follow.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
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
    Revoked {
        /// Only those that were let in while the account's generation was lower.
        below: Option<u32>,
    },
}

/// One event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    seq: Seq,
    ordinal: u64,
    sender: UserId,
    #[serde(with = "hex")]
    nonce: [u8; 16],
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Milliseconds since 1970.
    timestamp: i64,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Hex>,
}

/// Of an [`Entry`] where it is, and nothing else.
#[derive(Deserialize)]
struct Position {
    seq: Seq,
}

/// Sixteen bytes, as text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Hex(#[serde(with = "hex")] pub(crate) [u8; 16]);

mod hex {
    //! Sixteen bytes as 32 digits: there are languages whose numbers do not reach that far.

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let number = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(number.to_be_bytes())
    }
}

/// What is no message of this bus.
#[derive(Debug, thiserror::Error)]
#[error("no message that this node understands")]
pub struct Malformed;

impl Frame {
    /// A frame of `events` of `room`.
    pub fn new<'a>(
        epoch: Epoch,
        room: RoomId,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Self {
        let events = events.into_iter().map(Entry::of).collect();
        Self { epoch, room, events, traces: Vec::new(), tail: None }
    }

    /// A frame that only tells how far the log of `room` goes.
    pub fn tail(epoch: Epoch, room: RoomId, tail: Seq) -> Self {
        Self { epoch, room, events: Vec::new(), traces: Vec::new(), tail: Some(tail) }
    }

    /// Frames of `events` of `room`, in order, each with no more than `limit` bytes of them. Of one that is larger by itself
    /// only the position is told.
    pub fn split<'a>(
        epoch: Epoch,
        room: RoomId,
        events: impl IntoIterator<Item = &'a Event>,
        limit: usize,
    ) -> Vec<Self> {
        let mut frames: Vec<Self> = Vec::new();
        let mut bytes = limit;
        for event in events {
            let entry = Entry::of(event);
            let length = entry.get().len() + 1;
            if length > limit {
                frames.push(Self::tail(epoch, room, event.seq));
                bytes = limit;
                continue;
            }
            match frames.last_mut() {
                Some(last) if bytes + length <= limit => {
                    last.events.push(entry);
                    bytes += length;
                }
                _ => {
                    frames.push(Self {
                        epoch,
                        room,
                        events: vec![entry],
                        traces: Vec::new(),
                        tail: None,
                    });
                    bytes = length;
                }
            }
        }
        frames
    }

    /// Notes the traces of those events that are in it.
    pub(crate) fn carry(&mut self, steps: &Steps) {
        let (false, Some(first)) = (steps.is_empty(), self.events.first()) else { return };
        let Ok(Position { seq: first }) = serde_json::from_str(first.get()) else { return };
        // They are without a hole.
        let held = first.0..first.0 + self.events.len() as u64;
        let steps = steps.iter().filter(|(seq, _)| held.contains(&seq.0));
        self.traces = steps.map(|(seq, trace)| (*seq, trace.to_string())).collect();
    }

    /// The traces of events in it.
    pub(crate) fn steps(&self) -> Steps {
        let read = |(seq, trace): &(Seq, String)| Some((*seq, trace.parse().ok()?));
        self.traces.iter().filter_map(read).collect()
    }

    /// The events in it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if one is of no kind that this node knows.
    pub fn events(&self) -> Result<Vec<Event>, Malformed> {
        self.events.iter().map(|entry| Entry::open(entry, self.room)).collect()
    }
}

impl Entry {
    /// `event` as it travels.
    pub(crate) fn of(event: &Event) -> Box<RawValue> {
        let Stored { kind, json, digest } = record::encode(&event.body);
        let body = json
            .map(|json| RawValue::from_string(json).expect("what is written down as JSON is JSON"));
        let entry = Self {
            seq: event.seq,
            ordinal: event.ordinal,
            sender: event.sender,
            nonce: event.nonce.0,
            client_id: event.client_id.as_ref().map(|id| id.as_str().to_owned()),
            timestamp: event.timestamp.0,
            kind: kind.to_owned(),
            body,
            digest: digest.map(Hex),
        };
        serde_json::value::to_raw_value(&entry)
            .expect("an entry has string keys and no failing parts")
    }

    /// The event of `room` that `entry` tells.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is of no kind that this node knows.
    pub(crate) fn open(entry: &RawValue, room: RoomId) -> Result<Event, Malformed> {
        serde_json::from_str::<Self>(entry.get()).map_err(|_json| Malformed)?.event(room)
    }

    fn event(self, room: RoomId) -> Result<Event, Malformed> {
        let json = self.body.as_deref().map(RawValue::get);
        let digest = self.digest.map(|Hex(bytes)| bytes);
        let body = record::decode(&self.kind, json, digest, self.sender);
        Ok(Event {
            room,
            seq: self.seq,
            ordinal: self.ordinal,
            sender: self.sender,
            nonce: Nonce(self.nonce),
            client_id: self.client_id.map(ClientId::stored),
            timestamp: Timestamp(self.timestamp),
            body: body.map_err(|_unknown| Malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Body, Message, MessageType, Username};

    const ROOM: fn() -> RoomId = || RoomId::new(1, 1);

    fn event(seq: u64, text: &str) -> Event {
        let sender = UserId::new(1, 2);
        let message = Message {
            sender,
            username: Username::parse("ann").unwrap(),
            text: text.to_owned(),
            message_type: MessageType::Text,
            attachment: None,
            digest: [0xab; 16],
        };
        Event {
            room: ROOM(),
            seq: Seq(seq),
            ordinal: seq,
            sender,
            nonce: Nonce([0xfe; 16]),
            client_id: Some(ClientId::stored("mine".to_owned())),
            timestamp: Timestamp(1_700_000_000_000),
            body: Body::Message(message),
        }
    }

    /// What a frame becomes on its way.
    fn told(frame: &Frame) -> Frame {
        serde_json::from_slice(&serde_json::to_vec(frame).unwrap()).unwrap()
    }

    #[test]
    fn what_is_told_is_what_was_stored() {
        let event = event(7, "hello");
        let told = told(&Frame::new(Epoch(3), ROOM(), [&event]));
        assert_eq!((told.epoch, told.room, told.tail), (Epoch(3), ROOM(), None));
        assert_eq!(told.events().unwrap(), [event]);
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let frame = Frame::new(Epoch(3), ROOM(), [&event(7, "hello")]);
        insta::assert_json_snapshot!(serde_json::to_value(frame).unwrap());
        insta::assert_json_snapshot!(Frame::tail(Epoch(3), ROOM(), Seq(9)));
    }

    #[test]
    fn events_go_into_as_many_frames_as_they_need() {
        let events: Vec<_> = (1..=40).map(|seq| event(seq, &"a".repeat(100))).collect();
        let one = serde_json::to_vec(&Frame::new(Epoch(3), ROOM(), [&events[0]])).unwrap().len();
        let limit = 4 * one;
        let frames = Frame::split(Epoch(3), ROOM(), &events, limit);
        assert!((5..=40).contains(&frames.len()), "{}", frames.len());
        let mut all = Vec::new();
        for frame in &frames {
            assert!(frame.events.iter().map(|entry| entry.get().len()).sum::<usize>() <= limit);
            all.extend(told(frame).events().unwrap());
        }
        assert_eq!(all, events);
        assert_eq!(Frame::split(Epoch(3), ROOM(), &events, 1024 * 1024).len(), 1);
        assert_eq!(Frame::split(Epoch(3), ROOM(), [], 1024 * 1024).len(), 0);
    }

    #[test]
    fn of_what_is_too_large_only_the_position_is_told() {
        let events = [event(1, "a"), event(2, &"b".repeat(5000)), event(3, "c"), event(4, "d")];
        let frames = Frame::split(Epoch(3), ROOM(), &events, 2000);
        let told: Vec<_> = frames
            .iter()
            .map(|frame| (frame.events().unwrap().len(), frame.tail.map(|tail| tail.0)))
            .collect();
        assert_eq!(told, [(1, None), (0, Some(2)), (2, None)]);
    }

    #[test]
    fn traces_travel_beside_events_and_whoever_does_not_know_them_reads_on() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let step = |seq| (Seq(seq), PARENT.parse().unwrap());
        let mut frame = Frame::new(Epoch(3), ROOM(), [&event(7, "hello"), &event(8, "you")]);
        let without = serde_json::to_value(&frame).unwrap();
        frame.carry(&Steps::new());
        assert_eq!(serde_json::to_value(&frame).unwrap(), without);
        assert_eq!(without.get("traces"), None, "as nodes say it that trace nothing");
        frame.carry(&vec![step(6), step(8), step(9)]);
        assert_eq!(told(&frame).steps(), [step(8)]);
        assert_eq!(
            serde_json::to_value(&frame).unwrap()["traces"],
            serde_json::json!([[8, PARENT]])
        );
        let mut said = without;
        said["traces"] = serde_json::json!([[7, "of a later form"]]);
        // As `traces` is to a node that has never heard of them.
        said["of a later version"] = serde_json::json!([{"seq": 7}]);
        let heard: Frame = serde_json::from_str(&said.to_string()).unwrap();
        assert!(heard.steps().is_empty());
        assert_eq!(heard.events().unwrap(), [event(7, "hello"), event(8, "you")]);
    }
}
