//! Puts the parts of a node together, each on what lies below it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::StartError;
use crate::app::{App, Parts};
use crate::bus;
use crate::bus::DynBus;
use crate::bus::seal::Seal;
use crate::config::Config;
use crate::domain::{BootId, Timestamp};
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::limits::Limiter;
use crate::media::{Links, Media};
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::passwords::Passwords;
use crate::room::{Peers, Rooms, Settings, Teller};
use crate::store::{self, Access, DynStore};
use crate::telemetry::Telemetry;
use crate::tls;

/// Archives of people's data that a node makes at once: each reads the logs of many rooms.
const EXPORTS_AT_ONCE: usize = 2;

/// What the nodes of a cluster have in common, open.
#[derive(Clone)]
pub struct Shared {
    /// Where everything is kept.
    pub store: DynStore,
    /// How the nodes hear of each other.
    pub bus: DynBus,
}

/// What one start of a node has for itself before anything is open.
pub struct Identity {
    /// Which start of which node it is.
    pub boot: BootId,
    /// What it counts.
    pub metrics: Metrics,
    /// Where other nodes reach its internal listener.
    pub url: Option<String>,
}

impl Identity {
    /// One that no other node has.
    pub fn new() -> Self {
        let boot = BootId::new(Timestamp::now().as_millis(), rand::random());
        Self { boot, metrics: Metrics::new(), url: None }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

/// Opens what `config` names and makes the app of it: what a node serves, and what an operator's
/// command or a test of a use case works with directly.
///
/// # Errors
///
/// [`StartError`]: the configuration, the data folder, the store, or the media store.
pub async fn assemble(config: Config, access: Access) -> Result<App, StartError> {
    let identity = Identity::new();
    let shared = open(&config, access, &identity).await?;
    assemble_with(config, shared, identity).await
}

/// Opens the store and the bus that `config` names, for the node that `identity` is.
pub(super) async fn open(
    config: &Config,
    access: Access,
    identity: &Identity,
) -> Result<Shared, StartError> {
    prepare(config)?;
    let store = store::connect(&config.store, &config.data_dir, access).await;
    let store = store.map_err(StartError::Store)?;
    let metrics = identity.metrics.clone();
    let bus = bus::connect(&config.bus, &config.bus_access, identity.boot, metrics).await?;
    Ok(Shared { store, bus })
}

/// Checks `config`, and makes what has to be there before anything is opened.
pub(crate) fn prepare(config: &Config) -> Result<(), StartError> {
    config.validate()?;
    tls::install();
    make_data_dir(config)
        .map_err(|source| StartError::DataDir { path: config.data_dir.clone(), source })
}

/// As [`assemble`], on a store and a bus that are open.
///
/// # Errors
///
/// [`StartError`]: the configuration, the data folder, or the media store.
pub async fn assemble_with(
    config: Config,
    shared: Shared,
    identity: Identity,
) -> Result<App, StartError> {
    prepare(&config)?;
    let (Shared { store, bus }, Identity { boot, metrics, url }) = (shared, identity);
    let store = store::measured(store, metrics.clone());
    if !bus.reaches_others() {
        metrics.bus.up.set(1); // There is nothing to be away.
    }
    let secret = config.secret_key()?;
    let previous_secret = config.auth.secret_key_previous.clone();
    let previous = previous_secret.as_ref().map(|previous| previous.expose().as_bytes());
    let keys = Keys::derive(secret.expose().as_bytes(), previous);
    let epoch = store.epoch().await.map_err(StartError::Store)?;
    let media = Media::connect(&config.media, &config.data_dir).map_err(StartError::Media)?;
    let media = media.measured(metrics.clone());
    let media_links = Links::new(keys.media.clone(), config.auth.token_lifetime);
    let signer = media_links.clone();
    let teller = Teller {
        epoch,
        sign: Arc::new(move |attachment, variant, reader| {
            signer.sign(attachment.id, reader, variant, Timestamp::now())
        }),
    };
    let settings = Settings {
        leave_grace: config.presence.leave_grace,
        sockets_per_user: config.limits.sockets_per_user.get().unwrap_or(0) as usize,
    };
    let seal = Seal::counted(boot, keys.bus.clone(), metrics.clone());
    let nodes = Nodes::join(Arc::clone(&bus), seal.clone(), url);
    let peers = Peers::new(Arc::clone(&bus), seal.clone(), nodes.clone(), epoch);
    let telemetry = Telemetry::connect(&config.telemetry, boot, &metrics)?;
    let peers = peers.traced(telemetry.clone());
    let rooms = Rooms::new(Arc::clone(&store), metrics.clone(), teller, peers, settings);
    Ok(App::new(Parts {
        limits: Limiter::new(&config.limits),
        passwords: Passwords::new(config.auth.bcrypt_cost),
        config,
        secret,
        previous_secret,
        keys,
        store,
        epoch,
        rooms,
        media,
        media_links,
        bus,
        seal,
        nodes,
        lifecycle: Lifecycle::new(),
        exports: Arc::new(Semaphore::new(EXPORTS_AT_ONCE)),
        metrics,
        telemetry,
        tasks: TaskTracker::new(),
    }))
}

/// Makes the folder of what this node keeps. It holds password hashes and messages, so a new one
/// is open to its owner alone; one that is there stays as its owner made it.
fn make_data_dir(config: &Config) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir)
}
