//! The door of the internal listener: lets in what nodes of the cluster hand on, and nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::forward::{Refusal, Seen, Ticket, kept};
use super::gate::session_unknown;
use crate::app::App;
use crate::client::ClientAddress;
use crate::domain::Timestamp;
use crate::link::Link;
use crate::service::Error;

/// How often refusals are told in the log; all of them are counted.
const TELLING: Duration = Duration::from_secs(1);

/// Knows whom to let in. Clones are the same.
#[derive(Clone)]
pub(super) struct Doorkeeper(Arc<Inner>);

struct Inner {
    app: App,
    seen: Mutex<Seen>,
    told: Mutex<Told>,
}

/// What was told of those who were refused.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    silent: u64,
}

impl Doorkeeper {
    pub(super) fn new(app: App) -> Self {
        Self(Arc::new(Inner { app, seen: Mutex::default(), told: Mutex::default() }))
    }

    /// What a node of the cluster says of `request`, which is as it says.
    fn check(
        &self,
        head: &axum::http::request::Parts,
        length: Option<u64>,
    ) -> Result<Ticket, Refusal> {
        let ticket = Ticket::open(&self.0.app.keys.forward, head)?;
        if ticket.length != length {
            return Err(Refusal::Malformed);
        }
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.admit(&ticket, Timestamp::now())?;
        Ok(ticket)
    }

    fn refuse(&self, request: &Request, refusal: Refusal) -> Response {
        self.0.app.metrics.cluster.internal_refusals.of(refusal.counted()).inc();
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| last.elapsed() < TELLING) {
            told.silent += 1;
        } else {
            let peer = request.extensions().get::<Link>().map(|link| link.peer().to_string());
            let silent = std::mem::take(&mut told.silent);
            told.last = Some(Instant::now());
            tracing::warn!(peer, why = %refusal, silent, "the internal listener refuses a request");
        }
        drop(told);
        let mut response =
            Error::Forbidden("Only nodes of this cluster are served here.").into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Lets a request in, as the one that it was when the client sent it.
pub(super) async fn admit(
    State(doorkeeper): State<Doorkeeper>,
    request: Request,
    next: Next,
) -> Response {
    let length = request.body().size_hint().exact();
    let (mut head, body) = request.into_parts();
    let ticket = match doorkeeper.check(&head, length) {
        Ok(ticket) => ticket,
        Err(refusal) => return doorkeeper.refuse(&Request::from_parts(head, body), refusal),
    };
    // For an earlier start of this node, or another at what was its address.
    if ticket.to != doorkeeper.0.app.nodes.me() {
        return session_unknown();
    }
    // Nothing else of the head is signed, so nothing else counts.
    head.headers = kept(&head.headers);
    head.extensions.insert(ClientAddress(ticket.address));
    head.extensions.insert(ticket.request);
    next.run(Request::from_parts(head, body)).await
}
