//! The live rooms of this node: who writes, who listens, who is present.
//!
//! A room is live here as long as a connection listens to it or this node appends in it, and for [`LINGER`]
//! after. Its [`writer`] decides and appends, its [`feed`] tells every connection every event once and in order, its
//! [`presence`] knows who is there. Of the nodes that could append in a room one is its owner: [`ways`] knows the way
//! to it, a [`courier`] goes there, a [`clerk`] takes in what others bring. Nothing here knows a transport: `socket` hands in
//! a [`Sink`] for each connection.

mod append;
mod asked;
mod census;
mod clerk;
mod command;
mod connection;
mod courier;
mod echoes;
mod entering;
mod errands;
mod feed;
mod hub;
mod inbox;
mod lane;
mod last_seen;
mod live;
mod outbox;
mod peers;
mod presence;
mod promises;
mod revocation;
mod standing;
mod sweep;
mod typing;
mod ways;
mod wire;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use asked::Reply;
pub use command::{Authority, Change, Command, Committed, Refused};
pub use connection::{Connection, Question, Questions, Scope, encode};
pub use feed::{SignLink, Teller};
pub use hub::TooMany;
pub use lane::Lane;
pub use live::{LiveRoom, NotServed};
pub use outbox::{Ended, Outbox, Packet, Sink, SinkError};
pub use peers::Peers;
pub(crate) use presence::CROWD;
pub use typing::TYPING_EXPIRES;

use crate::bus::codec::Word;
use crate::domain::{BootId, ConnectionId, RoomId, Seq, UserId};
use crate::metrics::Metrics;
use crate::store::{DynStore, StoreError};
use errands::{Errand, Heard};
use hub::Hub;
use last_seen::LastSeen;
use presence::Ticked;
use standing::Standing;
use ways::Ways;

/// Events of one client that wait to be carried out; beyond it they are refused as `overloaded`. More than
/// the burst that the rate limit allows (2,000), so a client within its limits never meets it.
pub const INCOMING: usize = 4096;

/// How long a room stays live after its last connection.
const LINGER: Duration = Duration::from_secs(60);

/// What can be set about live rooms.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a user may be gone before `leave` is told.
    pub leave_grace: Duration,
    /// Connections a user may have on this node; 0 for any number.
    pub sockets_per_user: usize,
}

/// The live rooms of a node. Clones are the same.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    store: DynStore,
    metrics: Metrics,
    teller: Teller,
    peers: Peers,
    settings: Settings,
    hub: Arc<Hub>,
    /// Users for whom this node listens on the bus.
    attended: Mutex<HashMap<UserId, AbortHandle>>,
    live: Mutex<HashMap<RoomId, Entry>>,
    ways: Ways,
    standing: Standing,
    /// Ends what listens to other nodes at once when the rooms go, so that nobody asks in vain.
    _serving: Option<Serving>,
}

struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Entry {
    room: Arc<LiveRoom>,
    used: Instant,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").field("live", &self.live().len()).finish_non_exhaustive()
    }
}

impl Rooms {
    /// No live rooms yet. Starts the tasks that tell presence and let go of idle rooms; they end when the last clone is dropped.
    pub fn new(
        store: DynStore,
        metrics: Metrics,
        teller: Teller,
        peers: Peers,
        settings: Settings,
    ) -> Self {
        let (hub, entering) = Hub::new();
        let asked = peers.listen_for_errands();
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| Inner {
            _serving: asked.map(|heard| {
                let serving = tokio::spawn(errands::serve(Weak::clone(inner), heard));
                Serving(serving.abort_handle())
            }),
            store,
            metrics,
            teller,
            peers,
            settings,
            hub: Arc::new(hub),
            attended: Mutex::default(),
            live: Mutex::default(),
            ways: Ways::new(),
            standing: Standing::new(),
        });
        let (hub, last_seen) = (Arc::clone(&inner.hub), LastSeen::new(Arc::clone(&inner.store)));
        tokio::spawn(tell_presence(Arc::downgrade(&inner), hub, last_seen));
        tokio::spawn(let_idle_go(Arc::downgrade(&inner)));
        if inner.peers.reach_others() {
            tokio::spawn(sweep::follow_losses(Arc::downgrade(&inner)));
            let doubts = Arc::clone(&inner.peers.doubts);
            tokio::spawn(standing::follow_doubts(Arc::downgrade(&inner), doubts));
        }
        tokio::spawn(echoes::tell(Arc::downgrade(&inner), inner.peers.echoes.clone()));
        tokio::spawn(entering::take_in_entered(Arc::downgrade(&inner), entering));
        Self(inner)
    }

    /// The room, live from now on; `None` if it never was. A deleted room can be live for the last of its listeners.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn live_room(&self, id: RoomId) -> Result<Option<Arc<LiveRoom>>, StoreError> {
        if let Some(room) = self.known(id) {
            return Ok(Some(room));
        }
        // First the ear, then the tail: what comes between is heard, and what was before is read.
        let heard = self.0.peers.listen(id);
        self.0.peers.settled().await;
        let Some(tail) = self.0.store.tail(id).await? else { return Ok(None) };
        let room = LiveRoom::new(
            id,
            tail.seq,
            Arc::clone(&self.0.store),
            self.0.metrics.clone(),
            self.0.teller.clone(),
            (Arc::clone(&self.0.hub), self.0.peers.clone()),
        );
        if let Some(heard) = heard {
            tokio::spawn(peers::follow(self.0.peers.clone(), Arc::downgrade(&room), heard));
        }
        let mut live = self.live();
        // Whoever was first while the tail was read stays; a later tail is only a later start.
        let entry = live.entry(id).or_insert(Entry { room, used: Instant::now() });
        Ok(Some(Arc::clone(&entry.room)))
    }

    /// The room if it is live here.
    pub fn known(&self, id: RoomId) -> Option<Arc<LiveRoom>> {
        let mut live = self.live();
        let entry = live.get_mut(&id)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.room))
    }

    /// The room if it is live here, which this does not count as a use of it.
    fn peek(&self, id: RoomId) -> Option<Arc<LiveRoom>> {
        self.live().get(&id).map(|entry| Arc::clone(&entry.room))
    }

    /// Takes a connection in.
    ///
    /// # Errors
    ///
    /// [`TooMany`] if its user has as many as are allowed.
    pub fn connect(&self, connection: &Arc<Connection>) -> Result<(), TooMany> {
        self.0.hub.add(connection, self.0.settings.sockets_per_user)?;
        let user = connection.user_id();
        let mut attended = self.attended();
        if !attended.contains_key(&user)
            && let Some(heard) = self.0.peers.listen_for(user)
        {
            let attending = tokio::spawn(peers::attend(Arc::downgrade(&self.0), user, heard));
            attended.insert(user, attending.abort_handle());
        }
        Ok(())
    }

    /// Whether the user may have another connection on this node.
    pub fn may_connect(&self, user: UserId) -> bool {
        self.0.hub.has_place(user, self.0.settings.sockets_per_user)
    }

    /// Lets a connection go, whose transport has ended.
    pub fn disconnect(&self, connection: &Arc<Connection>) {
        connection.outbox.close();
        self.0.hub.remove(connection);
        let mut attended = self.attended();
        if !self.0.hub.is_connected(connection.user_id())
            && let Some(attending) = attended.remove(&connection.user_id())
        {
            attending.abort();
        }
        drop(attended);
        for (room, was_present) in connection.end_all() {
            room.let_go(connection);
            if was_present {
                self.0.hub.is_restless(room.id);
            }
        }
    }

    /// Tells a user something in all of their session sockets.
    pub fn tell_user(&self, user: UserId, name: &'static str, payload: &impl Serialize) {
        self.tell_everywhere(user, None, name, payload);
    }

    /// Tells the user's sockets that serve `room` something of that room.
    pub fn tell_user_in(
        &self,
        user: UserId,
        room: RoomId,
        name: &'static str,
        payload: &impl Serialize,
    ) {
        self.tell_everywhere(user, Some(room), name, payload);
    }

    fn tell_everywhere(
        &self,
        user: UserId,
        room: Option<RoomId>,
        name: &'static str,
        payload: &impl Serialize,
    ) {
        let payload = encode(payload);
        self.tell_here(user, room, name, &payload);
        self.0.peers.say(user, || Word::Told {
            room,
            name: name.to_owned(),
            payload: payload.as_ref().to_owned(),
        });
    }

    /// Tells the user's sockets of this node: those that serve `room`, or all session sockets.
    pub(crate) fn tell_here(
        &self,
        user: UserId,
        room: Option<RoomId>,
        name: &'static str,
        payload: &Arc<RawValue>,
    ) {
        for connection in self.0.hub.of(user) {
            let is_meant = match room {
                Some(room) => connection.serves(room).is_some(),
                None => connection.scope == Scope::Session,
            };
            if is_meant {
                connection.tell_encoded(name, Arc::clone(payload));
            }
        }
    }

    /// Tells everybody who is present in `room`, but `except`, something fleeting.
    pub fn signal(
        &self,
        room: RoomId,
        name: &'static str,
        payload: &impl Serialize,
        except: UserId,
    ) {
        let payload = encode(payload);
        if let Some(live) = self.known(room) {
            live.shared.presence.tell(name, &payload, except);
        }
        self.0.peers.tell_present(room, name, except, &payload);
    }

    /// A user is in `room` since `seq`, by an event that no writer here appended: the first of a new room. Their session sockets serve it from there on.
    pub fn entered(&self, user: UserId, room: RoomId, seq: Seq) {
        self.0.hub.entered(user, room, seq);
        self.0.peers.say(user, || Word::Entered { room, seq });
    }

    /// Whether `node` answers within `patience`: this one does, another if it is there and the bus leads to it.
    pub async fn reaches(&self, node: BootId, patience: Duration) -> bool {
        let peers = &self.0.peers;
        if node == peers.nodes().me() {
            return true;
        }
        let mut asked = peers.ask(node, &Errand::Hello);
        let heard = tokio::time::timeout(patience, asked.next::<()>()).await;
        heard == Ok(Heard::Answer(()))
    }

    /// The same, for the connections of this node only.
    pub fn entered_here(&self, user: UserId, room: RoomId, seq: Seq) {
        self.0.hub.entered(user, room, seq);
    }

    /// Whether the user has a connection.
    pub fn is_connected(&self, user: UserId) -> bool {
        self.0.hub.is_connected(user)
    }

    /// The users who have a connection.
    pub fn connected_users(&self) -> Vec<UserId> {
        self.0.hub.users()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.0.hub.count()
    }

    /// Every connection, for the drain.
    pub fn all_connections(&self) -> Vec<Arc<Connection>> {
        self.0.hub.all()
    }

    /// Has live rooms forget what they keep in memory that tells of `user`, of whom the store knows less now.
    pub fn forget_told(&self, user: UserId) {
        self.live().values().for_each(|entry| entry.room.shared.feed.forget_told(user));
    }

    /// What turns events into what clients are told.
    pub fn teller(&self) -> &Teller {
        &self.0.teller
    }

    fn attended(&self) -> MutexGuard<'_, HashMap<UserId, AbortHandle>> {
        self.0.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<RoomId, Entry>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what has changed in presence, a tick after it changed.
async fn tell_presence(rooms: Weak<Inner>, hub: Arc<Hub>, last_seen: LastSeen) {
    loop {
        tokio::select! {
            () = hub.stirred() => {}
            // Looks whether the node is still there.
            () = tokio::time::sleep(LINGER) => {}
        }
        tokio::time::sleep(presence::TICK).await;
        let Some(inner) = rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        for id in hub.take_restless() {
            let Some(room) = rooms.known(id) else { continue };
            let Ticked { gone, restless } = room.tick(&rooms.0.settings);
            for (user, at) in gone {
                last_seen.note(id, user, at);
            }
            if restless {
                hub.is_restless(id);
            }
        }
    }
}

/// Lets go of rooms that nobody has used for a while.
async fn let_idle_go(rooms: Weak<Inner>) {
    loop {
        tokio::time::sleep(LINGER / 4).await;
        let Some(inner) = rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        // A room in use elsewhere has another owner beside the table.
        rooms.live().retain(|_, entry| {
            Arc::strong_count(&entry.room) > 1
                || !entry.room.is_idle()
                || entry.used.elapsed() < LINGER
        });
    }
}

/// Makes the id of a connection.
pub fn connection_id() -> ConnectionId {
    ConnectionId::new(crate::domain::Timestamp::now().as_millis(), rand::random())
}
