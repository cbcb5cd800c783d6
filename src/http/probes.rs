//! What the platform asks: does the process live, may it be sent work?

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api::{ErrorBody, ErrorCode};
use crate::lifecycle::{Lifecycle, Phase};

/// How long a part behind the node may take to say that it is there. Probes give up after a second
/// or a few; an answer that comes later is none.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// How long an answer of the store is good for. Anybody may ask, and an answer costs a write.
const CHECK_AGE: Duration = Duration::from_secs(1);

/// Asks a part that the node cannot work without, such as the store, whether it answers.
pub(crate) type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync>;

/// Why a node is not to be sent anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotReady {
    /// What whoever probes is told.
    pub(crate) detail: String,
    /// What is for the log alone.
    pub(crate) cause: String,
}

impl NotReady {
    /// The store does not answer, because of `cause`.
    pub(crate) fn no_answer(cause: impl Into<String>) -> Self {
        Self { detail: "The store does not answer.".to_owned(), cause: cause.into() }
    }
}

/// `/livez`, which answers while the process does, whatever is wrong behind it (restarting would
/// not repair that), and `/readyz`, which answers 200 only while new clients may be sent here.
pub(crate) fn router(readiness: Arc<Readiness>) -> Router {
    let ready = move || {
        let readiness = Arc::clone(&readiness);
        async move { readiness.readyz().await }
    };
    Router::new().route("/livez", get(livez)).route("/readyz", get(ready))
}

pub(super) async fn livez() -> Response {
    fresh(StatusCode::OK, "alive\n")
}

/// Whether new clients may be sent to a node.
pub(crate) struct Readiness {
    lifecycle: Lifecycle,
    store: Check,
    /// When the store was asked, and what it answered. Locked while it is being asked, so that
    /// it is asked once however many want to know.
    last: Mutex<Option<(Instant, Result<(), NotReady>)>>,
}

impl Readiness {
    /// That of the node whose life it is, as `store` answers.
    pub(crate) fn new(lifecycle: Lifecycle, store: Check) -> Arc<Self> {
        Arc::new(Self { lifecycle, store, last: Mutex::new(None) })
    }

    /// Whether `/readyz` would answer 200.
    pub(crate) async fn is_ready(&self) -> bool {
        self.lifecycle.phase() <= Phase::Serving && self.ask_store().await.is_ok()
    }

    async fn readyz(&self) -> Response {
        if self.lifecycle.phase() > Phase::Serving {
            return not_ready(ErrorCode::Draining, "This node is shutting down.");
        }
        match self.ask_store().await {
            Ok(()) => fresh(StatusCode::OK, "ready\n"),
            Err(why) => not_ready(ErrorCode::Unavailable, &why.detail),
        }
    }

    async fn ask_store(&self) -> Result<(), NotReady> {
        let mut last = self.last.lock().await;
        if let Some((asked, answer)) = &*last
            && asked.elapsed() < CHECK_AGE
        {
            return answer.clone();
        }
        let answer = tokio::time::timeout(CHECK_TIME, (self.store)()).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(NotReady::no_answer(format!("no answer within {CHECK_TIME:?}")))
        });
        if let Err(NotReady { detail, cause }) = &answer {
            tracing::warn!(error = cause, "not ready: {detail}");
        }
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

pub(super) fn not_ready(code: ErrorCode, detail: &str) -> Response {
    let body = ErrorBody { detail: detail.to_owned(), code, errors: Vec::new() };
    let mut response = fresh(StatusCode::SERVICE_UNAVAILABLE, axum::Json(body));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn fresh(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use tower::ServiceExt;

    use super::*;

    async fn status(lifecycle: &Lifecycle, store: Check, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer =
            router(Readiness::new(lifecycle.clone(), store)).oneshot(request).await.unwrap();
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers().contains_key(RETRY_AFTER), answer.status() == 503);
        answer.status().as_u16()
    }

    fn fine() -> Check {
        Arc::new(|| Box::pin(async { Ok(()) }))
    }

    #[tokio::test]
    async fn a_node_is_ready_while_it_serves_and_its_store_answers() {
        let lifecycle = Lifecycle::new();
        let down: Check = Arc::new(|| Box::pin(async { Err(NotReady::no_answer("disk on fire")) }));
        let stuck: Check = Arc::new(|| Box::pin(futures::future::pending()));
        assert_eq!(status(&lifecycle, fine(), "/readyz").await, 200);
        assert_eq!(status(&lifecycle, down.clone(), "/readyz").await, 503);
        assert_eq!(status(&lifecycle, stuck, "/readyz").await, 503);
        lifecycle.advance(Phase::Leaving);
        assert_eq!(status(&lifecycle, fine(), "/readyz").await, 503);
        assert_eq!(status(&lifecycle, down, "/livez").await, 200);
    }

    #[tokio::test]
    async fn a_crowd_that_asks_costs_one_check() {
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let store: Check = Arc::new(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async { Ok(()) })
        });
        let router = router(Readiness::new(Lifecycle::new(), store));
        for _ in 0..20 {
            let request = Request::get("/readyz").body(Body::empty()).unwrap();
            assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
