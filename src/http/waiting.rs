//! What a node answers before its store is there: that it lives, and that everybody may come back.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use super::probes::{self, NotReady};
use crate::api::ErrorCode;
use crate::service::Error;

/// Answers for a node that waits, `why` it does being the newest reason.
pub(crate) fn router(why: watch::Receiver<NotReady>) -> Router {
    let readyz = move || {
        let detail = why.borrow().detail.clone();
        async move { probes::not_ready(ErrorCode::Unavailable, &detail) }
    };
    Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(readyz))
        .fallback(come_back)
}

/// Clients of any kind try again by themselves, also in a handshake of Socket.IO.
async fn come_back() -> Response {
    Error::Unavailable("the store is not open yet".into()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::http::header::RETRY_AFTER;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_node_that_waits_lives_and_is_not_ready_and_everybody_may_come_back() {
        let (say, why) = watch::channel(NotReady::no_answer("no route"));
        let router = router(why);
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        assert_eq!(ask("/livez").await.status(), 200);
        say.send_replace(NotReady { detail: "An index is missing.".into(), cause: String::new() });
        let answer = ask("/readyz").await;
        assert_eq!(answer.status(), 503);
        let body = to_bytes(answer.into_body(), 1000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("An index is missing."));
        for path in ["/", "/token", "/socket.io/?EIO=4&transport=polling"] {
            let answer = ask(path).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()[RETRY_AFTER]),
                (503, &"1".parse().unwrap())
            );
        }
    }
}
