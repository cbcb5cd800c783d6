//! Requests of sessions that another node holds: handed on to it over HTTP, and its answer handed back.
//!
//! A session of long polling is many requests, and a balancer may send each to another node. The session's id names
//! the node that holds it; whoever gets a request of it looks that node up among those that are heard, and passes the request on to
//! its internal listener ([`internal`](super::internal)), the upgrade to a WebSocket too. One hop at most: who gets a
//! request from a node answers it. Whatever goes wrong on the way, the client is sent back to the handshake, as it is
//! on one node that does not know its session.

mod ticket;
mod tunnel;
mod ways;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tower_http::timeout::TimeoutBody;

pub(super) use self::ticket::{Refusal, Seen, Ticket, kept};
pub(super) use self::ways::{Way, Ways};
use crate::app::App;
use crate::client::{ClientAddress, RequestId};
use crate::domain::{BootId, Timestamp};
use crate::metrics::Forwarded;
use crate::nodes::Peer;

/// How long a node may take to accept a connection of another. They are near each other.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// How long a connection to another node is kept for a next request: less than the other side waits for the first one on a
/// connection that was never used, so that it is never closed under a request.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// How long a node may pause: in taking a body, in answering what it has got, in the body of its answer.
const PAUSE: Duration = Duration::from_secs(20);

/// How long the kernel waits for another node to acknowledge what was sent.
const UNACKNOWLEDGED_TIME: Duration = Duration::from_secs(15);

/// How much longer than the heartbeat a poll may wait: the heartbeat answers it.
const POLL_MARGIN: Duration = Duration::from_secs(5);

/// How young a node is that this one may not have heard of yet, and how long it is waited for.
const YOUTH: Duration = Duration::from_secs(10);
const INTRODUCTION: Duration = Duration::from_secs(1);

/// What an answer keeps of its headers on its way to the client; those of an upgrade beside them.
const ANSWERED: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_LENGTH, RETRY_AFTER];
const UPGRADED: [HeaderName; 2] = [SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL];

/// Hands requests on.
#[derive(Debug)]
pub(super) struct Forwarder {
    app: App,
    client: Client<HttpConnector, Body>,
    /// Requests so far; each has its number.
    said: AtomicU64,
    ways: Ways,
}

/// Why a request was not answered by the node that it belongs to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It could not be reached, or broke off.
    #[error("a node cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// It says nothing.
    #[error("a node does not answer")]
    Silent,
    /// It does not take requests of this node.
    #[error("a node takes no requests of this one")]
    Refused,
    /// The request cannot be handed on as it is.
    #[error("a request that cannot be handed on")]
    Malformed,
}

impl Forwarder {
    /// Hands on to the nodes that `app` hears.
    pub(super) fn new(app: App) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIME));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .build(connector);
        Self { app, client, said: AtomicU64::new(0), ways: Ways::default() }
    }

    /// What is on its way now.
    pub(super) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Hands `request` on to the node `owner`; `None` if there is no answer to hand back.
    pub(super) async fn hand_on(
        &self,
        owner: BootId,
        request: Request,
        is_websocket: bool,
    ) -> Option<Response> {
        let mut counted = Counted { app: &self.app, outcome: Forwarded::Left };
        let Some(peer) = self.find(owner).await else {
            counted.outcome = Forwarded::UnknownNode;
            return None;
        };
        match self.exchange(&peer, request, is_websocket).await {
            Ok(answer) => {
                let is_upgrade = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
                counted.outcome =
                    if is_upgrade { Forwarded::Upgraded } else { Forwarded::Answered };
                Some(answer)
            }
            Err(failure) => {
                let is_refused = matches!(failure, Failure::Refused);
                counted.outcome = if is_refused { Forwarded::Refused } else { Forwarded::Failed };
                let error: &dyn std::error::Error = &failure;
                tracing::warn!(node.id = %owner, error, "a request is not handed on");
                None
            }
        }
    }

    /// The node `owner`, if it is alive. One that began a moment ago is waited for.
    async fn find(&self, owner: BootId) -> Option<Peer> {
        let nodes = &self.app.nodes;
        let mut changes = nodes.changes();
        let known = nodes.other(owner);
        if known.is_some() || age(owner, Timestamp::now()) > YOUTH {
            return known;
        }
        let introduced = async {
            loop {
                changes.changed().await.ok()?;
                if let Some(peer) = nodes.other(owner) {
                    return Some(peer);
                }
            }
        };
        tokio::time::timeout(INTRODUCTION, introduced).await.ok().flatten()
    }

    async fn exchange(
        &self,
        peer: &Peer,
        mut request: Request,
        is_websocket: bool,
    ) -> Result<Response, Failure> {
        let on_upgrade = is_websocket.then(|| hyper::upgrade::on(&mut request));
        let way = Way::of(peer.boot, &request);
        let is_poll = request.method() == Method::GET && !is_websocket;
        let on_its_way = is_poll.then(|| self.ways.enter(way.clone()));
        let config = &self.app.config.socket;
        let patience = match is_poll {
            true => config.ping_interval + config.ping_timeout + POLL_MARGIN,
            false => PAUSE,
        };
        let progress = Arc::new(Notify::new());
        let request = self.outgoing(peer, request, &progress)?;
        let answer = tokio::select! {
            answer = self.client.request(request) => answer.map_err(Failure::Unreachable)?,
            () = passed(&progress, patience) => return Err(Failure::Silent),
        };
        drop(on_its_way);
        match (answer.status(), on_upgrade) {
            (StatusCode::FORBIDDEN, _) => Err(Failure::Refused),
            (StatusCode::SWITCHING_PROTOCOLS, Some(client)) => Ok(self.joined(client, answer, way)),
            (StatusCode::SWITCHING_PROTOCOLS, None) => Err(Failure::Refused),
            _ => Ok(handed_back(answer)),
        }
    }

    /// The request as it goes to `peer`.
    fn outgoing(
        &self,
        peer: &Peer,
        request: Request,
        progress: &Arc<Notify>,
    ) -> Result<Request, Failure> {
        let (mut head, body) = request.into_parts();
        let target = head.uri.path_and_query().ok_or(Failure::Malformed)?;
        let origin = peer.url.as_deref().ok_or(Failure::Malformed)?;
        let uri: Uri = format!("{origin}{target}").parse().map_err(|_uri| Failure::Malformed)?;
        let body = match head.method {
            Method::POST => Body::new(Watched { body, progress: Arc::clone(progress) }),
            _ => Body::empty(),
        };
        let address = head.extensions.get::<ClientAddress>().ok_or(Failure::Malformed)?.0;
        let id = head.extensions.get::<RequestId>().ok_or(Failure::Malformed)?.clone();
        head.headers = ticket::kept(&head.headers);
        let length = body.size_hint().exact();
        let mut sent = Request::new(body);
        let value =
            self.ticket(peer.boot, (address, id), length).sign(&self.app.keys.forward, &head);
        head.headers.insert(ticket::HEADER, value);
        if let (true, Some(length)) = (head.method == Method::POST, length) {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        *sent.method_mut() = head.method;
        *sent.headers_mut() = head.headers;
        *sent.uri_mut() = uri;
        Ok(sent)
    }

    fn ticket(
        &self,
        to: BootId,
        (address, request): (std::net::IpAddr, RequestId),
        length: Option<u64>,
    ) -> Ticket {
        let number = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        let (from, at) = (self.app.nodes.me(), Timestamp::now());
        Ticket { to, from, number, at, length, address, request }
    }

    /// Joins the client's connection with that of the session's node.
    fn joined(
        &self,
        client: OnUpgrade,
        mut answer: hyper::Response<Incoming>,
        way: Way,
    ) -> Response {
        let owner = hyper::upgrade::on(&mut answer);
        let on_its_way = self.ways.enter(way);
        let open = self.app.metrics.cluster.forwarded_sockets.clone();
        tokio::spawn(async move {
            open.inc();
            tunnel::join(client, owner).await;
            open.dec();
            drop(on_its_way);
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        copy(answer.headers(), &UPGRADED, headers);
        response
    }

    /// Tells the node at the end of `way` that its client cannot stay on this one.
    pub(super) async fn release(&self, way: &Way) {
        let Some(peer) = self.app.nodes.other(way.node) else { return };
        let id = RequestId(format!("{:032x}", rand::random::<u128>()).into());
        let request = Request::delete(way.target.clone())
            .extension(ClientAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
            .extension(id)
            .body(Body::empty())
            .expect("its target was one before");
        let Ok(request) = self.outgoing(&peer, request, &Arc::default()) else { return };
        let answered = tokio::time::timeout(CONNECT_TIME, self.client.request(request)).await;
        if !matches!(answered, Ok(Ok(_))) {
            tracing::debug!(node.id = %way.node, "a node was not told that a client leaves");
        }
    }
}

/// How long ago the node began. Its id tells.
fn age(node: BootId, now: Timestamp) -> Duration {
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&node.as_bytes()[..6]);
    Duration::from_millis(now.as_millis().saturating_sub(u64::from_be_bytes(millis)))
}

/// Waits until there was no progress for so long.
async fn passed(progress: &Notify, patience: Duration) {
    while tokio::time::timeout(patience, progress.notified()).await.is_ok() {}
}

fn copy(from: &HeaderMap, names: &[HeaderName], to: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name.clone(), value.clone());
        }
    }
}

fn handed_back(answer: hyper::Response<Incoming>) -> Response {
    let (head, body) = answer.into_parts();
    let mut response = Response::new(Body::new(TimeoutBody::new(PAUSE, Body::new(body))));
    *response.status_mut() = head.status;
    copy(&head.headers, &ANSWERED, response.headers_mut());
    response
}

/// Counts one request that is handed on, when it is over.
struct Counted<'a> {
    app: &'a App,
    outcome: Forwarded,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.app.metrics.cluster.forwarded_requests.of(self.outcome).inc();
    }
}

/// A body that tells whenever some of it is taken.
struct Watched {
    body: Body,
    progress: Arc<Notify>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.progress.notify_one();
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
