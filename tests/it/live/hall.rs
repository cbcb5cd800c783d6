//! A room with people in it, and connections that write down what they are told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use natter::bus::seal::Seal;
use natter::bus::{DynBus, LocalBus};
use natter::domain::event::MemberAdded;
use natter::domain::message::Digest;
use natter::domain::*;
use natter::keys::Keys;
use natter::metrics::Metrics;
use natter::nodes::Nodes;
use natter::room::*;
use natter::store::embedded::{Embedded, Options};
use natter::store::{DynStore, NewRoom, NewUser};
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::support::{Fault, Faulty};

/// The longest that any condition is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a connection was told, in order.
#[derive(Default)]
pub(crate) struct Tape {
    told: Mutex<Vec<(String, Value)>>,
    moved: Notify,
    /// Whether the transport takes nothing.
    pub(crate) stuck: AtomicBool,
    pub(crate) flushes: AtomicU64,
    pub(crate) killed: AtomicBool,
    pub(crate) disconnected: AtomicBool,
}

/// A transport that writes down what it is given and has written it out at once, unless it is stuck.
pub(crate) struct Recorder(pub(crate) Arc<Tape>);

#[async_trait]
impl Sink for Recorder {
    fn emit(&self, name: &str, payload: &RawValue) -> Result<(), SinkError> {
        if self.0.killed.load(Ordering::SeqCst) {
            return Err(SinkError::Closed);
        }
        let payload = serde_json::from_str(payload.get()).unwrap();
        self.0.told.lock().unwrap().push((name.to_owned(), payload));
        if !self.0.stuck.load(Ordering::SeqCst) {
            self.0.flushes.fetch_add(1, Ordering::SeqCst);
        }
        self.0.moved.notify_waiters();
        Ok(())
    }

    fn reply(&self, ack: i64, payload: &RawValue) -> Result<(), SinkError> {
        self.emit(&format!("ack {ack}"), payload)
    }

    fn flushes(&self) -> u64 {
        self.0.flushes.load(Ordering::SeqCst)
    }

    async fn flushed_since(&self, seen: u64) {
        loop {
            let moved = self.0.moved.notified();
            if self.flushes() > seen {
                return;
            }
            moved.await;
        }
    }

    fn kill(&self, _: Ended) {
        self.0.killed.store(true, Ordering::SeqCst);
        self.0.moved.notify_waiters();
    }

    fn disconnect(&self) {
        self.0.disconnected.store(true, Ordering::SeqCst);
        self.0.moved.notify_waiters();
    }
}

impl Tape {
    /// Everything written out so far is out.
    pub(crate) fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// The lasting events that were told: positions, with the words of messages.
    pub(crate) fn lasting(&self) -> Vec<(u64, String)> {
        let told = self.told.lock().unwrap();
        let lasting = told.iter().filter(|(_, payload)| payload["seq"].is_u64());
        lasting
            .map(|(name, payload)| (payload["seq"].as_u64().unwrap(), words(name, payload)))
            .collect()
    }

    /// The payloads of the events with this name.
    pub(crate) fn told(&self, name: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(told, _)| told == name).map(|(_, payload)| payload.clone()).collect()
    }

    /// Waits until an event with this name was told, and answers its payload.
    pub(crate) async fn hears(&self, name: &str) -> Value {
        self.wait(name, |tape| !tape.told(name).is_empty()).await;
        self.told(name).remove(0)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.told.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    /// Waits until `condition` holds.
    pub(crate) async fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let reached = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if condition(self) {
                    return;
                }
                moved.await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, reached).await;
        assert!(waited.is_ok(), "{what} did not happen; told: {:?}", self.lasting());
    }

    /// Waits until the event at `seq` was told.
    pub(crate) async fn wait_for(&self, seq: u64) {
        let last = |tape: &Self| tape.lasting().last().is_some_and(|(last, _)| *last >= seq);
        self.wait(&format!("position {seq}"), last).await;
    }
}

fn words(name: &str, payload: &Value) -> String {
    match payload["message"]["content"].as_str() {
        Some(content) => content.to_owned(),
        None => name.to_owned(),
    }
}

/// A store, its live rooms, and one group room with its owner.
pub(crate) struct Hall {
    pub(crate) store: DynStore,
    pub(crate) rooms: Rooms,
    pub(crate) room: RoomId,
    pub(crate) owner: User,
    /// What the rooms of several nodes hear each other over.
    pub(crate) bus: DynBus,
    _folder: TempDir,
}

fn id<Id>(make: impl FnOnce(u64, u64) -> Id) -> Id {
    make(Timestamp::now().as_millis(), rand::random())
}

impl Hall {
    pub(crate) async fn new() -> Self {
        Self::with_faults([]).await
    }

    /// A hall whose next appends meet these faults.
    pub(super) async fn with_faults(faults: impl IntoIterator<Item = Fault>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("natter.db");
        let store: DynStore = Arc::new(Embedded::open(path, Options::default()).await.unwrap());
        let faulty: DynStore = Faulty::new(Arc::clone(&store), faults);
        let bus: DynBus = Arc::new(LocalBus::shared());
        let rooms = rooms_over(&faulty, &bus).await;
        let owner = sign_up(&store, "owner").await;
        let room = id(RoomId::new);
        let first = event(room, &owner, added(&owner, Role::Owner));
        let new = NewRoom {
            id: room,
            name: "Hall".into(),
            owner: owner.id,
            pair: None,
            created_at: Timestamp::now(),
            events: vec![first],
        };
        store.create_room(new).await.unwrap();
        Self { store, rooms, room, owner, bus, _folder: folder }
    }

    /// Another room of the same owner.
    pub(crate) async fn another_room(&self) -> RoomId {
        let room = id(RoomId::new);
        let new = NewRoom {
            id: room,
            name: "Another".into(),
            owner: self.owner.id,
            pair: None,
            created_at: Timestamp::now(),
            events: vec![event(room, &self.owner, added(&self.owner, Role::Owner))],
        };
        self.store.create_room(new).await.unwrap();
        room
    }

    /// A new user who is in the room.
    pub(crate) async fn member(&self, name: &str) -> User {
        let user = sign_up(&self.store, name).await;
        let change = Change::Add(added(&user, Role::Member));
        self.rooms.commit(self.room, command(&self.owner, change)).await.unwrap();
        user
    }

    pub(crate) async fn say(&self, user: &User, text: &str) -> Result<Committed, Refused> {
        self.rooms.commit(self.room, command(user, post(user, text))).await
    }

    pub(crate) async fn remove(&self, user: &User) {
        let change = Change::Remove { user: user.id, reason: RemovalReason::Removed };
        self.rooms.commit(self.room, command(&self.owner, change)).await.unwrap();
    }

    /// A connection of `user` to the room, from behind `from` on.
    pub(crate) async fn listen(&self, user: &User, from: u64) -> (Arc<Connection>, Arc<Tape>) {
        self.listen_on(&self.rooms, user, from).await
    }

    /// The same on the node of `rooms`.
    pub(crate) async fn listen_on(
        &self,
        rooms: &Rooms,
        user: &User,
        from: u64,
    ) -> (Arc<Connection>, Arc<Tape>) {
        let (connection, tape) = connection(user, Scope::Room(self.room));
        rooms.connect(&connection).unwrap();
        let live = rooms.live_room(self.room).await.unwrap().unwrap();
        let checked = live.delivered();
        live.serve(&connection, Seq(from), checked).await.unwrap();
        (connection, tape)
    }

    pub(crate) async fn tail(&self) -> u64 {
        self.store.tail(self.room).await.unwrap().unwrap().seq.0
    }
}

/// The secret of the cluster that all of these nodes are of.
pub(crate) const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// The seal of another node of it.
pub(crate) fn seal() -> Seal {
    Seal::new(id(BootId::new), Keys::derive(SECRET, None).bus)
}

/// Live rooms over `store`, as a node has them that believes it is the only one: it writes in every room.
pub(crate) async fn rooms_over(store: &DynStore, bus: &DynBus) -> Rooms {
    let seal = seal();
    let nodes = Nodes::alone(seal.node());
    rooms_of(store, bus, seal, nodes).await
}

/// Live rooms over `store`, as a node has them that is one of `nodes`.
pub(crate) async fn rooms_of(store: &DynStore, bus: &DynBus, seal: Seal, nodes: Nodes) -> Rooms {
    rooms_counted(store, bus, seal, nodes, Metrics::new()).await
}

/// The same, counted in `metrics`.
pub(crate) async fn rooms_counted(
    store: &DynStore,
    bus: &DynBus,
    seal: Seal,
    nodes: Nodes,
    metrics: Metrics,
) -> Rooms {
    let teller = Teller {
        epoch: store.epoch().await.unwrap(),
        sign: Arc::new(|attachment, _, reader| format!("/media/{}/{reader}", attachment.id)),
    };
    let settings = Settings { leave_grace: Duration::from_secs(10), sockets_per_user: 0 };
    let peers = Peers::new(Arc::clone(bus), seal, nodes, teller.epoch);
    Rooms::new(Arc::clone(store), metrics, teller, peers, settings)
}

/// A connection; one to all rooms has been told that it is in none.
pub(crate) fn connection(user: &User, scope: Scope) -> (Arc<Connection>, Arc<Tape>) {
    let (connection, tape) = fresh_connection(user, scope);
    connection.ready([]);
    (connection, tape)
}

/// A connection that has been told nothing yet.
pub(crate) fn fresh_connection(user: &User, scope: Scope) -> (Arc<Connection>, Arc<Tape>) {
    let tape = Arc::new(Tape::default());
    let outbox = Outbox::new(Recorder(Arc::clone(&tape)));
    let brief = natter::api::UserBrief::from(user);
    (Connection::new(connection_id(), brief, scope, outbox), tape)
}

pub(crate) async fn sign_up(store: &DynStore, name: &str) -> User {
    let new = NewUser {
        id: id(UserId::new),
        email: Email::parse(format!("{name}@example.org")).unwrap(),
        username: Username::parse(name).unwrap(),
        password_hash: "none".into(),
        is_admin: false,
        created_at: Timestamp::now(),
    };
    store.create_user(new).await.unwrap()
}

pub(crate) fn added(user: &User, role: Role) -> MemberAdded {
    MemberAdded {
        membership: id(MembershipId::new),
        user: user.id,
        email: user.email.clone(),
        username: user.username.clone(),
        role,
        request: None,
    }
}

pub(crate) fn post(user: &User, text: &str) -> Change {
    let mut digest = Digest::default();
    for (nth, byte) in text.bytes().enumerate() {
        digest[nth % 16] = digest[nth % 16].wrapping_mul(31).wrapping_add(byte);
    }
    let message = Message {
        sender: user.id,
        username: user.username.clone(),
        text: text.into(),
        message_type: MessageType::Text,
        attachment: None,
        digest,
    };
    Change::Post { message, digest_before: None }
}

pub(crate) fn command(sender: &User, change: Change) -> Command {
    let nonce = Nonce(rand::random());
    let authority = Authority::Member;
    Command { sender: sender.id, client_id: ClientId::minted(nonce), nonce, change, authority }
}

fn event(room: RoomId, sender: &User, added: MemberAdded) -> natter::domain::Event {
    let nonce = Nonce(rand::random());
    natter::domain::Event {
        room,
        seq: Seq(1),
        ordinal: 0,
        sender: sender.id,
        nonce,
        client_id: Some(ClientId::minted(nonce)),
        timestamp: Timestamp::now(),
        body: Body::MemberAdded(added),
    }
}
