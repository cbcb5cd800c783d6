//! One connected client: from its first event to its last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use socketioxide::TransportType;
use socketioxide::adapter::LocalAdapter;
use socketioxide::socket::{DisconnectReason, Socket};
use tokio::sync::{Semaphore, mpsc};

use super::Sockets;
use super::ack::Ack;
use super::events::Request;
use super::inbound;
use super::standing::Standing;
use super::transport::{SocketSink, Transport};
use crate::api::{
    After, Handshake, Joined, MessageView, Position, Ready, ResumeTruncated, UserBrief,
};
use crate::domain::room::Tail;
use crate::domain::{RoomId, Seq, User};
use crate::metrics::{EndReason, FullQueue, SocketKind, Transport as Carrier};
use crate::room::{Connection, Ended, INCOMING, NotServed, Outbox, Scope, connection_id};
use crate::service::Error;
use crate::store::{History, MAX_TAILS, StoreError};

/// Bytes of files that wait beside them, in multiples of the largest file.
const INBOUND_FILES: usize = 2;

/// Events of one room beyond which a replay is cut.
const REPLAY_OF_A_ROOM: u64 = 1_000;

/// Events of one connection beyond which replays are cut.
const REPLAY_OF_A_CONNECTION: u64 = 5_000;

/// Messages of the page that a client begins with, and of those that it asks for.
pub(super) const PAGE: u32 = 50;

/// Rooms that one session socket is taken into at a time.
const SEAMS_AT_ONCE: usize = 20;

/// One connected client.
pub(super) struct Session {
    pub(super) sockets: Sockets,
    pub(super) user: User,
    pub(super) connection: Arc<Connection>,
    pub(super) inbound: mpsc::Sender<Incoming>,
    /// Events of this client so far; each has its number.
    pub(super) received: AtomicU64,
    /// Bytes of files among what waits.
    pub(super) waiting_bytes: AtomicUsize,
    /// Bytes that may come back to the client for what it is having stored.
    pub(super) under_way: Arc<Semaphore>,
    /// Up to which number what a client sent to a room is refused, because something before it was and is to be sent again: else the two would change places.
    pub(super) refused: Mutex<HashMap<RoomId, Refused>>,
    /// The rooms of `ready` into which the client has not been taken yet.
    turns: Mutex<HashMap<RoomId, Arc<Turn>>>,
    carrier: Carrier,
    start: Mutex<Option<Start>>,
    state: Mutex<State>,
    /// Why the server has ended the connection, if it has.
    ended: Arc<OnceLock<EndReason>>,
}

/// Where a room stood at `ready` and how the client comes into it; held while that is under way, and nothing after.
type Turn = tokio::sync::Mutex<Option<(Seq, Entry)>>;

/// What was refused in a room in a way that invites to send it again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    /// The last event that the client had sent by then.
    pub(super) through: u64,
    /// What the client did too often, and when to come back, if that was why.
    pub(super) too_fast: Option<(&'static str, Duration)>,
}

/// Where a session is between its handshake and its end.
enum State {
    /// Let in; not counted yet.
    Connecting,
    /// Counted.
    Connected,
    /// Its transport has ended.
    Gone,
}

/// What waits for the client to be connected.
struct Start {
    after: HashMap<String, After>,
    incoming: mpsc::Receiver<Incoming>,
}

/// An event of the client that waits.
pub(super) struct Incoming {
    pub(super) number: u64,
    pub(super) ack: Ack,
    pub(super) request: Result<Request, Error>,
    pub(super) bytes: usize,
}

/// How a client comes into a room.
enum Entry {
    /// Without a past: the newest page, then live.
    Fresh,
    /// From behind this position on.
    Resumed(Seq),
    /// Its past is too long, or of another epoch, or not kept any more: the newest page, and it is told so.
    Truncated,
}

impl Session {
    /// Makes the session of a client that is let in, and leaves it on its socket.
    pub(super) fn begin(
        _standing: Standing,
        sockets: &Sockets,
        socket: &Arc<Socket<LocalAdapter>>,
        transport: Arc<Transport>,
        (user, scope, handshake): (User, Scope, Handshake),
    ) {
        let ended = Arc::new(OnceLock::new());
        let by_server = Arc::clone(&ended);
        let sink = SocketSink {
            socket: Arc::downgrade(socket),
            transport: Arc::clone(&transport),
            on_end: Box::new(move |why| {
                by_server.get_or_init(|| why.reason());
            }),
        };
        let brief = UserBrief::from(&user);
        let connection = Connection::new(connection_id(), brief, scope, Outbox::new(sink));
        connection.verified(user.generation);
        transport.carries(&connection);
        let (inbound, incoming) = mpsc::channel(INCOMING);
        let start = Start { after: handshake.after.unwrap_or_default(), incoming };
        socket.extensions.insert(Arc::new(Self {
            sockets: sockets.clone(),
            user,
            connection,
            inbound,
            received: AtomicU64::new(0),
            waiting_bytes: AtomicUsize::new(0),
            under_way: Arc::new(Semaphore::new(inbound::UNDER_WAY)),
            refused: Mutex::default(),
            turns: Mutex::default(),
            carrier: carrier(socket.transport_type()),
            start: Mutex::new(Some(start)),
            state: Mutex::new(State::Connecting),
            ended,
        }));
    }

    /// The client is connected: tells it where it stands, then carries out what it says.
    pub(super) async fn run(self: Arc<Self>) {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Start { after, incoming }) = start else { return };
        if !self.is_taken() || !self.is_still_good().await {
            return;
        }
        let entered = match self.connection.scope {
            Scope::Room(room) => self.enter_room(room, &after).await,
            Scope::Session => Arc::clone(&self).enter_all(after).await,
        };
        match entered {
            Ok(()) => inbound::carry_out(self, incoming).await,
            Err(NotServed::Unavailable(error)) => {
                tracing::warn!(user.id = %self.user.id, %error, "a connection cannot be served; it is to come back");
                self.connection.outbox.end(Ended::Unavailable);
            }
            Err(NotServed::Gone | NotServed::Over) => {}
        }
    }

    /// Whether the library may not have noted yet that the client is connected, of which it tells the client first.
    pub(super) fn is_connecting(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Connecting)
    }

    /// Takes the connection in and counts it; `false` if it is gone already, or one too many.
    fn is_taken(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Gone) {
            return false;
        }
        let app = &self.sockets.app;
        if app.rooms.connect(&self.connection).is_err() {
            self.connection.outbox.end(Ended::Unavailable);
            return false;
        }
        let kind = match self.connection.scope {
            Scope::Room(_) => SocketKind::Room,
            Scope::Session => SocketKind::Session,
        };
        app.metrics.sockets.connects.of((self.carrier, kind)).inc();
        *state = State::Connected;
        true
    }

    /// Looks again whether the user's session is good, now that a revocation would find the connection: it may have come between
    /// the look at the token and this.
    async fn is_still_good(&self) -> bool {
        match self.sockets.app.store.user(self.user.id).await {
            Ok(Some(user)) if !user.is_disabled && user.generation == self.user.generation => true,
            Ok(_) => {
                self.connection.revoke();
                false
            }
            Err(error) => {
                tracing::warn!(user.id = %self.user.id, %error, "an account cannot be read");
                self.connection.outbox.end(Ended::Unavailable);
                false
            }
        }
    }

    /// The transport has ended.
    pub(super) fn end(&self, reason: DisconnectReason) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let app = &self.sockets.app;
        if let State::Connected = *state {
            let why = self.ended.get().copied().unwrap_or_else(|| counted(reason));
            app.metrics.sockets.disconnects.of(why).inc();
        }
        *state = State::Gone;
        app.rooms.disconnect(&self.connection);
    }

    /// The room socket's way in: where it stands, the history or what was missed, who is there; live behind it.
    async fn enter_room(
        &self,
        id: RoomId,
        after: &HashMap<String, After>,
    ) -> Result<(), NotServed> {
        let app = &self.sockets.app;
        let Some(room) = app.rooms.live_room(id).await? else { return self.is_over() };
        // What other nodes say of who is there may come while the past is told.
        room.listen_to_others();
        match after.get(&id.to_string()) {
            Some(After::Bare(seq)) => room.reach(Seq(*seq)).await,
            Some(After::Full { seq, .. }) => room.reach(*seq).await,
            None => {}
        }
        let tail = room.delivered();
        // Again, and as of the tail: the middleware's look may have been before a removal.
        if app.store.membership(id, self.user.id).await?.is_none() {
            return self.is_over();
        }
        let floor = self.floors(&[(id, tail)], after).await?.remove(&id).unwrap_or_default();
        let position = self.position(id, tail);
        self.connection.tell("joined", &Joined { position, limits: self.sockets.limits });
        let from = match self.entry(id, (floor, tail), after) {
            Entry::Fresh => {
                self.connection.tell("initial_messages", &self.newest_page(id, tail).await?);
                tail
            }
            Entry::Truncated => {
                self.tell_truncated(position).await?;
                tail
            }
            Entry::Resumed(from) => from,
        };
        room.serve(&self.connection, from, tail).await?;
        room.attend().await;
        room.open(&self.connection, |online| {
            self.connection.tell("online_users", &self.names_of_others(online));
        });
        Ok(())
    }

    fn is_over(&self) -> Result<(), NotServed> {
        self.connection.outbox.push(crate::room::Packet::Disconnect);
        Err(NotServed::Over)
    }

    /// The session socket's way in: where every room stands, then each from there, or from where the client left it.
    async fn enter_all(self: Arc<Self>, after: HashMap<String, After>) -> Result<(), NotServed> {
        let app = &self.sockets.app;
        let rooms = app.store.room_ids_of(self.user.id).await?;
        let ends: Vec<_> = rooms.iter().map(|(id, tail)| (*id, tail.seq)).collect();
        let floors = self.floors(&ends, &after).await?;
        let positions: Vec<_> =
            rooms.iter().map(|(id, Tail { seq, .. })| self.position(*id, *seq)).collect();
        let ready = Ready { rooms: positions, limits: self.sockets.limits };
        self.connection.tell("ready", &ready);
        for (room, seq) in self.connection.ready(rooms.iter().map(|(id, _)| *id)) {
            app.rooms.entered_here(self.user.id, room, seq);
        }
        let mut budget = REPLAY_OF_A_CONNECTION;
        let mut turns = Vec::with_capacity(rooms.len());
        for (id, Tail { seq: tail, .. }) in rooms {
            let floor = floors.get(&id).copied().unwrap_or_default();
            let mut entry = self.entry(id, (floor, tail), &after);
            if let Entry::Resumed(from) = entry {
                let missed = tail.0 - from.0;
                match budget.checked_sub(missed) {
                    Some(left) => budget = left,
                    None => entry = Entry::Truncated,
                }
            }
            turns.push(id);
            self.turns().insert(id, Arc::new(Turn::new(Some((tail, entry)))));
        }
        let session = Arc::clone(&self);
        tokio::spawn(async move {
            // Each room has its own task here, so that a slow replay holds up none of the others.
            let seams = turns.into_iter().map(|id| session.take_turn(id));
            let mut seams = futures::stream::iter(seams).buffer_unordered(SEAMS_AT_ONCE);
            while let Some(entered) = seams.next().await {
                if let Err(NotServed::Unavailable(error)) = entered {
                    tracing::warn!(%error, "a room cannot be served; the connection is to come back");
                    session.connection.outbox.end(Ended::Unavailable);
                }
            }
        });
        Ok(())
    }

    /// Takes the client into a room of `ready`, unless that is done. Waits if it is under way.
    pub(super) async fn take_turn(&self, id: RoomId) -> Result<(), NotServed> {
        let Some(turn) = self.turns().get(&id).cloned() else { return Ok(()) };
        let mut turn = turn.lock().await;
        let Some((tail, entry)) = turn.take() else { return Ok(()) };
        let entered = self.enter_one(id, tail, entry).await;
        self.turns().remove(&id);
        entered
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<RoomId, Arc<Turn>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter_one(&self, id: RoomId, tail: Seq, entry: Entry) -> Result<(), NotServed> {
        let app = &self.sockets.app;
        let Some(room) = app.rooms.live_room(id).await? else { return Ok(()) };
        let mut checked = room.delivered();
        if app.store.membership(id, self.user.id).await?.is_none() {
            // Removed since the list was read: the client is told with the event itself, if that stands where the client is to hear it.
            if !self.is_seen_out(id, tail).await? {
                self.connection.outbox.end(Ended::Unavailable);
                return Err(NotServed::Gone);
            }
            checked = tail;
        }
        let from = match entry {
            Entry::Fresh => tail,
            Entry::Resumed(from) => from,
            Entry::Truncated => {
                self.tell_truncated(self.position(id, tail)).await?;
                tail
            }
        };
        room.serve(&self.connection, from, checked).await
    }

    /// Whether the end of the user's stay stands behind `tail`, where the client knows the room to be. It need not: the store may
    /// read who is where before it reads tails. Then the client has to come back, and is not told of the room any more.
    async fn is_seen_out(&self, room: RoomId, tail: Seq) -> Result<bool, StoreError> {
        let mut from = tail;
        loop {
            let events = self.sockets.app.store.events(room, from, Seq(u64::MAX), PAGE).await?;
            if events.iter().any(|event| event.body.ends_stay_of(self.user.id)) {
                return Ok(true);
            }
            let Some(last) = events.last() else { return Ok(false) };
            from = last.seq;
        }
    }

    /// Up to where the logs are gone of those rooms in which the client has missed something since its past, if it has one there.
    async fn floors(
        &self,
        rooms: &[(RoomId, Seq)],
        after: &HashMap<String, After>,
    ) -> Result<HashMap<RoomId, Seq>, StoreError> {
        let seen = |room: &RoomId| match after.get(&room.to_string()) {
            Some(After::Bare(seq)) => Some(Seq(*seq)),
            Some(After::Full { seq, .. }) => Some(*seq),
            None => None,
        };
        let missed = rooms.iter().filter(|(room, tail)| seen(room).is_some_and(|seq| seq < *tail));
        let missed: Vec<RoomId> = missed.map(|(room, _)| *room).collect();
        let mut floors = HashMap::new();
        for rooms in missed.chunks(MAX_TAILS) {
            floors.extend(self.sockets.app.store.floors(rooms).await?);
        }
        Ok(floors)
    }

    /// How the client comes into the room, whose log goes from behind `floor` to `tail`, by what it says of its past.
    fn entry(
        &self,
        room: RoomId,
        (floor, tail): (Seq, Seq),
        after: &HashMap<String, After>,
    ) -> Entry {
        let Some(after) = after.get(&room.to_string()) else { return Entry::Fresh };
        let from = match after {
            After::Bare(seq) => Seq(*seq),
            After::Full { seq, epoch } if *epoch == self.sockets.app.epoch.to_string() => *seq,
            After::Full { .. } => return Entry::Truncated,
        };
        match tail.0.checked_sub(from.0) {
            Some(missed) if missed <= REPLAY_OF_A_ROOM && (from >= floor || missed == 0) => {
                Entry::Resumed(from)
            }
            _ => Entry::Truncated,
        }
    }

    async fn tell_truncated(&self, position: Position) -> Result<(), NotServed> {
        let messages = self.newest_page(position.chat_room_id, position.seq).await?;
        self.connection.outbox.has_drained().await;
        self.connection.tell("resume_truncated", &ResumeTruncated { position, messages });
        Ok(())
    }

    /// The newest messages up to `through`, oldest first.
    pub(super) async fn newest_page(
        &self,
        room: RoomId,
        through: Seq,
    ) -> Result<Vec<MessageView>, StoreError> {
        let from = History::Before(through.next());
        let app = &self.sockets.app;
        let events = app.store.messages(room, from, through, PAGE).await?;
        let teller = app.rooms.teller();
        Ok(events.iter().filter_map(|event| teller.message(event, self.user.id)).collect())
    }

    /// The names of those present in a room but the client's own, at most the first hundred.
    pub(super) fn names_of_others(&self, online: Vec<UserBrief>) -> Vec<String> {
        let others = online.into_iter().filter(|user| user.id != self.user.id);
        others.map(|user| user.username).take(crate::room::CROWD).collect()
    }

    pub(super) fn position(&self, room: RoomId, seq: Seq) -> Position {
        Position { chat_room_id: room, seq, epoch: self.sockets.app.epoch }
    }

    /// Takes an event of the client in: called in the order of arrival, and never waits.
    pub(super) fn receive(&self, ack: Option<i64>, event: &str, request: Result<Request, Error>) {
        let number = self.received.fetch_add(1, Ordering::SeqCst) + 1;
        let ack = Ack::new(&self.connection, ack, event);
        let bytes = match &request {
            Ok(Request::Chat { file: Some(file), .. }) => file.bytes.len(),
            _ => 0,
        };
        let most = INBOUND_FILES * self.sockets.limits.max_inline_file_bytes as usize;
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::SeqCst);
        let incoming = Incoming { number, ack, request, bytes };
        if self.connection.questions.are_closed() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
            return inbound::refuse(self, &incoming, &Error::Draining);
        }
        let refused = match self.inbound.try_reserve() {
            Ok(permit) if bytes == 0 || waiting + bytes <= most => {
                return permit.send(incoming);
            }
            _ => incoming,
        };
        self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.sockets.app.metrics.queues.refused.of(FullQueue::Incoming).inc();
        inbound::refuse(self, &refused, &Error::Overloaded);
    }
}

fn carrier(transport: TransportType) -> Carrier {
    match transport {
        TransportType::Polling => Carrier::Polling,
        TransportType::Websocket => Carrier::Websocket,
    }
}

/// Why a connection that the server did not end has ended.
fn counted(reason: DisconnectReason) -> EndReason {
    match reason {
        DisconnectReason::TransportClose | DisconnectReason::ClientNSDisconnect => {
            EndReason::Client
        }
        DisconnectReason::HeartbeatTimeout => EndReason::Heartbeat,
        DisconnectReason::ServerNSDisconnect => EndReason::Revoked,
        DisconnectReason::MultipleHttpPollingError | DisconnectReason::PacketParsingError => {
            EndReason::Malformed
        }
        DisconnectReason::TransportError | DisconnectReason::ClosingServer => EndReason::Transport,
    }
}
