//! What stands before the library's endpoint: who may begin a session, and which session a request is of.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Sockets;
use super::transport::Transport;
use crate::client::ClientAddress;
use crate::link::Link;
use crate::service::Error;

/// Bytes that a client may send before it is known whose it is: a handshake with a token and positions of
/// the most rooms that a user may have by default (1,000, about 60 bytes each) fits.
const ANONYMOUS_BYTES: u64 = 128 * 1024;

/// The largest answer to a handshake: the library's has some 120 bytes.
const HANDSHAKE_ANSWER: usize = 4096;

/// What the library makes of a parameter of the query: the first one counts, as it is written. Whoever
/// reads it otherwise (decoded, or the last one) takes a request for another than the library does, and
/// the bounds on strangers hold for the wrong one.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Whether the library takes a request for one to a WebSocket.
fn is_to_websocket(query: &str) -> bool {
    let transport = parameter(query, "transport").and_then(|value| value.split('=').next());
    transport == Some("websocket")
}

/// Passes a request of Engine.IO on, or refuses it.
pub(super) async fn gate(State(sockets): State<Sockets>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_websocket = is_to_websocket(query);
    let session = parameter(query, "sid").map(|sid| sockets.transports().get(sid));
    match session {
        None => handshake(&sockets, request, next, is_websocket).await,
        Some(Some(transport)) => of_session(transport, request, next, is_websocket).await,
        Some(None) => session_unknown(),
    }
}

/// The words with which Engine.IO sends a client back to the handshake.
fn session_unknown() -> Response {
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
        return Error::Draining.into_response();
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
        Err(exceeded) => return Error::from(exceeded).into_response(),
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

/// Notes the id that the library has given to a polling session.
async fn remember(sockets: &Sockets, transport: &Arc<Transport>, answer: Response) -> Response {
    let (head, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, HANDSHAKE_ANSWER).await else {
        return Error::internal("the answer to a handshake is larger than any").into_response();
    };
    let text = String::from_utf8_lossy(&body);
    let sid = text.split_once(r#""sid":""#).and_then(|(_, rest)| rest.split_once('"'));
    if let Some((sid, _)) = sid {
        sockets.transports().insert(sid.to_owned(), transport);
    }
    drop(text);
    Response::from_parts(head, Body::from(body))
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
    if is_websocket {
        compact(&mut request);
    }
    let is_poll = request.method() == Method::GET && !is_websocket;
    let answer = tokio::select! {
        // First, so that an answer which would make the client give up does not slip through.
        biased;
        () = transport.ended() => return session_unknown(),
        answer = next.run(request) => answer,
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

/// Copies the head of a request. The library keeps it as long as the socket lives, and as it comes it
/// pins hyper's read buffer: 38 KB of heap an idle WebSocket instead of 22 (SOCKETIOXIDE.md, 0.6).
fn compact(request: &mut Request) {
    let copied = request.headers().iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        Some((name, value))
    });
    let headers: HeaderMap = copied.collect();
    *request.headers_mut() = headers;
    if let Ok(uri) = request.uri().to_string().parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_as_the_library_reads_it() {
        for (query, sid, is_websocket) in [
            ("EIO=4&transport=polling&sid=A", Some("A"), false),
            ("EIO=4&transport=websocket", None, true),
            ("sid=A&sid=B&transport=websocket&transport=polling", Some("A"), true),
            ("transport=polling&transport=websocket", None, false),
            ("s%69d=A&transport=w%65bsocket", None, false),
            ("transport=websocket&x=%ff", None, true),
            ("transport=websocket=polling&sid=A=B", Some("A=B"), true),
            ("sid&transport&sid=&xsid=A", Some(""), false),
            ("", None, false),
        ] {
            assert_eq!(parameter(query, "sid"), sid, "{query}");
            assert_eq!(is_to_websocket(query), is_websocket, "{query}");
        }
    }
}
