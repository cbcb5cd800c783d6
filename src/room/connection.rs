//! One live transport of one user, as the rooms see it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Notify;

use super::live::LiveRoom;
use super::outbox::{Ended, Outbox, Packet};
use crate::api::UserBrief;
use crate::domain::{ConnectionId, RoomId, UserId};

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
    revoked: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    served: HashMap<RoomId, Arc<LiveRoom>>,
    opened: HashSet<RoomId>,
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
        let (revoked, places) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { id, user, scope, outbox, questions, revoked, places })
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

    /// The room, if this connection serves it.
    pub fn serves(&self, room: RoomId) -> Option<Arc<LiveRoom>> {
        self.places().served.get(&room).cloned()
    }

    /// Whether the user is present in the room through this connection.
    pub fn has_opened(&self, room: RoomId) -> bool {
        self.places().opened.contains(&room)
    }

    /// Notes that the room is served; `false` if the connection is gone, or serves it already.
    pub(crate) fn begin(&self, room: &Arc<LiveRoom>) -> bool {
        let mut places = self.places();
        if places.closed || places.served.contains_key(&room.id) {
            return false;
        }
        places.served.insert(room.id, Arc::clone(room));
        true
    }

    /// Notes that the user is present in a room that is served; `false` if it is not served, or opened already.
    pub(crate) fn open(&self, room: RoomId) -> bool {
        let mut places = self.places();
        places.served.contains_key(&room) && places.opened.insert(room)
    }

    /// Notes that the user is not present in the room any more; `false` if they were not.
    pub(crate) fn close_room(&self, room: RoomId) -> bool {
        self.places().opened.remove(&room)
    }

    /// Notes that the room is not served any more; `true` if the user was present in it.
    pub(crate) fn end(&self, room: RoomId) -> bool {
        let mut places = self.places();
        places.served.remove(&room);
        places.opened.remove(&room)
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
