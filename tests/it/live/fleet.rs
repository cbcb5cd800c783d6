//! The live rooms of several nodes on one store, over a bus that can fail, each with a runtime of its own, so that it can be
//! killed at once with all that it was about to do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use natter::bus::seal::Seal;
use natter::bus::{DynBus, LocalBus};
use natter::domain::{BootId, ClientId, User};
use natter::keys::Keys;
use natter::metrics::{Commit, DirectReason, Labels, Metrics};
use natter::nodes::Nodes;
use natter::room::{Change, Command, Committed, Connection, Refused, Rooms, Scope};
use natter::store::DynStore;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::hall::{Hall, SECRET, Tape, command, connection, post, rooms_counted};
use crate::support::{Faulty, Judged};

/// How long any condition is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A runtime whose tasks end, wherever they are, when it is dropped or stopped.
struct OwnRuntime(Mutex<Option<Runtime>>);

impl OwnRuntime {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(Mutex::new(Some(runtime.unwrap())))
    }

    fn stop(&self) {
        if let Some(runtime) = self.0.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.lock().unwrap().as_ref().expect("it was stopped").spawn(work)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The rooms of one node.
pub(super) struct Berth {
    pub(super) rooms: Rooms,
    pub(super) nodes: Nodes,
    pub(super) seal: Seal,
    pub(super) metrics: Metrics,
    pub(super) wire: Arc<Judged>,
    pub(super) store: Arc<Faulty>,
    runtime: OwnRuntime,
}

impl Berth {
    /// Runs `work` where the node runs: it ends with it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Ends all that it does, wherever that is, as `kill -9` does.
    pub(super) fn stop(&self) {
        self.runtime.stop();
    }

    /// Has a command carried out by this node.
    pub(super) async fn commit(&self, hall: &Hall, command: Command) -> Result<Committed, Refused> {
        let (rooms, room) = (self.rooms.clone(), hall.room);
        let outcome = self.run(async move { rooms.commit(room, command).await });
        tokio::time::timeout(PATIENCE, outcome).await.expect("an answer").unwrap()
    }

    /// Says something by this node.
    pub(super) async fn say(&self, hall: &Hall, user: &User, text: &str) -> Committed {
        self.commit(hall, command(user, post(user, text))).await.unwrap()
    }

    /// A connection of `user` to the hall on this node, from behind `from` on.
    pub(super) async fn listen(
        &self,
        hall: &Hall,
        user: &User,
        from: u64,
    ) -> (Arc<Connection>, Arc<Tape>) {
        let (rooms, room, user) = (self.rooms.clone(), hall.room, user.clone());
        let listening = self.run(async move {
            let (connection, tape) = connection(&user, Scope::Room(room));
            rooms.connect(&connection).unwrap();
            let live = rooms.live_room(room).await.unwrap().unwrap();
            let checked = live.delivered();
            live.serve(&connection, natter::domain::Seq(from), checked).await.unwrap();
            (connection, tape)
        });
        listening.await.unwrap()
    }

    /// Appends of this node.
    pub(super) fn appends(&self) -> u64 {
        Commit::all()
            .into_iter()
            .map(|outcome| self.metrics.messages.commits.of(outcome).get())
            .sum()
    }

    /// Commands that went the direct way from this node for this reason.
    pub(super) fn direct(&self, reason: DirectReason) -> u64 {
        self.metrics.cluster.direct_commands.of(reason).get()
    }
}

/// Several nodes, and the hall that they all serve.
pub(super) struct Fleet {
    pub(super) hall: Arc<Hall>,
    pub(super) bus: LocalBus,
    berths: BTreeMap<u64, Arc<Berth>>,
}

impl Fleet {
    /// Nodes numbered from 1, each of which has heard of all others.
    pub(super) async fn of(count: u64) -> Self {
        let hall = Arc::new(Hall::new().await);
        let mut fleet = Self { hall, bus: LocalBus::shared(), berths: BTreeMap::new() };
        for number in 1..=count {
            fleet.launch(number).await;
        }
        fleet.is_acquainted().await;
        fleet
    }

    /// Starts a node of this number. Which rooms it owns follows from it.
    pub(super) async fn launch(&mut self, number: u64) {
        let boot = BootId::new(1, number);
        let seal = Seal::new(boot, Keys::derive(SECRET, None).bus);
        let wire = Judged::new(&self.bus, boot);
        let store = Faulty::new(Arc::clone(&self.hall.store), []);
        let runtime = OwnRuntime::new();
        let metrics = Metrics::new();
        let (bus, seen): (DynBus, DynStore) = (wire.clone(), store.clone());
        let (own, counted) = (seal.clone(), metrics.clone());
        let started = runtime.spawn(async move {
            let nodes = Nodes::join(Arc::clone(&bus), own.clone(), None);
            (rooms_counted(&seen, &bus, own, nodes.clone(), counted).await, nodes)
        });
        let (rooms, nodes) = started.await.unwrap();
        let berth = Berth { rooms, nodes, seal, metrics, wire, store, runtime };
        assert!(self.berths.insert(number, Arc::new(berth)).is_none());
    }

    /// Waits until every node has heard of all others, and of nobody else.
    pub(super) async fn is_acquainted(&self) {
        for berth in self.berths.values() {
            let mut changes = berth.nodes.changes();
            let acquainted = async {
                while !berth.nodes.is_link_up()
                    || berth.nodes.others().len() + 1 != self.berths.len()
                {
                    changes.changed().await.unwrap();
                }
            };
            tokio::time::timeout(PATIENCE, acquainted).await.expect("to know each other");
        }
    }

    /// Waits until every node has heard of this one, and it of itself.
    pub(super) async fn is_acquainted_with(&self, number: u64) {
        let boot = self.node(number).nodes.me();
        for berth in self.berths.values() {
            let (nodes, mut changes) = (&berth.nodes, berth.nodes.changes());
            let acquainted = async {
                while !nodes.is_link_up() || (nodes.me() != boot && nodes.other(boot).is_none()) {
                    changes.changed().await.unwrap();
                }
            };
            tokio::time::timeout(PATIENCE, acquainted).await.expect("to know the new node");
        }
    }

    /// Kills a node as `kill -9` does.
    pub(super) fn kill(&mut self, number: u64) {
        self.berths.remove(&number).unwrap().stop();
    }

    /// Drains a node as SIGTERM does, and waits until it is gone.
    pub(super) async fn drain(&mut self, number: u64) {
        let berth = self.berths.remove(&number).unwrap();
        berth.nodes.drain();
        let rooms = berth.rooms.clone();
        let finished = berth.run(async move { rooms.finished().await });
        tokio::time::timeout(PATIENCE, finished).await.expect("to finish").unwrap();
        berth.nodes.leave();
    }

    /// The node of this number.
    pub(super) fn node(&self, number: u64) -> &Arc<Berth> {
        &self.berths[&number]
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Berth>> + Clone {
        self.berths.values()
    }

    /// The number of the node that owns the hall, as all nodes know.
    pub(super) fn owner(&self) -> u64 {
        let owners = self
            .berths
            .iter()
            .filter(|(_, berth)| berth.nodes.owner_of(self.hall.room.as_bytes()).is_none());
        let owners: Vec<u64> = owners.map(|(number, _)| *number).collect();
        assert_eq!(owners.len(), 1, "{owners:?}");
        owners[0]
    }

    /// The numbers of all nodes.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.berths.keys().copied().collect()
    }

    /// The numbers of the others.
    pub(super) fn others(&self) -> Vec<u64> {
        let owner = self.owner();
        self.berths.keys().copied().filter(|number| *number != owner).collect()
    }

    /// The words of the log from behind `after` on, by their positions, which are without a hole.
    pub(super) async fn line(&self, after: u64) -> Vec<String> {
        let (after, all) = (natter::domain::Seq(after), natter::domain::Seq(u64::MAX));
        let mut line = Vec::new();
        let mut last = after;
        loop {
            let page = self.hall.store.events(self.hall.room, last, all, 500).await.unwrap();
            let Some(end) = page.last().map(|event| event.seq) else { return line };
            for event in page {
                assert_eq!(event.seq, last.next());
                last = event.seq;
                if let natter::domain::Body::Message(message) = event.body {
                    line.push(message.text);
                }
            }
            assert_eq!(last, end);
        }
    }
}

/// Somebody who says numbers through one connection, many at a time, and sends again what is refused for now.
pub(super) struct Speaker {
    pub(super) user: User,
    pub(super) name: String,
    connection: Arc<Connection>,
    next: u64,
    /// How often something had to be said again.
    pub(super) repeats: u64,
}

impl Speaker {
    pub(super) fn new(user: &User, name: &str) -> Self {
        let (connection, _) = connection(user, Scope::Session);
        Self { user: user.clone(), name: name.to_owned(), connection, next: 0, repeats: 0 }
    }

    /// Says the next `count` numbers by this node, without waiting for an answer to send the next, until all are stored.
    pub(super) async fn talk(&mut self, hall: &Hall, berth: &Berth, count: u64) {
        let end = self.next + count;
        while self.next < end {
            self.next = self.pipeline(hall, berth, end).await;
            self.repeats += u64::from(self.next < end);
        }
    }

    /// Says the numbers up to `end`, and answers with the first that has to be said again.
    async fn pipeline(&self, hall: &Hall, berth: &Berth, end: u64) -> u64 {
        let (told, mut answers) = mpsc::unbounded_channel();
        let (rooms, room) = (berth.rooms.clone(), hall.room);
        let (connection, first) = (Arc::clone(&self.connection), self.next);
        let commands: Vec<_> = (first..end).map(|nth| (nth, self.command(nth))).collect();
        berth.run(async move {
            let refused = Arc::new(AtomicBool::new(false));
            for (nth, command) in commands {
                let lane = connection.lane(room);
                if refused.load(Ordering::SeqCst) {
                    return;
                }
                let (told, refused) = (told.clone(), Arc::clone(&refused));
                let connection = Arc::clone(&connection);
                let reply = Box::new(move |outcome: Result<Committed, Refused>| {
                    let is_refused = outcome.is_err();
                    // In this order: what is looked at from now on knows of it.
                    refused.fetch_or(is_refused, Ordering::SeqCst);
                    is_refused.then(|| connection.begin_anew(room));
                    drop(told.send((nth, outcome)));
                });
                rooms.submit(room, Some(lane), command, reply).await;
            }
        });
        let mut again = end;
        while let Some((nth, outcome)) =
            tokio::time::timeout(PATIENCE, answers.recv()).await.expect("an answer")
        {
            match outcome {
                Ok(_) => {}
                Err(Refused::Overloaded | Refused::Unknown | Refused::Unavailable(_)) => {
                    again = again.min(nth);
                }
                Err(refused) => panic!("{nth}: {refused}"),
            }
        }
        again
    }

    fn command(&self, nth: u64) -> Command {
        let text = format!("{} {nth}", self.name);
        let mut command = command(&self.user, post(&self.user, &text));
        command.client_id = ClientId::parse(text).unwrap();
        command
    }

    /// That `line` holds what was said, each number once and in order.
    pub(super) fn check(&self, line: &[String]) {
        let prefix = format!("{} ", self.name);
        let said: Vec<u64> = line
            .iter()
            .filter_map(|text| text.strip_prefix(&prefix))
            .map(|nth| nth.parse().unwrap())
            .collect();
        assert_eq!(said, (0..self.next).collect::<Vec<_>>(), "{}", self.name);
    }
}

/// A message with a key of its client's.
pub(super) fn keyed(user: &User, text: &str, key: &str) -> Command {
    let change: Change = post(user, text);
    let mut command = command(user, change);
    command.client_id = ClientId::parse(key.into()).unwrap();
    command
}
