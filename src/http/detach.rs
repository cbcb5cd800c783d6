//! Keeps a handler running when its client leaves, and the connection open when a handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::service::Error;

/// Lets a request that changes something run to its end, even if its client leaves: hyper drops the handler
/// then, and a use case that ends half way would leave half of a change. A panic is a 500 like others.
pub(super) async fn detach(
    State(tasks): State<TaskTracker>,
    request: Request,
    next: Next,
) -> Response {
    let is_safe = request.method().is_safe();
    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    if is_safe {
        return answering.await.unwrap_or_else(panicked);
    }
    match tasks.spawn(answering.in_current_span()).await {
        Ok(answered) => answered.unwrap_or_else(panicked),
        Err(cancelled) => Error::internal(cancelled).into_response(),
    }
}

/// The panic itself is told by the panic hook; the answer only names the request.
fn panicked(_payload: Box<dyn Any + Send>) -> Response {
    Error::internal("a handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::{get, post};
    use tokio::sync::mpsc;
    use tower::ServiceExt;

    use super::*;

    async fn panics() -> &'static str {
        panic!("as a test")
    }

    fn within(router: Router, tasks: &TaskTracker) -> Router {
        router.layer(from_fn_with_state(tasks.clone(), detach))
    }

    #[tokio::test]
    async fn a_panic_is_a_500_like_others() {
        let router = Router::new().route("/", get(panics).post(panics));
        let router = within(router, &TaskTracker::new());
        for request in [Request::get("/"), Request::post("/")] {
            let request = request.body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 500);
            let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
            assert_eq!(&body[..], br#"{"detail":"Internal error.","code":"internal"}"#);
        }
    }

    #[tokio::test]
    async fn a_change_ends_though_its_client_has_left() {
        let (reached, mut progress) = mpsc::channel(2);
        let (go_on, gate) = tokio::sync::watch::channel(false);
        let slow = move || {
            let (reached, mut gate) = (reached.clone(), gate.clone());
            async move {
                reached.send("begun").await.unwrap();
                gate.wait_for(|open| *open).await.unwrap();
                reached.send("ended").await.unwrap();
            }
        };
        let tasks = TaskTracker::new();
        let router = within(Router::new().route("/", post(slow)), &tasks);
        let request = Request::post("/").body(Body::empty()).unwrap();
        let client = tokio::spawn(router.oneshot(request));
        assert_eq!(progress.recv().await, Some("begun"));
        client.abort();
        assert!(client.await.is_err());
        go_on.send(true).unwrap();
        assert_eq!(progress.recv().await, Some("ended"));
        tasks.close();
        tasks.wait().await;
    }
}
