//! What every use case works with: one struct of the shared parts of a node.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::bus::DynBus;
use crate::bus::seal::Seal;
use crate::config::{Config, Secret};
use crate::domain::Epoch;
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::limits::Limiter;
use crate::media::{Links, Media};
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::passwords::Passwords;
use crate::room::Rooms;
use crate::store::DynStore;
use crate::telemetry::Telemetry;

/// The shared parts of a node. Clones are the same, and cheap.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts themselves.
pub struct Parts {
    /// All settings.
    pub config: Config,
    /// What access tokens are signed with.
    pub secret: Secret,
    /// What they may have been signed with elsewhere, while one secret follows another.
    pub previous_secret: Option<Secret>,
    /// The keys for everything else.
    pub keys: Keys,
    /// Where everything is kept.
    pub store: DynStore,
    /// Where the bytes of attachments are.
    pub media: Media,
    /// Signs the paths of media.
    pub media_links: Links,
    /// The life of the store that positions belong to.
    pub epoch: Epoch,
    /// The live rooms of this node.
    pub rooms: Rooms,
    /// How nodes hear of each other.
    pub bus: DynBus,
    /// Signs what this node says on the bus.
    pub seal: Seal,
    /// The nodes of the cluster, this one included.
    pub nodes: Nodes,
    /// Whether the node is about to go.
    pub lifecycle: Lifecycle,
    /// How much one user or one address may ask for.
    pub limits: Limiter,
    /// Hashes and compares passwords.
    pub passwords: Passwords,
    /// How many archives of people's data may still be made at once.
    pub exports: Arc<Semaphore>,
    /// What the node counts about itself.
    pub metrics: Metrics,
    /// Where its traces go.
    pub telemetry: Telemetry,
    /// Work that must end before the node does.
    pub tasks: TaskTracker,
}

impl App {
    /// An app of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App(..)")
    }
}
