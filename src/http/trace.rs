//! One log line and two metrics for each request, and the id that ties them to the answer.
//!
//! A line holds the route as registered, never the path or the query as the client wrote them:
//! a path can hold a signed media token, a query anything.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use ipnet::IpNet;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::api::{ErrorBody, ErrorCode};
use crate::client::{ClientAddress, RequestId, client_address, is_trusted};
use crate::domain::RoomId;
use crate::metrics::Metrics;
use crate::service::Error;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A status of our own metrics and log only, as nginx has it: the client left before its answer.
const CLIENT_LEFT: u16 = 499;

/// What [`trace`] works with.
#[derive(Clone)]
pub(crate) struct Tracing {
    /// Where requests are counted.
    pub(crate) metrics: Metrics,
    /// Who may choose a request's id and tell the client's address.
    pub(crate) trusted_proxies: Arc<[IpNet]>,
}

/// Middleware around everything: identifies the request and its client, logs and counts the
/// answer, and turns a panic into an ordinary failure.
///
/// Handlers find [`RequestId`] and [`ClientAddress`] among the extensions, and add to the line by
/// recording `user.id` and `room.id` in the current span. Where both are there already, another node has
/// looked, and they count.
pub(crate) async fn trace(
    State(tracing): State<Tracing>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = identify(&mut request, &tracing.trusted_proxies);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_label(request.method());
    let span = tracing::info_span!(
        "request",
        request.id = %id.0,
        method,
        route = route_label(route.as_ref()),
        user.id = Empty,
        room.id = Empty,
    );
    if let Some(room) = room_of(route_label(route.as_ref()), request.uri()) {
        span.record("room.id", tracing::field::display(room));
    }
    let mut line =
        Line { tracing, method, route, span: span.clone(), began: Instant::now(), is_told: false };
    let answered = AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_logged_by_the_panic_hook| panicked());
    line.tell(response.status().as_u16(), response.extensions().get::<Arc<Error>>());
    let value = HeaderValue::from_str(&id.0).expect("a request id is plain ASCII");
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

/// Notes on the request what it is called and who its client is.
fn identify(request: &mut Request, proxies: &[IpNet]) -> RequestId {
    if let Some(id) = request.extensions().get::<RequestId>() {
        return id.clone();
    }
    let peer = request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0);
    let id = request_id(request.headers(), peer.is_some_and(|peer| is_trusted(peer.ip(), proxies)));
    if let Some(peer) = peer {
        let client = client_address(peer, request.headers(), proxies);
        request.extensions_mut().insert::<ClientAddress>(client);
    }
    request.extensions_mut().insert(id.clone());
    id
}

fn panicked() -> Response {
    let detail = "Internal error.".to_owned();
    let body = ErrorBody { detail, code: ErrorCode::Internal, errors: Vec::new() };
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}

/// The proxy's id, if it is one that can stand in a log; otherwise a new one.
fn request_id(headers: &HeaderMap, is_from_proxy: bool) -> RequestId {
    let theirs = headers.get(REQUEST_ID).filter(|_| is_from_proxy);
    let theirs = theirs.and_then(|value| value.to_str().ok()).filter(|id| is_well_formed(id));
    RequestId(theirs.map_or_else(|| format!("{:032x}", rand::random::<u128>()).into(), Arc::from))
}

fn is_well_formed(id: &str) -> bool {
    (8..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Methods are free text on the wire; metrics know those that are served.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn route_label(route: Option<&MatchedPath>) -> &str {
    route.map_or("unmatched", MatchedPath::as_str)
}

/// The room that the request is about: named in the path of the newer calls, and in the query of
/// the inherited ones.
fn room_of(route: &str, uri: &Uri) -> Option<RoomId> {
    let named = route.split('/').zip(uri.path().split('/'));
    let mut before = "";
    for (pattern, segment) in named {
        if pattern.starts_with('{') && matches!(before, "chat-rooms" | "chat-room" | "private") {
            return segment.parse().ok();
        }
        before = pattern;
    }
    let fields = uri.query().unwrap_or_default().split('&');
    fields.filter_map(|field| field.strip_prefix("chat_room_id=")).find_map(|id| id.parse().ok())
}

/// The log line of one request. It is told once: with the answer, or, when the client leaves and
/// hyper drops the handler, without.
struct Line {
    tracing: Tracing,
    method: &'static str,
    route: Option<MatchedPath>,
    span: Span,
    began: Instant,
    is_told: bool,
}

impl Line {
    fn tell(&mut self, status: u16, error: Option<&Arc<Error>>) {
        self.is_told = true;
        let duration = self.began.elapsed();
        let route = route_label(self.route.as_ref());
        self.tracing.metrics.http.answered(self.method, route, status, duration);
        let _entered = self.span.enter();
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let error = error.map(|error| chain(error.as_ref()));
        match (status, error) {
            // What machines ask all the time would bury the rest.
            (..500 | 503, _) if is_routine(route) => {
                tracing::debug!(status, duration_ms, "answered");
            }
            // Not now, the client is told, and comes back: no fault of the code.
            (503, error) => tracing::warn!(status, duration_ms, error, "refused"),
            (500.., error) => tracing::error!(status, duration_ms, error, "failed"),
            _ => tracing::info!(status, duration_ms, "answered"),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(CLIENT_LEFT, None);
        }
    }
}

fn is_routine(route: &str) -> bool {
    matches!(route, "/livez" | "/readyz") || route.starts_with("/socket.io")
}

/// An error and all that led to it, in one line. For the log: it may name what clients may not know.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    fn router(metrics: &Metrics) -> Router {
        let trusted_proxies: Arc<[IpNet]> = Arc::new(["10.0.0.0/8".parse().unwrap()]);
        let tracing = Tracing { metrics: metrics.clone(), trusted_proxies };
        let shown = |axum::Extension(id): axum::Extension<RequestId>,
                     axum::Extension(client): axum::Extension<ClientAddress>| async move {
            format!("{} {}", id.0, client.0)
        };
        async fn broken() -> &'static str {
            panic!("on purpose")
        }
        Router::new()
            .route("/media/{token}", get(shown))
            .route("/broken", get(broken))
            .route("/never", get(futures::future::pending::<()>))
            .layer(from_fn_with_state(tracing, trace))
    }

    fn request(peer: &str, path: &str) -> axum::http::request::Builder {
        let peer: SocketAddr = peer.parse().unwrap();
        Request::get(path).extension(ConnectInfo(peer)).header("x-forwarded-for", "192.0.2.7")
    }

    #[tokio::test]
    async fn only_a_trusted_proxy_chooses_the_id_of_a_request() {
        let metrics = Metrics::new();
        for (peer, given, kept) in [
            ("10.0.0.1:5", "from-the-proxy-1", true),
            ("10.0.0.1:5", "with a blank", false),
            ("10.0.0.1:5", "short", false),
            ("192.0.2.1:5", "from-a-stranger", false),
        ] {
            let request = request(peer, "/media/t").header(REQUEST_ID, given);
            let request = request.body(Body::empty()).unwrap();
            let answer = router(&metrics).oneshot(request).await.unwrap();
            let id = answer.headers()[REQUEST_ID].to_str().unwrap().to_owned();
            assert_eq!(id == given, kept, "{peer} {given}");
            assert!(is_well_formed(&id));
            let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
            let client = if peer.starts_with("10.") { "192.0.2.7" } else { "192.0.2.1" };
            assert_eq!(body, format!("{id} {client}"));
        }
    }

    #[tokio::test]
    async fn answers_panics_and_clients_that_left_are_counted_by_route() {
        let metrics = Metrics::new();
        for (path, status) in [("/media/signed-token", 200), ("/broken", 500), ("/nowhere", 404)] {
            let request = request("192.0.2.1:5", path).body(Body::empty()).unwrap();
            let answer = router(&metrics).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
        }
        let request = request("192.0.2.1:5", "/never").body(Body::empty()).unwrap();
        let mut unanswered = Box::pin(router(&metrics).oneshot(request));
        assert!(futures::poll!(unanswered.as_mut()).is_pending());
        drop(unanswered);
        let text = metrics.render();
        for (route, status) in
            [("/media/{token}", 200), ("/broken", 500), ("unmatched", 404), ("/never", 499)]
        {
            let series = format!("{{method=\"GET\",route=\"{route}\",status=\"{status}\"}} 1");
            assert!(text.contains(&series), "{series} in {text}");
        }
        assert!(!text.contains("signed-token"));
    }

    #[test]
    fn the_room_is_read_from_the_path_or_the_query() {
        let id = "0123456789abcdef01234567";
        for (route, uri, is_told) in [
            ("/search-chat-rooms", format!("/search-chat-rooms?chat_room_id={id}"), true),
            ("/delete-chat-room", format!("/delete-chat-room?a=1&chat_room_id={id}"), true),
            ("/chat-rooms/{id}/messages", format!("/chat-rooms/{id}/messages?limit=5"), true),
            ("/chat-room/{id}", format!("/chat-room/{id}"), true),
            ("/admin/chat-rooms/private/{id}", format!("/admin/chat-rooms/private/{id}"), true),
            ("/admin/users/{id}", format!("/admin/users/{id}"), false),
            ("/chat-room/{id}", "/chat-room/<script>".replace(['<', '>'], "%3C"), false),
            ("/search-chat-rooms", "/search-chat-rooms?chat_room_id=%3Cscript".to_owned(), false),
        ] {
            let room = room_of(route, &uri.parse().unwrap());
            assert_eq!(room.map(|room| room.to_string()), is_told.then(|| id.to_owned()), "{uri}");
        }
    }
}
