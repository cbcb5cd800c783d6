//! The connections of this node by user, and what reaches a user in all of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::connection::Connection;
use super::outbox::Ended;
use crate::domain::{ConnectionId, RoomId, Seq, UserId};

/// A user came into a room while connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) user: UserId,
    pub(crate) room: RoomId,
    /// The position of their `member_added`.
    pub(crate) seq: Seq,
}

/// The connections of a node.
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Rooms in which presence has something to tell.
    restless: Mutex<HashSet<RoomId>>,
    stirred: Notify,
    /// Unbounded, but fed only by appended events, so it holds no more than the log's writers store while one task reads it.
    entered: mpsc::UnboundedSender<Entered>,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, HashMap<ConnectionId, Arc<Connection>>>,
    count: usize,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Hub {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Entered>) {
        let (entered, entering) = mpsc::unbounded_channel();
        let hub = Self {
            state: Mutex::default(),
            restless: Mutex::default(),
            stirred: Notify::new(),
            entered,
        };
        (hub, entering)
    }

    /// Takes a connection in unless its user has `limit` already (0: no limit).
    pub(crate) fn add(&self, connection: &Arc<Connection>, limit: usize) -> Result<(), TooMany> {
        let mut state = self.state();
        let of_user = state.users.entry(connection.user_id()).or_default();
        if limit > 0 && of_user.len() >= limit {
            return Err(TooMany);
        }
        of_user.insert(connection.id, Arc::clone(connection));
        state.count += 1;
        Ok(())
    }

    /// Whether the user may have another connection.
    pub(crate) fn has_place(&self, user: UserId, limit: usize) -> bool {
        limit == 0 || self.state().users.get(&user).is_none_or(|all| all.len() < limit)
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, connection: &Connection) {
        let mut state = self.state();
        let Some(of_user) = state.users.get_mut(&connection.user_id()) else { return };
        let was_here = of_user.remove(&connection.id).is_some();
        if of_user.is_empty() {
            state.users.remove(&connection.user_id());
        }
        state.count -= usize::from(was_here);
    }

    /// The user's connections.
    pub(crate) fn of(&self, user: UserId) -> Vec<Arc<Connection>> {
        let state = self.state();
        state.users.get(&user).map(|all| all.values().cloned().collect()).unwrap_or_default()
    }

    /// Every connection.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.state().users.values().flat_map(|all| all.values().cloned()).collect()
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.state().count
    }

    /// Whether the user has a connection.
    pub(crate) fn is_connected(&self, user: UserId) -> bool {
        self.state().users.contains_key(&user)
    }

    /// The users who have a connection.
    pub(crate) fn users(&self) -> Vec<UserId> {
        self.state().users.keys().copied().collect()
    }

    /// Ends a connection so that its client comes back.
    pub(crate) fn end(connection: &Connection, why: Ended) {
        connection.outbox.end(why);
    }

    /// A user came into a room; their session sockets are to serve it.
    pub(crate) fn entered(&self, user: UserId, room: RoomId, seq: Seq) {
        if self.is_connected(user) {
            // Fails only when the node is being dropped, and with it every connection.
            let _ = self.entered.send(Entered { user, room, seq });
        }
    }

    /// Presence in `room` has something to tell.
    pub(crate) fn is_restless(&self, room: RoomId) {
        self.restless.lock().unwrap_or_else(PoisonError::into_inner).insert(room);
        self.stirred.notify_one();
    }

    /// Waits until presence has something to tell somewhere.
    pub(crate) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// The rooms in which presence has something to tell, which are taken from the list.
    pub(crate) fn take_restless(&self) -> HashSet<RoomId> {
        std::mem::take(&mut *self.restless.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
