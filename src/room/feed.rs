//! The feed of a live room: every event once, in order, to every connection that the room has here.
//!
//! A feed knows the position up to which it has delivered. What is at or below it is dropped, what follows it
//! is delivered, what lies beyond the next is held back until the caller has read what is missing. The
//! events delivered last stay in a ring, so that connections which come back at once need not ask the store.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;

use super::connection::{Connection, Scope, encode};
use super::outbox::{Outbox, Packet};
use crate::api::{Lasting, MessageView, Payload, Place, Variant};
use crate::domain::erasure::erased;
use crate::domain::{Attachment, Body, ConnectionId, Epoch, Event, Seq, UserId, Words};

/// Events that stay in memory behind a room's tail.
pub(crate) const RING: usize = 256;

/// Events handed to one connection at once, which holds up the others of the room.
const SLICE: usize = 64;

/// Signs the paths of attachments for their readers.
pub type SignLink = Arc<dyn Fn(&Attachment, Variant, UserId) -> String + Send + Sync>;

/// Turns events into what clients are told.
#[derive(Clone)]
pub struct Teller {
    /// The life of the store that positions belong to.
    pub epoch: Epoch,
    /// Signs links.
    pub sign: SignLink,
}

impl Teller {
    /// A stored message for one reader; `None` if the event is none, or nothing is left of it.
    pub fn message(&self, event: &Event, reader: UserId) -> Option<MessageView> {
        MessageView::new(event, self.epoch, |attachment, variant| {
            (self.sign)(attachment, variant, reader)
        })
    }

    fn encode(&self, event: &Event, reader: UserId) -> (&'static str, Arc<RawValue>) {
        let (name, payload) = Payload::of(event, |event| self.message(event, reader));
        let place = Place { chat_room_id: event.room, seq: event.seq };
        (name, encode(&Lasting { place, payload }))
    }
}

/// An event, encoded once for all readers unless it holds links, which are signed for each.
pub(crate) struct Told {
    pub(crate) event: Arc<Event>,
    name: &'static str,
    shared: Option<Arc<RawValue>>,
}

impl Told {
    pub(crate) fn new(event: Arc<Event>, teller: &Teller) -> Self {
        let personal =
            matches!(&event.body, Body::Message(message) if message.attachment.is_some());
        let (name, encoded) = teller.encode(&event, event.sender);
        Self { event, name, shared: (!personal).then_some(encoded) }
    }

    fn tell(&self, connection: &Connection, teller: &Teller) {
        let payload = match &self.shared {
            Some(payload) => Arc::clone(payload),
            None => teller.encode(&self.event, connection.user_id()).1,
        };
        connection.tell_encoded(self.name, payload);
    }

    /// Whether this event ends the stay of `user` in the room.
    fn ends_stay_of(&self, user: UserId) -> bool {
        self.event.body.ends_stay_of(user)
    }
}

/// What is missing before delivery can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Read behind this position ...
    pub(crate) after: Seq,
    /// ... up to this one.
    pub(crate) through: Seq,
}

/// A connection whose stay in the room has ended, and where.
pub(crate) type Left = (Arc<Connection>, Seq);

/// What came of a delivery.
#[derive(Default)]
pub(crate) struct Delivered {
    /// The connections whose stay has ended, and where.
    pub(crate) ended: Vec<Left>,
    /// Events, each counted once a connection.
    pub(crate) handed_over: usize,
    /// The queue of one of the connections, and the place of the last event in it.
    pub(crate) followed: Option<(Arc<Outbox>, u64)>,
}

/// How an attempt to take a connection in ended.
pub(crate) enum Attached {
    /// Live from the feed's position.
    Live,
    /// The connection's stay in the room is over, by the event at this position.
    Over(Seq),
    /// It was brought up to this position; there is more.
    Behind(Seq),
    /// The ring does not reach back to its position: read behind it, up to this one.
    Beyond(Seq),
}

/// The feed of one live room on this node.
pub(crate) struct Feed {
    teller: Teller,
    state: Mutex<State>,
}

struct State {
    delivered: Seq,
    ring: VecDeque<Arc<Told>>,
    connections: HashMap<ConnectionId, Arc<Connection>>,
}

impl Feed {
    /// A feed that has delivered up to `tail`.
    pub(crate) fn new(teller: Teller, tail: Seq) -> Self {
        let state = State { delivered: tail, ring: VecDeque::new(), connections: HashMap::new() };
        Self { teller, state: Mutex::new(state) }
    }

    /// The position up to which every connection has been told.
    pub(crate) fn delivered(&self) -> Seq {
        self.state().delivered
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.state().connections.len()
    }

    /// Whether nobody listens.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().connections.is_empty()
    }

    /// What was delivered behind `after`; `None` if the ring does not reach back to it.
    pub(crate) fn since(&self, after: Seq) -> Option<Vec<Arc<Event>>> {
        let state = self.state();
        let reaches = state.ring.front().is_some_and(|told| told.event.seq <= after.next());
        let behind = state.ring.iter().filter(|told| told.event.seq > after);
        reaches.then(|| behind.map(|told| Arc::clone(&told.event)).collect())
    }

    /// Delivers what is new of `events`, which are in order and without holes. A gap before them changes
    /// nothing. If something was new and `is_followed` says so, one of the connections is answered.
    pub(crate) fn deliver(
        &self,
        events: &[Arc<Event>],
        is_followed: impl FnOnce() -> bool,
    ) -> Result<Delivered, Gap> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(Delivered::default());
        };
        let mut state = self.state();
        if first.seq > state.delivered.next() {
            return Err(Gap { after: state.delivered, through: last.seq });
        }
        let mut delivered = Delivered::default();
        for event in events {
            if event.seq <= state.delivered {
                continue;
            }
            delivered.handed_over += state.connections.len();
            self.deliver_one(&mut state, event, &mut delivered.ended);
        }
        let listeners = state.connections.len();
        if delivered.handed_over > 0 && listeners > 0 && is_followed() {
            let nth = rand::random_range(..listeners);
            let one = state.connections.values().nth(nth);
            let outbox = one.map(|connection| Arc::clone(&connection.outbox));
            delivered.followed = outbox.map(|outbox| (Arc::clone(&outbox), outbox.queued()));
        }
        Ok(delivered)
    }

    fn deliver_one(&self, state: &mut State, event: &Arc<Event>, ended: &mut Vec<Left>) {
        let told = Arc::new(Told::new(Arc::clone(event), &self.teller));
        for connection in state.connections.values() {
            told.tell(connection, &self.teller);
        }
        if matches!(event.body, Body::MemberRemoved { .. } | Body::RoomDeleted) {
            let gone = state
                .connections
                .extract_if(|_, connection| told.ends_stay_of(connection.user_id()));
            ended.extend(gone.map(|(_, connection)| (connection, event.seq)));
        }
        state.delivered = event.seq;
        if state.ring.len() == RING {
            state.ring.pop_front();
        }
        if let Body::Cleared { .. } = event.body {
            state.ring.clear(); // What it held is blank now; the store knows.
        }
        state.ring.push_back(told);
    }

    /// Tells one connection an event behind its position. `checked` is the position at which its user was known to be a member: an end of
    /// their stay up to there is past.
    pub(crate) fn replay(
        &self,
        connection: &Connection,
        event: Event,
        checked: Seq,
    ) -> ControlFlow<Seq> {
        let told = Told::new(Arc::new(event), &self.teller);
        told.tell(connection, &self.teller);
        if told.event.seq > checked && told.ends_stay_of(connection.user_id()) {
            return ControlFlow::Break(told.event.seq);
        }
        ControlFlow::Continue(())
    }

    /// Takes a connection in that has been told everything up to `from`, at one moment: what the ring holds behind it first, then live.
    pub(crate) fn attach(&self, connection: &Arc<Connection>, from: Seq, checked: Seq) -> Attached {
        let mut state = self.state();
        if from < state.delivered {
            let reaches = state.ring.front().is_some_and(|told| told.event.seq <= from.next());
            if !reaches {
                return Attached::Beyond(state.delivered);
            }
            let behind = state.ring.iter().filter(|told| told.event.seq > from);
            for (nth, told) in behind.enumerate() {
                if nth == SLICE || !connection.outbox.takes_more() {
                    return Attached::Behind(Seq(told.event.seq.0 - 1));
                }
                told.tell(connection, &self.teller);
                if told.event.seq > checked && told.ends_stay_of(connection.user_id()) {
                    return Attached::Over(told.event.seq);
                }
            }
        }
        state.connections.insert(connection.id, Arc::clone(connection));
        Attached::Live
    }

    /// Forgets what stays in memory behind the tail, if any of it tells of `user`; it is read from the store then.
    pub(crate) fn forget_told(&self, user: UserId) {
        let ring = &mut self.state().ring;
        if ring.iter().any(|told| erased(&told.event, user, Words::Erased).is_some()) {
            ring.clear();
        }
    }

    /// Lets a connection go.
    pub(crate) fn detach(&self, connection: ConnectionId) {
        self.state().connections.remove(&connection);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a connection whose stay in its only room has ended that the server closes it.
pub(crate) fn close_if_room_socket(connection: &Connection) {
    if let Scope::Room(_) = connection.scope {
        connection.outbox.push(Packet::Disconnect);
    }
}
