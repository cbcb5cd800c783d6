//! How commands, and what became of them, travel between nodes: JSON inside of errands.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::command::{Authority, Change, Command, Committed, Refused};
use super::lane::Turn;
use crate::bus::codec::{Entry, Hex, Malformed};
use crate::domain::{Body, ClientId, Email, Nonce, RemovalReason, RoomId, UserId};
use crate::record::{self, Stored};
use crate::store::StoreError;
use crate::telemetry::Trace;

/// A command for a room.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parcel {
    room: RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<Turn>,
    sender: UserId,
    client_id: String,
    nonce: Hex,
    authority: Authority,
    change: Row,
    /// The step of its trace that it follows from: a `traceparent`. What cannot be read is no trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

/// A [`Change`]; what becomes an event as it is, as the body of that event is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Row {
    Post {
        body: Box<RawValue>,
        digest: Hex,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest_before: Option<Hex>,
    },
    Add {
        body: Box<RawValue>,
    },
    Remove {
        user: UserId,
        reason: RemovalReason,
    },
    Update {
        name: Option<String>,
        owner: UserId,
        owner_email: String,
    },
    Clear,
    Delete,
}

/// What became of one command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It is in the log.
    Stored {
        /// As this, which frames hold too.
        event: Box<RawValue>,
        /// Whether an earlier attempt with the same `client_id` has put it there.
        repeated: bool,
    },
    /// It is not, by the rules; see [`Refused`].
    Refused(Reason),
    /// The node does not take it: it does not own the room, as far as it knows, or does not understand the command.
    Bounced,
}

/// A [`Refused`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    NotFound,
    Forbidden,
    AlreadyMember,
    NoMember,
    OwnerStays,
    ClientIdConflict,
    Overloaded,
    Unknown,
    Unavailable,
}

/// What has become of some of the commands of a request so far, by their places in it. One without any is a receipt.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) done: Vec<(usize, Box<RawValue>)>,
}

/// The JSON of `part`.
pub(super) fn raw(part: &impl Serialize) -> Box<RawValue> {
    to_raw_value(part).expect("what travels has string keys and no failing parts")
}

impl Parcel {
    pub(super) fn new(room: RoomId, turn: Option<Turn>, command: &Command) -> Self {
        let Command { sender, client_id, nonce, change, authority } = command;
        Self {
            room,
            turn,
            sender: *sender,
            client_id: client_id.as_str().to_owned(),
            nonce: Hex(nonce.0),
            authority: *authority,
            change: Row::of(change),
            trace: None,
        }
    }

    /// The same as a step of a trace.
    pub(super) fn traced(self, trace: Option<Trace>) -> Self {
        Self { trace: trace.map(|trace| trace.to_string()), ..self }
    }

    /// The step of its trace that it follows from.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.trace.as_ref()?.parse().ok()
    }

    /// The command, and where it belongs.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is of no kind that this node knows.
    pub(super) fn open(self) -> Result<(RoomId, Option<Turn>, Command), Malformed> {
        let command = Command {
            sender: self.sender,
            client_id: ClientId::stored(self.client_id),
            nonce: Nonce(self.nonce.0),
            change: self.change.change(self.sender)?,
            authority: self.authority,
        };
        Ok((self.room, self.turn, command))
    }
}

impl Row {
    fn of(change: &Change) -> Self {
        match change {
            Change::Post { message, digest_before } => {
                let Stored { json, digest, .. } = record::encode(&Body::Message(message.clone()));
                let digest = digest.map(Hex).expect("a message has a digest");
                Self::Post { body: body(json), digest, digest_before: digest_before.map(Hex) }
            }
            Change::Add(added) => {
                Self::Add { body: body(record::encode(&Body::MemberAdded(added.clone())).json) }
            }
            Change::Remove { user, reason } => Self::Remove { user: *user, reason: *reason },
            Change::Update { name, owner, owner_email } => Self::Update {
                name: name.clone(),
                owner: *owner,
                owner_email: owner_email.as_str().to_owned(),
            },
            Change::Clear => Self::Clear,
            Change::Delete => Self::Delete,
        }
    }

    fn change(self, sender: UserId) -> Result<Change, Malformed> {
        let body = |kind, body: &RawValue, digest: Option<Hex>| {
            let digest = digest.map(|Hex(bytes)| bytes);
            record::decode(kind, Some(body.get()), digest, sender).map_err(|_unknown| Malformed)
        };
        Ok(match self {
            Self::Post { body: json, digest, digest_before } => {
                let digest_before = digest_before.map(|Hex(bytes)| bytes);
                match body(record::MESSAGE, &json, Some(digest))? {
                    Body::Message(message) => Change::Post { message, digest_before },
                    _ => return Err(Malformed),
                }
            }
            Self::Add { body: json } => match body(record::MEMBER_ADDED, &json, None)? {
                Body::MemberAdded(added) => Change::Add(added),
                _ => return Err(Malformed),
            },
            Self::Remove { user, reason } => Change::Remove { user, reason },
            Self::Update { name, owner, owner_email } => {
                Change::Update { name, owner, owner_email: Email::stored(owner_email) }
            }
            Self::Clear => Change::Clear,
            Self::Delete => Change::Delete,
        })
    }
}

fn body(json: Option<String>) -> Box<RawValue> {
    let json = json.expect("these bodies are more than their kind");
    RawValue::from_string(json).expect("what is written down as JSON is JSON")
}

impl Outcome {
    pub(super) fn of(outcome: &Result<Committed, Refused>) -> Self {
        let reason = match outcome {
            Ok(Committed { event, repeated }) => {
                return Self::Stored { event: Entry::of(event), repeated: *repeated };
            }
            Err(Refused::NotFound) => Reason::NotFound,
            Err(Refused::Forbidden) => Reason::Forbidden,
            Err(Refused::AlreadyMember) => Reason::AlreadyMember,
            Err(Refused::NoMember) => Reason::NoMember,
            Err(Refused::OwnerStays) => Reason::OwnerStays,
            Err(Refused::ClientIdConflict) => Reason::ClientIdConflict,
            Err(Refused::Overloaded) => Reason::Overloaded,
            Err(Refused::Unknown) => Reason::Unknown,
            Err(Refused::Unavailable(_)) => Reason::Unavailable,
        };
        Self::Refused(reason)
    }

    /// What to tell the sender about their command for `room`; `None` if nothing was decided.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the event is of no kind that this node knows.
    pub(super) fn open(
        self,
        room: RoomId,
    ) -> Result<Option<Result<Committed, Refused>>, Malformed> {
        Ok(match self {
            Self::Stored { event, repeated } => {
                Some(Ok(Committed { event: Arc::new(Entry::open(&event, room)?), repeated }))
            }
            Self::Refused(reason) => Some(Err(reason.refused())),
            Self::Bounced => None,
        })
    }
}

impl Reason {
    fn refused(self) -> Refused {
        match self {
            Self::NotFound => Refused::NotFound,
            Self::Forbidden => Refused::Forbidden,
            Self::AlreadyMember => Refused::AlreadyMember,
            Self::NoMember => Refused::NoMember,
            Self::OwnerStays => Refused::OwnerStays,
            Self::ClientIdConflict => Refused::ClientIdConflict,
            Self::Overloaded => Refused::Overloaded,
            Self::Unknown => Refused::Unknown,
            Self::Unavailable => {
                let why = "the node that owns the room cannot read it".into();
                Refused::Unavailable(StoreError::Unavailable(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::MemberAdded;
    use crate::domain::{ConnectionId, MembershipId, Message, MessageType, Role, Username};

    fn changes() -> Vec<Change> {
        let user = UserId::new(1, 1);
        let (email, username) =
            (Email::stored("a@b.example".into()), Username::stored("ann".into()));
        let message = Message {
            sender: user,
            username: username.clone(),
            text: "\"hello\"\n".into(),
            message_type: MessageType::Text,
            attachment: None,
            digest: [0xff; 16],
        };
        vec![
            Change::Post { message: message.clone(), digest_before: None },
            Change::Post { message, digest_before: Some([0xfe; 16]) },
            Change::Add(MemberAdded {
                membership: MembershipId::new(1, 1),
                user: UserId::new(1, 2),
                email: email.clone(),
                username,
                role: Role::Member,
                request: None,
            }),
            Change::Remove { user, reason: RemovalReason::Left },
            Change::Update { name: None, owner: user, owner_email: email },
            Change::Clear,
            Change::Delete,
        ]
    }

    #[test]
    fn a_command_arrives_as_it_was_sent() {
        let (room, nonce) = (RoomId::new(1, 1), Nonce([0xfe; 16]));
        let turn = Some(Turn { connection: ConnectionId::new(1, 1), run: 3 });
        for change in changes() {
            let (sender, client_id) = (UserId::new(1, 1), ClientId::minted(nonce));
            let authority = Authority::Service;
            let command = Command { sender, client_id, nonce, change, authority };
            let sent = raw(&Parcel::new(room, turn, &command));
            let parcel: Parcel = serde_json::from_str(sent.get()).unwrap();
            let (to, in_turn, arrived) = parcel.open().unwrap();
            assert_eq!((to, in_turn), (room, turn));
            assert_eq!(format!("{arrived:?}"), format!("{command:?}"));
        }
    }

    #[test]
    fn every_refusal_arrives_as_itself() {
        let gone = || StoreError::Unavailable("gone".into());
        for refused in [
            Refused::NotFound,
            Refused::Forbidden,
            Refused::AlreadyMember,
            Refused::NoMember,
            Refused::OwnerStays,
            Refused::ClientIdConflict,
            Refused::Overloaded,
            Refused::Unknown,
            Refused::Unavailable(gone()),
        ] {
            let name = refused.to_string();
            let sent = raw(&Outcome::of(&Err(refused)));
            let outcome: Outcome = serde_json::from_str(sent.get()).unwrap();
            let arrived = outcome.open(RoomId::new(1, 1)).unwrap().unwrap().unwrap_err();
            assert_eq!(arrived.to_string(), name);
        }
        let sent = raw(&Outcome::Bounced);
        let bounced: Outcome = serde_json::from_str(sent.get()).unwrap();
        assert!(bounced.open(RoomId::new(1, 1)).unwrap().is_none());
    }
}
