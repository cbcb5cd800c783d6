//! One live room on this node: its feed, its writer, who is present.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::Settings;
use super::connection::Connection;
use super::feed::{Attached, Feed, Gap, Teller, close_if_room_socket};
use super::hub::Hub;
use super::peers::Peers;
use super::presence::{Presence, Ticked};
use super::typing::Typing;
use super::writer::{self, Inbox};
use crate::bus::codec::Word;
use crate::domain::event::Event;
use crate::domain::{Body, RoomId, Seq, UserId};
use crate::metrics::Metrics;
use crate::store::{DynStore, StoreError};

/// Events read at once for a replay or a repair.
const PAGE: u32 = 100;

/// A room that somebody on this node listens to or writes in.
pub struct LiveRoom {
    /// Its id.
    pub id: RoomId,
    pub(crate) shared: Arc<Shared>,
    inbox: OnceLock<Inbox>,
}

/// What the writer of a room shares with those who listen.
pub(crate) struct Shared {
    pub(crate) room: RoomId,
    pub(crate) store: DynStore,
    pub(crate) metrics: Metrics,
    pub(crate) feed: Feed,
    pub(crate) presence: Presence,
    pub(crate) peers: Peers,
    typing: Typing,
    hub: Arc<Hub>,
    /// Commands without an answer.
    pub(crate) pending: AtomicUsize,
    /// Held while missing events are read, so that they are read once.
    repairing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for LiveRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveRoom").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a connection is not served in a room.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// The user's stay in the room ended while it was taken in.
    #[error("the stay in the room is over")]
    Over,
    /// The connection is gone, or is served already.
    #[error("the connection is gone")]
    Gone,
    /// The store does not answer.
    #[error("the store does not answer")]
    Unavailable(#[from] StoreError),
}

impl LiveRoom {
    pub(crate) fn new(
        id: RoomId,
        tail: Seq,
        store: DynStore,
        metrics: Metrics,
        teller: Teller,
        (hub, peers): (Arc<Hub>, Peers),
    ) -> Arc<Self> {
        let shared = Shared {
            room: id,
            store,
            metrics,
            feed: Feed::new(teller, tail),
            presence: Presence::new(id),
            peers,
            typing: Typing::default(),
            hub,
            pending: AtomicUsize::new(0),
            repairing: tokio::sync::Mutex::default(),
        };
        Arc::new(Self { id, shared: Arc::new(shared), inbox: OnceLock::new() })
    }

    /// The position up to which every connection here has been told.
    pub fn delivered(&self) -> Seq {
        self.shared.feed.delivered()
    }

    /// Makes sure that everybody here has been told up to `seq`, if the log goes that far: a client may know of more than this node
    /// has delivered.
    pub async fn reach(&self, seq: Seq) {
        if seq > self.shared.feed.delivered() {
            self.shared.repair(seq).await;
        }
    }

    /// Where commands go in. The writer starts with the first.
    pub(crate) fn inbox(&self) -> &Inbox {
        self.inbox.get_or_init(|| writer::start(self.id, Arc::clone(&self.shared)))
    }

    /// Whether nobody listens, nobody is present and nothing waits to be stored.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.feed.is_idle()
            && self.shared.presence.is_empty()
            && self.shared.pending.load(Ordering::Relaxed) == 0
    }

    /// Serves `connection` from behind `from` on: first what it missed, then live, each event once. `checked` is a position at which its user was a
    /// member.
    ///
    /// # Errors
    ///
    /// [`NotServed`]; what was told until then stands.
    pub async fn serve(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        mut from: Seq,
        checked: Seq,
    ) -> Result<(), NotServed> {
        if !connection.begin(self) {
            return Err(NotServed::Gone);
        }
        self.reach(from).await;
        let outcome = loop {
            connection.outbox.has_drained().await;
            if connection.outbox.is_closed() {
                break Err(NotServed::Gone);
            }
            match self.shared.feed.attach(connection, from, checked) {
                Attached::Live => break Ok(()),
                Attached::Over => break Err(NotServed::Over),
                Attached::Behind(position) => from = position,
                Attached::Beyond(delivered) => {
                    let page = self.shared.store.events(self.id, from, delivered, PAGE).await;
                    let events = match page {
                        Ok(events) => events,
                        Err(error) => break Err(error.into()),
                    };
                    let Some(last) = events.last() else {
                        let hole = "positions are missing in the log of a room".into();
                        break Err(StoreError::Malformed(hole).into());
                    };
                    from = last.seq;
                    if self.shared.feed.replay(connection, &events, checked).is_break() {
                        break Err(NotServed::Over);
                    }
                }
            }
        };
        if outcome.is_err() {
            connection.end(self.id);
            if let Err(NotServed::Over) = outcome {
                close_if_room_socket(connection);
            }
        } else if connection.outbox.is_closed() {
            // It went while it was taken in, after its rooms were cleared.
            self.let_go(connection);
        }
        outcome
    }

    /// Serves `connection` no longer.
    pub(crate) fn let_go(&self, connection: &Connection) {
        self.shared.feed.detach(connection.id);
        self.shared.presence.leave(connection);
    }

    /// Makes the user present in the room through `connection`, which it serves; `false` if it does not.
    pub fn open(&self, connection: &Arc<Connection>) -> bool {
        if !connection.open(self.id) {
            return connection.has_opened(self.id);
        }
        self.shared.presence.enter(connection);
        self.shared.hub.is_restless(self.id);
        true
    }

    /// Makes the user no longer present through `connection`.
    pub fn close(&self, connection: &Connection) {
        if connection.close_room(self.id) {
            self.shared.presence.leave(connection);
            self.shared.hub.is_restless(self.id);
        }
    }

    /// Everybody present, in the order of their names.
    pub fn online(&self) -> Vec<crate::api::UserBrief> {
        self.shared.presence.online()
    }

    /// How many people are present.
    pub fn online_count(&self) -> usize {
        self.shared.presence.count()
    }

    /// Whether the others are to be told now that the user is typing, or is not: what says the same too soon is not.
    pub fn is_news_of_typing(&self, user: UserId, is_typing: bool) -> bool {
        self.shared.typing.is_news(user, is_typing, Instant::now())
    }

    /// Whether the user is present.
    pub fn is_present(&self, user: UserId) -> bool {
        self.shared.presence.is_present(user)
    }

    /// Tells what has changed in presence, and notes when those who went were last here.
    pub(crate) async fn tick(&self, settings: &Settings) -> bool {
        let Ticked { gone, restless } =
            self.shared.presence.tick(Instant::now(), settings.leave_grace);
        for (user, at) in gone {
            if let Err(error) = self.shared.store.touch_membership(self.id, user, at).await {
                tracing::warn!(room.id = %self.id, %error, "when a member was last seen is not noted");
            }
        }
        restless
    }
}

impl Shared {
    /// Hands what has been stored to everybody who listens; reads what is missing before it first.
    pub(crate) async fn deliver(&self, events: &[Arc<Event>]) {
        match self.feed.deliver(events) {
            Ok(ended) => self.delivered(events, ended),
            Err(Gap { through, .. }) => self.repair(through).await,
        }
    }

    /// Hands what this node has stored to everybody who listens, here and elsewhere.
    pub(crate) async fn announce(&self, events: &[Arc<Event>]) {
        self.deliver(events).await;
        self.peers.tell_events(self.room, events);
        for event in events {
            if let Body::MemberAdded(added) = &event.body {
                let word = || Word::Entered { room: self.room, seq: event.seq };
                self.peers.say(added.user, word);
            }
        }
    }

    /// Reads from the store what the feed has not delivered up to `through`, and delivers it.
    pub(crate) async fn repair(&self, through: Seq) {
        let _reading = self.repairing.lock().await;
        loop {
            let after = self.feed.delivered();
            if after >= through {
                return;
            }
            let events = match self.store.events(self.room, after, through, PAGE).await {
                Ok(events) if !events.is_empty() => events,
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(room.id = %self.room, %error, "missing events cannot be read");
                    return;
                }
            };
            let events: Vec<_> = events.into_iter().map(Arc::new).collect();
            match self.feed.deliver(&events) {
                Ok(ended) => self.delivered(&events, ended),
                Err(_) => return,
            }
        }
    }

    /// What follows from events beyond their delivery: stays that end, and users who come in.
    fn delivered(&self, events: &[Arc<Event>], ended: Vec<Arc<crate::room::Connection>>) {
        self.metrics.delivered(events.len());
        for connection in ended {
            connection.end(self.room);
            self.presence.leave(&connection);
            self.hub.is_restless(self.room);
            close_if_room_socket(&connection);
        }
        for event in events {
            match &event.body {
                Body::MemberAdded(added) => self.hub.entered(added.user, self.room, event.seq),
                Body::MemberRemoved { user, .. } => {
                    self.presence.expel(*user);
                    self.hub.is_restless(self.room);
                }
                _ => {}
            }
        }
    }
}
