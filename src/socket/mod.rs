//! Socket.IO: decodes what clients say, calls one service for each event, encodes the answer.
//!
//! What the library does and where it bites is written down, measured, in docs/ARCHITECTURE.md ("Sockets"); the
//! short of it: handlers are registered in the connect middleware, they only queue and never wait, everything
//! that is sent goes through the connection's own queue, and a client that hangs is cut off beneath HTTP.

mod ack;
mod auth;
mod events;
mod forward;
mod gate;
mod inbound;
mod internal;
mod posted;
mod session;
mod sid;
mod standing;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::SocketRef;
use socketioxide::handler::{ConnectHandler, FromConnectParts, Value};
use socketioxide::socket::Socket;
use socketioxide::{ParserConfig, SocketIo};
use std::future::{Ready, ready};

use crate::api::Limits;
use crate::app::App;
use crate::domain::{ClientId, MessageText};
use forward::Forwarder;
use transport::{Transport, Transports};

/// How much larger a packet may be than the largest file inside it.
const PACKET_MARGIN: u64 = 64 * 1024;

/// Packets that the library keeps for one connection: twice what a connection's queue hands over at most,
/// so that its own pings find a place.
const LIBRARY_BUFFER: usize = 256;

/// How long a client may take from the handshake until it says who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The sockets of a node. Clones are the same.
#[derive(Clone)]
pub(crate) struct Sockets(Arc<Inner>);

/// What the sockets of a node share.
pub(crate) struct Inner {
    app: App,
    limits: Limits,
    transports: Transports,
    forwarder: Forwarder,
}

impl std::ops::Deref for Sockets {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The library's socket itself, which [`SocketRef`] only lends.
struct TheSocket(Arc<Socket<LocalAdapter>>);

impl FromConnectParts<LocalAdapter> for TheSocket {
    type Error = std::convert::Infallible;

    fn from_connect_parts(
        socket: &Arc<Socket<LocalAdapter>>,
        _: &Option<Value>,
    ) -> Result<Self, Self::Error> {
        Ok(Self(Arc::clone(socket)))
    }
}

impl Sockets {
    fn new(app: App) -> Self {
        let (limits, forwarder) = (limits(&app), Forwarder::new(app.clone()));
        Self(Arc::new(Inner { limits, transports: Transports::default(), forwarder, app }))
    }

    fn is_draining(&self) -> bool {
        self.app.lifecycle.refuses_sockets()
    }

    fn transports(&self) -> &Transports {
        &self.0.transports
    }

    fn forwarder(&self) -> &Forwarder {
        &self.0.forwarder
    }

    /// How many clients wait here for what another node will tell them.
    pub(crate) fn handed_on(&self) -> usize {
        self.forwarder().ways().count()
    }

    /// Has up to `most` of them sent away by the nodes that hold their sessions, without a loss: this node is
    /// going. Those that come after it are as many more for the next call.
    pub(crate) async fn release(&self, most: usize) {
        let ways = self.forwarder().ways().take(most);
        futures::future::join_all(ways.iter().map(|way| self.forwarder().release(way))).await;
    }

    fn transport_of(&self, socket: &Socket<LocalAdapter>) -> Arc<Transport> {
        let given = socket.req_parts().extensions.get::<Arc<Transport>>();
        given.cloned().unwrap_or_default()
    }
}

/// The endpoint of Socket.IO at `/socket.io`.
pub(crate) struct Endpoint {
    /// What it is to clients.
    pub(crate) public: Router,
    /// What it is to other nodes; to be wrapped in [`for_nodes`].
    pub(crate) internal: Router,
    /// The sockets behind both.
    pub(crate) sockets: Sockets,
}

impl Endpoint {
    /// The endpoint of a node.
    pub(crate) fn new(app: App) -> Self {
        let sockets = Sockets::new(app);
        let router = engine(&sockets);
        Self {
            public: router.clone().layer(from_fn_with_state(sockets.clone(), gate::gate)),
            internal: router.layer(from_fn_with_state(sockets.clone(), gate::gate_for_nodes)),
            sockets,
        }
    }
}

/// Lets in what nodes of the cluster have signed, and nothing else. To be the outermost layer.
pub(crate) fn for_nodes(app: &App, router: Router) -> Router {
    router.layer(from_fn_with_state(internal::Doorkeeper::new(app.clone()), internal::admit))
}

/// The library's part: one engine, however many ways lead to it.
fn engine(sockets: &Sockets) -> Router {
    let packet = sockets.limits.max_packet_bytes;
    let parser = ParserConfig::common()
        .max_incoming_binaries(1)
        .max_incoming_binary_buf_size(packet as usize)
        .packet_completion_timeout(posted::WHOLE);
    let config = &sockets.app.config.socket;
    let (service, io) = SocketIo::builder()
        .ping_interval(config.ping_interval)
        .ping_timeout(config.ping_timeout)
        .max_payload(packet * 4 / 3)
        .ws_max_message_size(packet as usize)
        .ws_max_frame_size(packet as usize)
        .max_buffer_size(LIBRARY_BUFFER)
        .connect_timeout(CONNECT_TIMEOUT)
        .with_parser(parser)
        .with_state(sockets.clone())
        .build_svc();
    io.ns("/", connected.with(auth::admit));
    Router::new().route_service("/socket.io", service.clone()).route_service("/socket.io/", service)
}

fn limits(app: &App) -> Limits {
    let inline = app.config.inline_file_limit.bytes();
    Limits {
        max_message_bytes: MessageText::MAX_BYTES,
        max_inline_file_bytes: inline,
        max_upload_bytes: app.config.upload_limit.bytes(),
        max_packet_bytes: inline + PACKET_MARGIN,
        max_client_id_chars: ClientId::MAX_CHARS,
        page: session::PAGE,
    }
}

/// The client is connected. Its handlers are long since there.
fn connected(socket: SocketRef) -> Ready<()> {
    if let Some(session) = auth::session_of(&socket) {
        tokio::spawn(session.run());
    }
    ready(())
}
