//! One node: puts the parts together, serves, and comes to a clean end.

mod drain;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError};
use crate::http::listener::{self, Listener};
use crate::http::probes::{self, Check};
use crate::http::trace::{Tracing, trace};
use crate::lifecycle::Lifecycle;
use crate::link::Links;
use crate::metrics::Metrics;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is configured cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Listen {
        /// The setting with the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// A running node. Dropping it stops nothing; [`Node::drain`] does.
pub struct Node {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    config: Arc<Config>,
    lifecycle: Lifecycle,
    links: Links,
    stop: CancellationToken,
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
    /// The metrics' port is opened as configured. Many nodes can run in one process.
    ///
    /// # Errors
    ///
    /// [`StartError`], with nothing left running.
    pub async fn start(config: Config, socket: TcpListener) -> Result<Self, StartError> {
        config.validate()?;
        let config = Arc::new(config);
        let metrics = Metrics::new();
        let (lifecycle, links, stop) =
            (Lifecycle::new(), Links::default(), CancellationToken::new());
        let address = local_address("listen", config.listen, &socket)?;
        let metrics_socket = match config.metrics.listen {
            Some(address) => Some(listen("metrics.listen", address)?),
            None => None,
        };
        let metrics_address = match (&metrics_socket, config.metrics.listen) {
            (Some(socket), Some(wanted)) => Some(local_address("metrics.listen", wanted, socket)?),
            _ => None,
        };

        let store: Check = Arc::new(|| Box::pin(async { Ok(()) }));
        let tracing = Tracing {
            metrics: metrics.clone(),
            trusted_proxies: config.trusted_proxies.clone().into(),
        };
        let router = Router::new()
            .merge(probes::router(lifecycle.clone(), store))
            .layer(from_fn_with_state(tracing, trace));
        let public = Listener { router, links: links.clone(), stop: stop.clone() };
        tokio::spawn(public.serve(socket));
        if let Some(socket) = metrics_socket {
            let router = operators_router(metrics, links.clone());
            let own = Listener { router, links: Links::default(), stop: stop.clone() };
            tokio::spawn(own.serve(socket));
        }
        Ok(Self { address, metrics_address, config, lifecycle, links, stop })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics` is.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_address
    }
}

fn local_address(
    setting: &'static str,
    wanted: SocketAddr,
    socket: &TcpListener,
) -> Result<SocketAddr, StartError> {
    socket.local_addr().map_err(|source| StartError::Listen { setting, address: wanted, source })
}

/// What the operator's own port serves. Nothing of it is on the public one.
fn operators_router(metrics: Metrics, links: Links) -> Router {
    let render = move || {
        metrics.tcp_connections.set(i64::try_from(links.count()).unwrap_or(i64::MAX));
        let text = metrics.render();
        async move { ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text) }
    };
    Router::new().route("/metrics", get(render))
}
