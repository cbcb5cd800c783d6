//! The nodes of the cluster, as this one hears them: who is alive, who owns a room.
//!
//! Every node says each [`HEARTBEAT`] that it is there, to all, itself included. One that was not heard for
//! [`DEAD_AFTER`] is dead. One that does not hear itself for [`DEAF_AFTER`] knows that its own link is down: then
//! nobody is declared dead, however long it lasts, and silence counts from the moment the link is back.
//!
//! What follows from a node's coming and going (presence, ownership, forwarding) is its users' business, who
//! watch [`Nodes::changes`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::bus::seal::{Replays, Seal};
use crate::bus::{DynBus, Subject, Subscription};
use crate::domain::{BootId, Timestamp};

/// How often a node says that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long another node may be silent: three heartbeats.
pub const DEAD_AFTER: Duration = Duration::from_secs(6);

/// How long a node may not hear itself before it knows that its link is down.
pub const DEAF_AFTER: Duration = Duration::from_secs(4);

/// How often silences are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The shortest time between two heartbeats, also when somebody new is to be told.
const BREATH: Duration = Duration::from_millis(100);

/// Nodes that are known at once; further ones are not taken in until one of these dies. The largest cluster that
/// was thought of has a thousand.
const MAX_NODES: usize = 4096;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Which start of which node it is.
    pub boot: BootId,
    /// Where other nodes reach its internal listener, if it has one: an origin such as `http://10.0.0.7:9465`.
    pub url: Option<String>,
    /// Its version of natter.
    pub version: String,
    /// Whether it is about to go: it owns nothing any more, but still serves.
    pub is_draining: bool,
}

#[derive(Serialize, Deserialize)]
struct Heartbeat {
    #[serde(flatten)]
    peer: Peer,
    /// Whether this is its last one.
    is_leaving: bool,
}

/// The nodes of the cluster. Clones are the same.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

struct Inner {
    me: BootId,
    /// `None` for a node that has nobody beside it.
    bus: Option<(DynBus, Seal)>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Asks for a heartbeat now.
    urgent: Notify,
}

struct State {
    own: Peer,
    is_leaving: bool,
    peers: HashMap<BootId, Heard>,
    /// When this node heard itself last; `None` as long as its link is down.
    own_heard: Option<Instant>,
    /// Since when its link is up.
    up_since: Option<Instant>,
}

struct Heard {
    peer: Peer,
    at: Instant,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("me", &self.0.me).finish_non_exhaustive()
    }
}

impl Nodes {
    /// A node that has nobody beside it.
    pub fn alone(me: BootId) -> Self {
        Self(Arc::new(Inner::new(Self::peer_of(me, None), None)))
    }

    /// Joins the nodes that `bus` reaches, as the one whose seal it is; `url` is where they reach its internal
    /// listener. Starts the tasks that say and hear heartbeats; they end when the last clone is dropped.
    pub fn join(bus: DynBus, seal: Seal, url: Option<String>) -> Self {
        if !bus.reaches_others() {
            return Self::alone(seal.node());
        }
        let heard = bus.subscribe(&Subject::nodes());
        let own = Self::peer_of(seal.node(), url);
        let inner = Arc::new(Inner::new(own, Some((bus, seal))));
        tokio::spawn(beat(Arc::downgrade(&inner)));
        tokio::spawn(listen(Arc::downgrade(&inner), heard));
        Self(inner)
    }

    fn peer_of(boot: BootId, url: Option<String>) -> Peer {
        Peer { boot, url, version: env!("CARGO_PKG_VERSION").to_owned(), is_draining: false }
    }

    /// Which node this is.
    pub fn me(&self) -> BootId {
        self.0.me
    }

    /// The other nodes that are alive, in the order of their ids: those heard last, as long as the link is down.
    pub fn others(&self) -> Vec<Peer> {
        let state = self.0.state();
        let mut peers: Vec<_> = state.peers.values().map(|heard| heard.peer.clone()).collect();
        peers.sort_by_key(|peer| peer.boot);
        peers
    }

    /// One of the other nodes, if it is alive.
    pub fn other(&self, boot: BootId) -> Option<Peer> {
        self.0.state().peers.get(&boot).map(|heard| heard.peer.clone())
    }

    /// Whether this node hears the bus. A node that has nobody beside it always does.
    pub fn is_link_up(&self) -> bool {
        self.0.bus.is_none() || self.0.state().up_since.is_some()
    }

    /// Which node is to do what there should be one for: of the live ones that are not about to go, the one with
    /// the highest weight for `key`, so that each key has its own order of nodes and few keys move when a node
    /// comes or goes. `None` is this node itself: also while its link is down, and when nobody else is left.
    ///
    /// A hint: two nodes may each believe to be it for a while.
    pub fn owner_of(&self, key: &[u8]) -> Option<BootId> {
        let state = self.0.state();
        if self.0.bus.is_none() || state.up_since.is_none() {
            return None;
        }
        let own = (!state.own.is_draining).then_some(&state.own);
        let others = state.peers.values().map(|heard| &heard.peer);
        let candidates = own.into_iter().chain(others.filter(|peer| !peer.is_draining));
        let owner = candidates.map(|peer| peer.boot).max_by_key(|boot| (weight(key, *boot), *boot));
        owner.filter(|boot| *boot != self.0.me)
    }

    /// Rises whenever a node comes, changes or goes, or the link does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Tells the others that this node is about to go: it owns nothing from here on.
    pub fn drain(&self) {
        self.0.state().own.is_draining = true;
        self.0.changed();
        self.0.urgent.notify_one();
    }

    /// Tells the others that this node is gone, so that they need not wait for its silence.
    pub fn leave(&self) {
        let mut state = self.0.state();
        state.own.is_draining = true;
        state.is_leaving = true;
        drop(state);
        self.0.beat();
    }
}

/// The weight of a node for a key: FNV-1a over both, mixed as in SplitMix64. The same in every version of natter,
/// or two of them would disagree about every owner.
fn weight(key: &[u8], boot: BootId) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.iter().chain(boot.as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

impl Inner {
    fn new(own: Peer, bus: Option<(DynBus, Seal)>) -> Self {
        let me = own.boot;
        let state = State {
            own,
            is_leaving: false,
            peers: HashMap::new(),
            own_heard: None,
            up_since: None,
        };
        let changes = watch::Sender::new(0);
        Self { me, bus, state: Mutex::new(state), changes, urgent: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Says that this node is there.
    fn beat(&self) {
        let Some((bus, seal)) = &self.bus else { return };
        let state = self.state();
        let heartbeat = Heartbeat { peer: state.own.clone(), is_leaving: state.is_leaving };
        drop(state);
        let subject = Subject::nodes();
        bus.publish(&subject, seal.seal_once(&subject, &heartbeat));
    }

    /// Takes in what a node, this one included, says of itself.
    fn take(&self, Heartbeat { peer, is_leaving }: Heartbeat, now: Instant) {
        let mut state = self.state();
        let is_changed = if peer.boot == self.me {
            state.own_heard = Some(now);
            let was_down = state.up_since.is_none();
            state.up_since.get_or_insert(now);
            was_down
        } else if is_leaving {
            state.peers.remove(&peer.boot).is_some()
        } else {
            let is_known = state.peers.contains_key(&peer.boot);
            if !is_known && state.peers.len() >= MAX_NODES {
                return;
            }
            if !is_known {
                self.urgent.notify_one(); // It does not know of this node yet.
            }
            let before = state.peers.insert(peer.boot, Heard { peer: peer.clone(), at: now });
            before.is_none_or(|before| before.peer != peer)
        };
        drop(state);
        if is_changed {
            self.changed();
        }
    }

    /// Looks who has been silent for too long.
    fn look(&self, now: Instant) {
        let mut state = self.state();
        let is_deaf = state.own_heard.is_none_or(|at| now.duration_since(at) >= DEAF_AFTER);
        let mut is_changed = false;
        if is_deaf {
            is_changed = state.up_since.take().is_some();
            state.own_heard = None;
            if is_changed {
                tracing::warn!("the bus is not heard: its link is down");
            }
        } else if let Some(up_since) = state.up_since {
            let before = state.peers.len();
            state.peers.retain(|boot, heard| {
                let is_alive = now.duration_since(heard.at.max(up_since)) < DEAD_AFTER;
                if !is_alive {
                    tracing::warn!(node.id = %boot, "a node is silent: it counts as dead");
                }
                is_alive
            });
            is_changed = state.peers.len() != before;
        }
        drop(state);
        if is_changed {
            self.changed();
        }
    }
}

/// Says heartbeats, and looks who is silent.
async fn beat(inner: Weak<Inner>) {
    let mut said = None;
    loop {
        let Some(this) = inner.upgrade() else { return };
        let now = Instant::now();
        this.look(now);
        if said.is_none_or(|at| now.duration_since(at) >= HEARTBEAT) {
            this.beat();
            said = Some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = this.urgent.notified() => {
                tokio::time::sleep(BREATH).await;
                this.beat();
                said = Some(Instant::now());
            }
        }
    }
}

/// Takes in the heartbeats of all nodes.
async fn listen(inner: Weak<Inner>, mut heard: Subscription) {
    let subject = Subject::nodes();
    let mut replays = Replays::default();
    while let Some(delivery) = heard.next().await {
        let Some(this) = inner.upgrade() else { return };
        let Some((_, seal)) = &this.bus else { return };
        let now = Timestamp::now();
        match seal.open_once::<Heartbeat>(&subject, &delivery.payload, &mut replays, now) {
            Ok(opened) if opened.node == opened.body.peer.boot => {
                this.take(opened.body, Instant::now());
            }
            Ok(_) => tracing::warn!("a node speaks for another"),
            Err(_counted) => {}
        }
    }
}
