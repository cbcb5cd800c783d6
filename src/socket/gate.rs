//! What stands before the library's endpoint: who may begin a session, and which session a request is of.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Sockets;
use super::posted::Posted;
use super::sid::{SessionName, is_to_websocket, name_node, parameter, with_sid};
use super::transport::Transport;
use crate::client::ClientAddress;
use crate::domain::BootId;
use crate::link::Link;
use crate::service::{Error, counted};

/// Bytes that a client may send before it is known whose it is: a handshake with a token and positions of
/// the most rooms that a user may have by default (1,000, about 60 bytes each) fits.
const ANONYMOUS_BYTES: u64 = 128 * 1024;

/// The largest answer to a handshake: the library's has some 120 bytes.
const HANDSHAKE_ANSWER: usize = 4096;

/// Passes a request of Engine.IO on, to the library or to the node that holds its session, or refuses it.
pub(super) async fn gate(State(sockets): State<Sockets>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_websocket = is_to_websocket(query);
    let Some(sid) = parameter(query, "sid") else {
        return handshake(&sockets, request, next, is_websocket).await;
    };
    match SessionName::parse(sid) {
        None => session_unknown(),
        Some(SessionName { node: Some(owner), .. }) if owner != sockets.app.nodes.me() => {
            elsewhere(&sockets, owner, request, is_websocket).await
        }
        Some(_) => here(&sockets, request, next, is_websocket).await,
    }
}

/// Passes on what another node hands on: only what is of a session that this one holds, so that nothing goes in
/// circles.
pub(super) async fn gate_for_nodes(
    State(sockets): State<Sockets>,
    request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_websocket = is_to_websocket(query);
    let name = parameter(query, "sid").and_then(SessionName::parse);
    let Some(SessionName { id, node: Some(owner) }) = name else { return session_unknown() };
    if owner != sockets.app.nodes.me() {
        return session_unknown();
    }
    if request.method() != Method::DELETE {
        return here(&sockets, request, next, is_websocket).await;
    }
    // The node between is going: its client is to come another way.
    match sockets.transports().get(id) {
        Some(transport) if is_websocket => transport.let_go(),
        Some(transport) => transport.hurry(),
        None => return session_unknown(),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// A request of a session that another node holds.
async fn elsewhere(
    sockets: &Sockets,
    owner: BootId,
    request: Request,
    is_websocket: bool,
) -> Response {
    // As the library answers every other method.
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let answer = sockets.forwarder().hand_on(owner, request, is_websocket).await;
    answer.unwrap_or_else(session_unknown)
}

/// A request of a session that this node would hold.
async fn here(sockets: &Sockets, mut request: Request, next: Next, is_websocket: bool) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let name = parameter(query, "sid").and_then(SessionName::parse);
    let Some(SessionName { id, .. }) = name else { return session_unknown() };
    let Some(transport) = sockets.transports().get(id) else { return session_unknown() };
    let Some(uri) = with_sid(request.uri(), id) else { return session_unknown() };
    *request.uri_mut() = uri;
    of_session(transport, request, next, is_websocket).await
}

/// The words with which Engine.IO sends a client back to the handshake.
pub(super) fn session_unknown() -> Response {
    let body = r#"{"code":1,"message":"Session ID unknown"}"#;
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A new session.
async fn handshake(
    sockets: &Sockets,
    mut request: Request,
    next: Next,
    is_websocket: bool,
) -> Response {
    if sockets.is_draining() {
        return turned_away(sockets, Error::Draining);
    }
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    let link = request.extensions().get::<Link>().cloned();
    let (Some(address), Some(link)) = (address, link) else {
        return Error::internal("a request without its connection").into_response();
    };
    let limits = &sockets.app.limits;
    let places =
        limits.handshake(address).and_then(|pending| Ok((pending, limits.socket(address)?)));
    let places = match places {
        Ok(places) => places,
        Err(exceeded) => return turned_away(sockets, exceeded.into()),
    };
    compact(&mut request);
    if is_websocket {
        link.limit_unauthenticated(ANONYMOUS_BYTES);
    }
    let transport = Transport::new(is_websocket.then_some(link), places);
    request.extensions_mut().insert(Arc::clone(&transport));
    let answer = next.run(request).await;
    if is_websocket || answer.status() != StatusCode::OK {
        return answer;
    }
    remember(sockets, &transport, answer).await
}

fn turned_away(sockets: &Sockets, error: Error) -> Response {
    counted::turned_away(&sockets.app, &error);
    error.into_response()
}

/// Notes the id that the library has given to a polling session, and names this node in it.
async fn remember(sockets: &Sockets, transport: &Arc<Transport>, answer: Response) -> Response {
    let (mut head, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, HANDSHAKE_ANSWER).await else {
        return Error::internal("the answer to a handshake is larger than any").into_response();
    };
    let text = String::from_utf8_lossy(&body);
    let Some((id, named)) = name_node(&text, sockets.app.nodes.me()) else {
        return Error::internal("the answer to a handshake names no session").into_response();
    };
    sockets.transports().insert(id.to_owned(), transport);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(named.len()));
    Response::from_parts(head, Body::from(named))
}

/// A request of a session that has begun: a poll, a post, or its upgrade to a WebSocket.
async fn of_session(
    transport: Arc<Transport>,
    mut request: Request,
    next: Next,
    is_websocket: bool,
) -> Response {
    if transport.has_ended() {
        return session_unknown();
    }
    let link = request.extensions().get::<Link>().cloned();
    if request.method() == Method::POST && !transport.is_authenticated() {
        request = request
            .map(|body| Body::new(http_body_util::Limited::new(body, ANONYMOUS_BYTES as usize)));
    }
    if request.method() == Method::POST {
        let is_v3 = parameter(request.uri().query().unwrap_or_default(), "EIO") == Some("3");
        let of = Arc::clone(&transport);
        request = request.map(|body| Body::new(Posted::new(body, of, is_v3)));
    }
    if is_websocket {
        compact(&mut request);
    }
    let is_poll = request.method() == Method::GET && !is_websocket;
    let nothing = nothing_new(request.uri());
    let answer = tokio::select! {
        // First, so that an answer which would make the client give up does not slip through.
        biased;
        () = transport.ended() => return session_unknown(),
        answer = next.run(request) => answer,
        // Last: a poll that is dropped while it waits has taken nothing from the queue yet.
        () = transport.hurried(), if is_poll => return nothing,
    };
    if let (true, StatusCode::SWITCHING_PROTOCOLS, Some(link)) =
        (is_websocket, answer.status(), link)
    {
        if !transport.is_authenticated() {
            link.limit_unauthenticated(ANONYMOUS_BYTES);
        }
        transport.upgraded(link);
    }
    if is_poll {
        transport.answered_poll();
    }
    answer
}

/// The answer to a poll that tells nothing: the client polls again.
fn nothing_new(uri: &Uri) -> Response {
    let version = parameter(uri.query().unwrap_or_default(), "EIO").unwrap_or_default();
    let packet = if version.starts_with('3') { "1:6" } else { "6" };
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], packet).into_response()
}

/// Headers of a handshake that are read later: by the library for the upgrade, and for the token.
const READ_LATER: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// Copies what is needed of the head of a request. The library keeps it as long as the socket lives, and as it
/// comes it pins hyper's read buffer: 38 KB of heap an idle WebSocket instead of 22 (SOCKETIOXIDE.md, 0.6). So
/// does axum's note of the original address, which nobody reads here.
fn compact(request: &mut Request) {
    let copied = READ_LATER.into_iter().filter_map(|name| {
        let value = HeaderValue::from_bytes(request.headers().get(&name)?.as_bytes()).ok()?;
        Some((name, value))
    });
    let headers: HeaderMap = copied.collect();
    *request.headers_mut() = headers;
    request.extensions_mut().remove::<OriginalUri>();
    if let Ok(uri) = request.uri().to_string().parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes;
    use axum::routing::any;
    use tokio::sync::mpsc;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_of_a_head_is_a_copy() {
        let buffer = Arc::new(Vec::from("/socket.io/?EIO=4Bearer xwebsocket"));
        let pinned = Arc::downgrade(&buffer);
        let mut request = Request::new(Body::empty());
        {
            let bytes = Bytes::from_owner(Shared(buffer));
            *request.uri_mut() = Uri::from_maybe_shared(bytes.slice(..17)).unwrap();
            let headers = request.headers_mut();
            let mut insert = |name: HeaderName, value: Bytes| {
                headers.insert(name, HeaderValue::from_maybe_shared(value).unwrap());
            };
            insert(header::AUTHORIZATION, bytes.slice(17..25));
            insert(header::UPGRADE, bytes.slice(25..));
            insert(header::COOKIE, bytes.slice(17..));
        }
        // As it comes to the library: through a router, which makes notes of its own.
        let (keep, mut kept) = mpsc::unbounded_channel();
        let library = |mut request: Request| async move {
            compact(&mut request);
            keep.send(request.into_parts().0).unwrap();
        };
        let answer = Router::new().route("/socket.io/", any(library)).oneshot(request).await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
        let head = kept.recv().await.unwrap();
        assert_eq!(head.uri, "/socket.io/?EIO=4");
        assert_eq!(head.headers[header::AUTHORIZATION], "Bearer x");
        assert_eq!(head.headers[header::UPGRADE], "websocket");
        assert_eq!(pinned.strong_count(), 0, "the buffer that the head came in is still held");
    }

    struct Shared(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
}
