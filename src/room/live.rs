//! One live room on this node: its feed, its writer, who is present.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::Settings;
use super::connection::Connection;
use super::feed::{Attached, Delivered, Feed, Gap, Teller, close_if_room_socket};
use super::hub::Hub;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::peers::Peers;
use super::presence::{Presence, Ticked};
use super::promises::{self, Promise, Promises};
use super::typing::Typing;
use super::writer;
use crate::bus::codec::Word;
use crate::domain::event::Event;
use crate::domain::{Body, RoomId, Seq, Timestamp, UserId};
use crate::metrics::{Metrics, Origin};
use crate::store::{DynStore, StoreError};
use crate::telemetry::{Kind, Span, Steps, Trace};

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
    pub(crate) promises: Promises,
}

impl std::fmt::Debug for LiveRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveRoom").field("id", &self.id).finish_non_exhaustive()
    }
}

/// By whom, and when, events were stored that are about to be delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) origin: Origin,
    pub(crate) at: Instant,
}

impl Commit {
    /// By another node, which told of it at `at` by its own clock.
    pub(crate) fn elsewhere(at: Timestamp) -> Self {
        let age = Timestamp::now().0.saturating_sub(at.0);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
        let now = Instant::now();
        Self { origin: Origin::Elsewhere, at: now.checked_sub(age).unwrap_or(now) }
    }
}

/// Measures how long it takes until what stands at `place` in the queue of one connection is at its socket.
async fn follow(metrics: Metrics, commit: Commit, outbox: Arc<Outbox>, place: u64) {
    if outbox.has_written(place).await {
        let took = commit.at.elapsed().as_secs_f64();
        metrics.delivery.duration.of(commit.origin).observe(took);
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
            presence: Presence::new(id, peers.number()),
            peers,
            typing: Typing::default(),
            hub,
            pending: AtomicUsize::new(0),
            repairing: tokio::sync::Mutex::default(),
            promises: Promises::default(),
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
            && self.shared.presence.is_idle()
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
        from: Seq,
        checked: Seq,
    ) -> Result<(), NotServed> {
        if !connection.begin(self) {
            return Err(NotServed::Gone);
        }
        self.reach(from).await;
        match self.bring_up(connection, from, checked).await {
            Ok(None) => {
                if connection.outbox.is_closed() {
                    self.let_go(connection); // It went while it was taken in, after its rooms were cleared.
                }
                Ok(())
            }
            Ok(Some(left)) => {
                self.shared.stay_ended(connection, left);
                Err(NotServed::Over)
            }
            Err(error) => {
                connection.give_up(self.id);
                Err(error)
            }
        }
    }

    /// Tells `connection` what it missed until it is live, or until its stay has ended: at the position that is answered.
    async fn bring_up(
        &self,
        connection: &Arc<Connection>,
        mut from: Seq,
        checked: Seq,
    ) -> Result<Option<Seq>, NotServed> {
        loop {
            connection.outbox.has_drained().await;
            if connection.outbox.is_closed() {
                return Err(NotServed::Gone);
            }
            match self.shared.feed.attach(connection, from, checked) {
                Attached::Live => return Ok(None),
                Attached::Over(left) => return Ok(Some(left)),
                Attached::Behind(position) => from = position,
                Attached::Beyond(delivered) => {
                    let events = self.shared.store.events(self.id, from, delivered, PAGE).await?;
                    let is_whole = events.first().is_some_and(|first| first.seq == from.next());
                    // Trimmed since the client was told where it stands, if not whole: it comes back, and is told so.
                    let Some(last) = events.last().filter(|_| is_whole) else {
                        let hole = "positions are missing in the log of a room".into();
                        return Err(StoreError::Malformed(hole).into());
                    };
                    from = last.seq;
                    if let Some(left) = self.replay(connection, events, checked).await {
                        return Ok(Some(left));
                    }
                }
            }
        }
    }

    /// Tells `connection` what it missed, as it takes it; where its stay has ended, if it has.
    async fn replay(
        &self,
        connection: &Connection,
        events: Vec<Event>,
        checked: Seq,
    ) -> Option<Seq> {
        for event in events {
            connection.outbox.has_drained().await;
            let told = self.shared.feed.replay(connection, event, checked);
            if let ControlFlow::Break(left) = told {
                return Some(left);
            }
        }
        None
    }

    /// Serves `connection` no longer.
    pub(crate) fn let_go(&self, connection: &Connection) {
        self.shared.feed.detach(connection.id);
        self.shared.presence.leave(connection);
    }

    /// Makes the user present in the room through `connection`, which it serves; `false` if it does not. `tell` is given everybody who is present,
    /// and tells it to the connection: who comes or goes from then on is told behind it.
    pub fn open(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        tell: impl FnOnce(Vec<crate::api::UserBrief>),
    ) -> bool {
        if !connection.open(self.id) {
            return false;
        }
        self.listen_to_others();
        self.shared.presence.enter(connection, tell);
        if !connection.has_opened(self.id) {
            self.shared.presence.leave(connection); // The stay, or the connection, ended meanwhile.
        }
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

    /// Something has changed in presence.
    pub(crate) fn stir(&self) {
        self.shared.hub.is_restless(self.id);
    }

    /// Tells other nodes who has come and gone here.
    pub(crate) fn tell_others(&self, now: Instant) {
        let peers = &self.shared.peers;
        for present in self.shared.presence.news(now, || peers.number()) {
            peers.tell_presence(self.id, present);
        }
    }

    /// Tells what has changed in presence, here and to other nodes. Answers with those who have gone and when they were last here, and with
    /// whether something waits for a later tick.
    pub(crate) fn tick(&self, settings: &Settings) -> Ticked {
        let (presence, now) = (&self.shared.presence, Instant::now());
        self.tell_others(now);
        let mut ticked = presence.tick(now, settings.leave_grace);
        ticked.restless |= presence.has_news();
        ticked
    }
}

impl Shared {
    /// Hands what has been stored, by `commit` if that is known, to everybody who listens; reads what is missing before it first.
    pub(crate) async fn deliver(
        &self,
        events: &[Arc<Event>],
        commit: Option<Commit>,
        steps: &Steps,
    ) {
        let metrics = &self.metrics.delivery;
        let mut steps = self.begin_deliveries(commit, steps);
        let is_followed = || commit.is_some() && metrics.is_to_be_followed();
        match self.feed.deliver(events, is_followed) {
            Ok(mut delivered) => {
                let count = delivered.handed_over as u64;
                steps.iter_mut().for_each(|step| step.count("natter.deliveries", count));
                if let (Some((outbox, place)), Some(commit)) = (delivered.followed.take(), commit) {
                    tokio::spawn(follow(self.metrics.clone(), commit, outbox, place));
                }
                self.delivered(events, delivered);
            }
            Err(Gap { through, .. }) => {
                metrics.gaps.inc();
                self.repair(through).await;
            }
        }
    }

    /// Begins the steps of what is traced.
    fn begin_deliveries(&self, commit: Option<Commit>, steps: &Steps) -> Vec<Span> {
        let kind = match commit.map(|commit| commit.origin) {
            Some(Origin::Elsewhere) => Kind::Hears,
            _ => Kind::Within,
        };
        let begin = |(seq, trace): &(Seq, Trace)| {
            let mut step = self.peers.telemetry().go_on("deliver", kind, Some(*trace));
            step.count("natter.seq", seq.0);
            step
        };
        steps.iter().map(begin).collect()
    }

    /// Hands what this node has stored to everybody who listens, here and elsewhere.
    pub(crate) async fn announce(&self, events: &[Arc<Event>], commit: Commit, steps: &Steps) {
        self.deliver(events, Some(commit), steps).await;
        self.peers.tell_events(self.room, events, steps);
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
            self.metrics.delivery.repaired.inc_by(events.len() as u64);
            let events: Vec<_> = events.into_iter().map(Arc::new).collect();
            match self.feed.deliver(&events, || false) {
                Ok(delivered) => self.delivered(&events, delivered),
                Err(_) => return,
            }
        }
    }

    /// Whether this node is the one that is to append in the room.
    pub(crate) fn is_owned_here(&self) -> bool {
        !self.peers.is_cut_off() && self.peers.owner_of(self.room).is_none()
    }

    /// Keeps `promise` once everybody here has been told up to `seq`.
    pub(crate) fn when_delivered(self: &Arc<Self>, seq: Seq, promise: Promise) {
        if seq <= self.feed.delivered() {
            return promise();
        }
        let is_first = self.promises.make(seq, promise);
        // Perhaps it was just now.
        self.promises.keep(self.feed.delivered());
        if is_first {
            tokio::spawn(promises::hasten(Arc::clone(self)));
        }
    }

    /// What follows from events beyond their delivery: stays that end, and users who come in.
    fn delivered(&self, events: &[Arc<Event>], Delivered { ended, handed_over, .. }: Delivered) {
        self.metrics.delivery.events.inc_by(events.len() as u64);
        self.metrics.delivery.handed_over.inc_by(handed_over as u64);
        self.promises.keep(self.feed.delivered());
        for (connection, left) in ended {
            self.presence.leave(&connection);
            self.hub.is_restless(self.room);
            self.stay_ended(&connection, left);
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

    /// The stay that `connection` served has ended at `left`. Its user may have come again since.
    fn stay_ended(&self, connection: &Connection, left: Seq) {
        let came_again = connection.end(self.room, left);
        close_if_room_socket(connection);
        if let Some(seq) = came_again {
            self.hub.entered(connection.user_id(), self.room, seq);
        }
    }
}
