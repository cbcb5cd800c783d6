//! What nodes ask of each other: one at a time is asked, by its own subject, and answers.
//!
//! A request is sealed for the subject of the node that it goes to and is taken in once ([`Replays`]); whoever
//! sends it again, or replays it later, is not heard. Answers name the request and are sealed for
//! [`Subject::answers`] of the node that asked, so one that was made for another request counts for nothing.
//!
//! Asking is a hint like everything on the bus: a request, and each of its answers, may be lost.

use std::sync::Weak;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::peers::Peers;
use super::{Inner, Rooms};
use crate::bus::seal::{Opened, Replays};
use crate::bus::{Delivery, Replies, Reply, Subject, Subscription};
use crate::domain::{BootId, Timestamp, UserId};

/// What one node asks of another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Errand {
    /// To say that it is there.
    Hello,
    /// To say which of these users are connected to it.
    Connected {
        /// Whom.
        users: Vec<UserId>,
    },
    /// To append these, each a [`super::wire::Parcel`], as the owner of their rooms. The first answer is the receipt.
    Commit {
        /// Commands, of one lane in their order.
        commands: Vec<Box<RawValue>>,
    },
}

/// A request as it travels.
#[derive(Serialize, Deserialize)]
struct Request<E> {
    /// What its answers name it by.
    id: u64,
    errand: E,
}

/// An answer as it travels.
#[derive(Serialize, Deserialize)]
struct Answer<T> {
    /// Which request it answers.
    id: u64,
    answer: T,
}

/// A request that was sent, and its answers. Dropping it ends it.
pub(crate) struct Inquiry {
    peers: Peers,
    node: BootId,
    id: u64,
    replies: Replies,
}

/// What comes back to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<T> {
    /// The node answers.
    Answer(T),
    /// Nobody listens there, or the link is down: the request has reached nobody. Nothing follows.
    Nobody,
    /// Nothing can come any more.
    Ended,
}

impl Inquiry {
    /// The next answer. Whoever waits sets the time. What is not of the node that was asked is not heard.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Heard<T> {
        loop {
            match self.replies.next().await {
                None => return Heard::Ended,
                Some(Reply::NoResponders) => return Heard::Nobody,
                Some(Reply::Answer(payload)) => match self.peers.opened(&payload) {
                    Some(Opened { node, body: Answer { id, answer }, .. })
                        if node == self.node && id == self.id =>
                    {
                        return Heard::Answer(answer);
                    }
                    Some(_) => {
                        tracing::warn!(node.id = %self.node, "an answer is of another request")
                    }
                    None => {}
                },
            }
        }
    }
}

/// Who has asked something, and where the answers go.
#[derive(Clone)]
pub(crate) struct Asker {
    peers: Peers,
    /// The node that asks.
    pub(crate) node: BootId,
    /// When, by its clock.
    pub(crate) at: Timestamp,
    id: u64,
    reply: Subject,
}

impl Asker {
    /// Answers; once, or several times as far as the errand says so.
    pub(crate) fn answer(&self, answer: &impl Serialize) {
        self.peers.answer(self.node, &self.reply, &Answer { id: self.id, answer });
    }
}

impl Peers {
    /// Asks `node` for something.
    pub(crate) fn ask(&self, node: BootId, errand: &impl Serialize) -> Inquiry {
        let id = rand::random();
        let replies = self.request(node, &Request { id, errand });
        Inquiry { peers: self.clone(), node, id, replies }
    }
}

/// Takes in what other nodes ask, as long as the rooms are there.
pub(crate) async fn serve(rooms: Weak<Inner>, mut heard: Subscription) {
    let mut replays = Replays::default();
    while let Some(Delivery { payload, reply }) = heard.next().await {
        let Some(inner) = rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        let peers = rooms.0.peers.clone();
        let opened = peers.asked::<Request<Errand>>(&payload, &mut replays, Timestamp::now());
        let Some(Opened { node, at, body: Request { id, errand }, .. }) = opened else { continue };
        let Some(reply) = reply.filter(Subject::is_inbox) else { continue };
        take(&rooms, Asker { peers, node, id, reply, at }, errand);
    }
}

/// Does what is asked, or has it done: this never waits, for errands are taken in one after the other.
fn take(rooms: &Rooms, asker: Asker, errand: Errand) {
    match errand {
        Errand::Hello => asker.answer(&()),
        Errand::Connected { mut users } => {
            users.retain(|user| rooms.is_connected(*user));
            asker.answer(&users);
        }
        Errand::Commit { commands } => rooms.take_commands(asker, &commands),
    }
}
