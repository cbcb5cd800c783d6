//! One live transport of one user, as the rooms see it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Notify;

use super::lane::{Lane, Lanes};
use super::live::LiveRoom;
use super::outbox::{Ended, Outbox, Packet};
use crate::api::UserBrief;
use crate::domain::{ConnectionId, Generation, RoomId, Seq, UserId};

/// Which rooms a connection serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One: a room socket.
    Room(RoomId),
    /// All of the user's: a session socket.
    Session,
}

/// One live transport of one user.
pub struct Connection {
    /// Its id on this node.
    pub id: ConnectionId,
    /// Whose it is, as it was when the connection was made.
    pub user: UserBrief,
    /// Which rooms it serves.
    pub scope: Scope,
    /// What waits to be sent.
    pub outbox: Arc<Outbox>,
    /// What the client has asked and has no answer yet.
    pub questions: Arc<Questions>,
    /// Of the account, when the connection was let in.
    generation: OnceLock<Generation>,
    revoked: AtomicBool,
    places: Mutex<Places>,
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Places {
    served: HashMap<RoomId, Arc<LiveRoom>>,
    opened: HashSet<RoomId>,
    /// Whether the client has been told which rooms it is in.
    ready: bool,
    /// The rooms that it is about to serve: those it has been told of, and those into which its user comes.
    awaited: HashSet<RoomId>,
    /// The last coming of the user into a room of which this connection was not to make anything when it heard of it.
    came: HashMap<RoomId, Seq>,
    /// Where stays that this connection served have ended.
    left: HashMap<RoomId, Seq>,
    closed: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("user", &self.user.id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection that serves no room yet.
    pub fn new(id: ConnectionId, user: UserBrief, scope: Scope, outbox: Arc<Outbox>) -> Arc<Self> {
        let questions = Arc::default();
        let (generation, revoked, places) =
            (OnceLock::new(), AtomicBool::new(false), Mutex::default());
        let lanes = Mutex::default();
        Arc::new(Self { id, user, scope, outbox, questions, generation, revoked, places, lanes })
    }

    /// Notes the generation of the account that the connection was let in with.
    pub fn verified(&self, generation: Generation) {
        self.generation.get_or_init(|| generation);
    }

    /// The generation of the account that it was let in with, if that was noted.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.generation.get().copied()
    }

    /// Whose connection it is.
    pub fn user_id(&self) -> UserId {
        self.user.id
    }

    /// Ends the connection for good, because the user's session is over: nothing more is carried out for it, and what waits
    /// for the client has [`Connection::FAREWELL`] to reach it.
    pub(crate) fn revoke(self: &Arc<Self>) {
        self.revoked.store(true, Ordering::SeqCst);
        self.outbox.push(Packet::Disconnect);
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Self::FAREWELL).await;
            connection.outbox.end(Ended::Revoked);
        });
    }

    /// Takes nothing more from the client, decides and answers what it has said, lets it have what is
    /// on its way to it, and ends the connection in the way that makes it come back by itself.
    pub(crate) async fn let_go(&self) {
        self.questions.close();
        let said_and_sent = async {
            self.questions.all_answered().await;
            self.outbox.has_emptied().await;
        };
        _ = tokio::time::timeout(Self::LAST_WORDS, said_and_sent).await;
        self.outbox.end(Ended::Draining);
    }

    /// How long one connection may take to write out what it was told before it is let go.
    pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

    /// How long what waits for a revoked connection may take: with the time that other nodes take to hear of it, within the
    /// 2 s of the contract.
    const FAREWELL: Duration = Duration::from_secs(1);

    /// Whether the user's session is over.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// Sends an event behind everything that was sent before.
    pub fn tell(&self, name: &'static str, payload: &impl Serialize) {
        self.outbox.push(Packet::Event(name, encode(payload)));
    }

    /// Sends an event that is encoded already.
    pub(crate) fn tell_encoded(&self, name: &'static str, payload: Arc<RawValue>) {
        self.outbox.push(Packet::Event(name, payload));
    }

    /// The order of what it says to `room`. Taken before it is looked whether something is refused for what was refused before
    /// it.
    pub fn lane(&self, room: RoomId) -> Lane {
        self.lanes().of(self.id, room)
    }

    /// It has been told of a refusal in `room` that invites to send again. What it has said behind that is refused, but not
    /// what it says from now on.
    pub fn begin_anew(&self, room: RoomId) {
        self.lanes().begin_anew(room);
    }

    /// The room, if this connection serves it.
    pub fn serves(&self, room: RoomId) -> Option<Arc<LiveRoom>> {
        self.places().served.get(&room).cloned()
    }

    /// Whether the user is present in the room through this connection.
    pub fn has_opened(&self, room: RoomId) -> bool {
        self.places().opened.contains(&room)
    }

    /// The client is told that it is in these rooms: each is served when its turn comes. Answers with the rooms that its user has
    /// come into since they were listed.
    pub fn ready(&self, rooms: impl IntoIterator<Item = RoomId>) -> Vec<(RoomId, Seq)> {
        let mut places = self.places();
        places.ready = true;
        places.awaited.extend(rooms);
        let Places { awaited, came, .. } = &mut *places;
        came.extract_if(|room, _| !awaited.contains(room)).collect()
    }

    /// Whether this connection is to serve a room from now on, into which its user came at `seq`. If it does, or will when the room's
    /// turn comes, it only keeps in mind that the user has come again, should the stay before be over by then.
    pub(crate) fn is_to_serve(&self, room: RoomId, seq: Seq) -> bool {
        let mut places = self.places();
        if places.closed || places.left.get(&room).is_some_and(|left| *left >= seq) {
            return false;
        }
        let is_in = places.served.contains_key(&room) || places.awaited.contains(&room);
        if is_in || !places.ready {
            let came = places.came.entry(room).or_insert(seq);
            *came = seq.max(*came);
            return false;
        }
        places.awaited.insert(room);
        true
    }

    /// Nothing is to be made of the coming into the room at `seq`. Answers with a later one, if that is known: the room is still to be served then.
    pub(crate) fn forgo(&self, room: RoomId, seq: Seq) -> Option<Seq> {
        let mut places = self.places();
        let again = places.came.remove(&room).filter(|came| *came > seq);
        if again.is_none() {
            places.awaited.remove(&room);
        }
        again
    }

    /// Notes that the room is served; `false` if the connection is gone, or serves it already.
    pub(crate) fn begin(&self, room: &Arc<LiveRoom>) -> bool {
        let mut places = self.places();
        if places.closed || places.served.contains_key(&room.id) {
            return false;
        }
        places.awaited.remove(&room.id);
        places.served.insert(room.id, Arc::clone(room));
        true
    }

    /// Notes that the user is present in a room, if it is served; whether it is.
    pub(crate) fn open(&self, room: RoomId) -> bool {
        let mut places = self.places();
        let is_served = places.served.contains_key(&room);
        if is_served {
            places.opened.insert(room);
        }
        is_served
    }

    /// Notes that the user is not present in the room any more; `false` if they were not.
    pub(crate) fn close_room(&self, room: RoomId) -> bool {
        self.places().opened.remove(&room)
    }

    /// Notes that the room is not served any more, for the stay in it has ended at `left`. Answers with the position at which its user has
    /// come again, if that is known already.
    pub(crate) fn end(&self, room: RoomId, left: Seq) -> Option<Seq> {
        let mut places = self.places();
        places.served.remove(&room);
        places.opened.remove(&room);
        places.left.insert(room, left);
        places.came.remove(&room).filter(|came| *came > left)
    }

    /// Notes that the room could not be served.
    pub(crate) fn give_up(&self, room: RoomId) {
        let mut places = self.places();
        places.served.remove(&room);
        places.opened.remove(&room);
    }

    /// Notes the end of the connection and answers the rooms that it served, with whether the user was present.
    pub(crate) fn end_all(&self) -> Vec<(Arc<LiveRoom>, bool)> {
        let mut places = self.places();
        places.closed = true;
        let opened = std::mem::take(&mut places.opened);
        let served = std::mem::take(&mut places.served);
        served.into_iter().map(|(id, room)| (room, opened.contains(&id))).collect()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client has asked and has no answer yet.
#[derive(Debug, Default)]
pub struct Questions {
    open: AtomicUsize,
    closed: AtomicBool,
    answered: Notify,
}

/// One question; answered, in one way or another, when it is dropped.
#[derive(Debug)]
pub struct Question(Arc<Questions>);

impl Questions {
    /// The client asks something.
    pub fn ask(self: &Arc<Self>) -> Question {
        self.open.fetch_add(1, Ordering::SeqCst);
        Question(Arc::clone(self))
    }

    /// Takes no more from now on: the node is going.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// How many have no answer yet.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether no more is taken.
    pub fn are_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until everything is answered.
    pub async fn all_answered(&self) {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            answered.await;
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.answered.notify_waiters();
        }
    }
}

/// The JSON of `payload`, made once for all who get it.
pub fn encode(payload: &impl Serialize) -> Arc<RawValue> {
    let raw =
        to_raw_value(payload).expect("what clients are told has string keys and no failing parts");
    Arc::from(raw)
}
