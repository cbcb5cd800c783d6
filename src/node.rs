//! One node: puts the parts together, serves, and comes to a clean end.

mod assemble;
mod drain;
mod jobs;
mod scrape;
mod waiting;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::RequestBodyTimeoutLayer;

pub(crate) use self::assemble::prepare;
pub use self::assemble::{Identity, Shared, assemble, assemble_with};
use crate::app::App;
use crate::config::{Config, ConfigError};
use crate::http;
use crate::http::listener::{self, Listener};
use crate::http::probes::{self, Check, NotReady, Readiness};
use crate::http::trace::{Tracing, chain, trace};
use crate::link::Links;
use crate::service;
use crate::service::accounts;
use crate::socket::{self, Endpoint, Sockets};
use crate::store::{Access, StoreError};

/// How long a client may pause in the middle of a body. However slowly it sends otherwise, an upload
/// goes on.
const BODY_PAUSE: Duration = Duration::from_secs(20);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is configured cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("{setting}: cannot listen on {address}")]
    Listen {
        /// The setting with the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The data folder cannot be made.
    #[error("data_dir: cannot make {}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The bus cannot be used.
    #[error(transparent)]
    Bus(#[from] crate::bus::BusError),
    /// Traces cannot be told.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::TelemetryError),
    /// The store cannot be opened.
    #[error("store.url: cannot open the store")]
    Store(#[source] StoreError),
    /// The first administrator cannot be made.
    #[error("auth.admin_email: cannot make the first administrator")]
    FirstAdmin(#[source] service::Error),
    /// The media store cannot be opened.
    #[error("media.url: cannot open the media store")]
    Media(#[source] io::Error),
}

/// A running node. Dropping it stops nothing; [`Node::drain`] does.
pub struct Node {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    internal_address: Option<SocketAddr>,
    app: App,
    sockets: Sockets,
    links: Links,
    /// Connections of other nodes.
    internal_links: Links,
    stop: CancellationToken,
    /// Whether the store is its own, and is closed when it goes.
    has_own_store: bool,
}

/// Opens the address of `listen` for clients.
///
/// # Errors
///
/// [`StartError::Listen`], as the operating system says.
pub fn bind(config: &Config) -> Result<TcpListener, StartError> {
    listen("listen", config.listen)
}

fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listener::bind(address).map_err(|source| StartError::Listen { setting, address, source })
}

impl Node {
    /// Starts a node that serves clients on `socket`, which makes the tests' ports free ones.
    ///
    /// The store of a cluster is waited for, without an end; meanwhile the node answers that it is not ready, and operators
    /// what is known.
    /// The metrics' port is opened as configured. Many nodes can run in one process.
    ///
    /// # Errors
    ///
    /// [`StartError`], with nothing left running.
    pub async fn start(config: Config, socket: TcpListener) -> Result<Self, StartError> {
        config.check_serving()?; // Before anything is waited for.
        let identity = Identity::new();
        let doors = Doors::open(&config, socket)?;
        let shared = if config.is_embedded() {
            assemble::open(&config, Access::Node, &identity).await?
        } else {
            waiting::open(&config, &doors, &identity).await?
        };
        let node = Self::start_as(config, doors, shared, identity).await?;
        Ok(Self { has_own_store: true, ..node })
    }

    /// As [`Node::start`], on a store and a bus that several nodes of one process share, and that outlive each.
    ///
    /// # Errors
    ///
    /// [`StartError`], with nothing left running.
    pub async fn start_with(
        config: Config,
        socket: TcpListener,
        shared: Shared,
    ) -> Result<Self, StartError> {
        config.check_serving()?;
        let doors = Doors::open(&config, socket)?;
        Self::start_as(config, doors, shared, Identity::new()).await
    }

    async fn start_as(
        config: Config,
        Doors { public, metrics }: Doors,
        shared: Shared,
        identity: Identity,
    ) -> Result<Self, StartError> {
        let address = public.address;
        let internal = opened("internal_listen", config.internal_listen)?;
        let url = internal.as_ref().map(|internal| advertised(&config, internal.address));
        let app = assemble_with(config, shared, Identity { url, ..identity }).await?;
        accounts::ensure_first_admin(&app).await.map_err(StartError::FirstAdmin)?;

        let stop = CancellationToken::new();
        let serve = |router: Router, socket: TcpListener| {
            let links = Links::default();
            let listener = Listener { router, links: links.clone(), stop: stop.clone() };
            tokio::spawn(listener.serve(socket));
            links
        };
        let Endpoint { public: clients, internal: for_nodes, sockets } = Endpoint::new(app.clone());
        let readiness = readiness(&app);
        let links = serve(public_router(&app, clients, Arc::clone(&readiness)), public.socket);
        let (metrics_address, internal_address) =
            (address_of(metrics.as_ref()), address_of(internal.as_ref()));
        if let Some(Opened { socket, .. }) = metrics {
            serve(scrape::router(app.clone(), links.clone(), readiness), socket);
            let delays = scrape::follow_delays(app.metrics.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(delays));
        }
        let internal_links = match internal {
            Some(Opened { socket, .. }) => serve(internal_router(&app, for_nodes), socket),
            None => Links::default(),
        };
        jobs::start(app.clone(), stop.clone());
        let has_own_store = false;
        Ok(Self {
            address,
            metrics_address,
            internal_address,
            app,
            sockets,
            links,
            internal_links,
            stop,
            has_own_store,
        })
    }

    /// Returns once the store was restored beneath this node: it has to end, and to begin anew.
    pub async fn outlived(&self) {
        self.app.rooms.outlived().await;
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its parts, as use cases see them.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Where other nodes hand requests on to it.
    pub fn internal_addr(&self) -> Option<SocketAddr> {
        self.internal_address
    }

    /// Where `/metrics` is.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_address
    }
}

/// An address that is listened on.
struct Opened {
    socket: TcpListener,
    address: SocketAddr,
}

/// What is open from the start on, whatever the node has to wait for.
struct Doors {
    /// For clients.
    public: Opened,
    /// For operators.
    metrics: Option<Opened>,
}

impl Doors {
    /// `socket` for clients, and what `config` names beside it.
    fn open(config: &Config, socket: TcpListener) -> Result<Self, StartError> {
        let address = local_address("listen", config.listen, &socket)?;
        let metrics = opened("metrics.listen", config.metrics.listen)?;
        Ok(Self { public: Opened { socket, address }, metrics })
    }
}

fn opened(setting: &'static str, wanted: Option<SocketAddr>) -> Result<Option<Opened>, StartError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let socket = listen(setting, wanted)?;
    let address = local_address(setting, wanted, &socket)?;
    Ok(Some(Opened { socket, address }))
}

fn address_of(opened: Option<&Opened>) -> Option<SocketAddr> {
    opened.map(|opened| opened.address)
}

/// Where other nodes reach the internal listener, which has `address`.
fn advertised(config: &Config, address: SocketAddr) -> String {
    match &config.advertise_url {
        Some(url) => url.to_string(),
        None => format!("http://{address}"),
    }
}

fn local_address(
    setting: &'static str,
    wanted: SocketAddr,
    socket: &TcpListener,
) -> Result<SocketAddr, StartError> {
    socket.local_addr().map_err(|source| StartError::Listen { setting, address: wanted, source })
}

fn readiness(app: &App) -> Arc<Readiness> {
    let store = Arc::clone(&app.store);
    let check: Check = Arc::new(move || {
        let store = Arc::clone(&store);
        Box::pin(async move { store.check().await.map_err(|error| not_ready(&error)) })
    });
    Readiness::new(app.lifecycle.clone(), check)
}

/// What clients are served.
fn public_router(app: &App, sockets: Router, readiness: Arc<Readiness>) -> Router {
    let router = http::router(app.clone()).merge(sockets).merge(probes::router(readiness));
    traced(app, http::guard(app, router))
}

/// What other nodes are served.
fn internal_router(app: &App, sockets: Router) -> Router {
    socket::for_nodes(app, traced(app, sockets))
}

/// Around both: bodies do not pause for ever, and every request has its line in the log.
fn traced(app: &App, router: Router) -> Router {
    let tracing = Tracing {
        metrics: app.metrics.clone(),
        trusted_proxies: app.config.trusted_proxies.clone().into(),
    };
    router.layer(RequestBodyTimeoutLayer::new(BODY_PAUSE)).layer(from_fn_with_state(tracing, trace))
}

/// Why a node is not ready whose store answers with `error`. An operator's task is told to whoever probes.
fn not_ready(error: &StoreError) -> NotReady {
    match error {
        StoreError::Unprepared(sentence) => {
            NotReady { detail: sentence.clone(), cause: sentence.clone() }
        }
        _ => NotReady::no_answer(chain(error)),
    }
}
