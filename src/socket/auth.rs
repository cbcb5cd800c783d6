//! Who is let in: the connect middleware.
//!
//! It also registers the handlers and makes the [`Session`], since the library tells the client that it is
//! connected *before* the connect handler runs: what the client sends at once must find its handlers there
//! (SOCKETIOXIDE.md, 0.1).

use std::fmt;
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::Deserialize;
use socketioxide::ParserError;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{State, TryData};
use socketioxide::socket::Socket;

use super::session::Session;
use super::standing::Standing;
use super::{Sockets, TheSocket};
use crate::api::Handshake;
use crate::domain::{RoomId, RoomKind, User};
use crate::room::Scope;
use crate::service::{Error, counted, sessions};

/// A refusal as the client sees it: `<code>: <sentence>`.
pub(super) struct ConnectError(Error);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = serde_json::to_value(self.0.code()).unwrap_or_default();
        write!(f, "{}: {}", code.as_str().unwrap_or("internal"), self.0)
    }
}

/// What the query says for a client without `auth`.
#[derive(Debug, Default, Deserialize)]
struct Query {
    chat_room_id: Option<String>,
    after: Option<String>,
}

/// Lets the client in, or tells why not. What cannot be decided now ends the transport instead, so that the client
/// comes back by itself.
pub(super) async fn admit(
    socket: TheSocket,
    auth: TryData<Handshake>,
    sockets: State<Sockets>,
) -> Result<(), ConnectError> {
    let (TheSocket(socket), TryData(auth), State(sockets)) = (socket, auth, sockets);
    let standing = Standing::register(&socket); // Before anything waits: the client may go meanwhile.
    let transport = sockets.transport_of(&socket);
    match admitted(&sockets, socket.req_parts(), auth).await {
        Ok((user, scope, handshake)) => {
            transport.authenticated();
            Session::begin(standing, &sockets, &socket, transport, (user, scope, handshake));
            Ok(())
        }
        Err(error) => {
            counted::turned_away(&sockets.app, &error);
            if matches!(error, Error::Unavailable(_) | Error::Overloaded | Error::Draining) {
                transport.kill();
            }
            Err(ConnectError(error))
        }
    }
}

async fn admitted(
    sockets: &Sockets,
    parts: &Parts,
    auth: Result<Handshake, ParserError>,
) -> Result<(User, Scope, Handshake), Error> {
    let auth =
        auth.map_err(|_| Error::invalid("auth", "must be {token, chat_room_id?, after?}"))?;
    let handshake = with_query(auth, parts)?;
    let token = handshake.token.as_deref().or_else(|| bearer(parts));
    let token = token.ok_or(Error::Unauthorized("A token is required."))?;
    let user = sessions::verify(&sockets.app, token).await?;
    let scope = match &handshake.chat_room_id {
        None => Scope::Session,
        Some(room) => {
            let room = room.parse().map_err(|_| Error::invalid("chat_room_id", "is not an id"))?;
            may_enter(sockets, &user, room).await?;
            Scope::Room(room)
        }
    };
    if !sockets.app.rooms.may_connect(user.id) {
        let detail = "You have too many open connections.";
        return Err(Error::RateLimited { detail, retry_after: std::time::Duration::from_secs(60) });
    }
    Ok((user, scope, handshake))
}

/// Completes `auth` from the query.
fn with_query(mut auth: Handshake, parts: &Parts) -> Result<Handshake, Error> {
    let query = parts.uri.query().unwrap_or_default();
    let query: Query = axum::extract::Query::try_from_uri(&parts.uri)
        .map(|axum::extract::Query(query)| query)
        .map_err(|_| Error::invalid("query", format!("is malformed ({} bytes)", query.len())))?;
    if auth.chat_room_id.is_none() {
        auth.chat_room_id = query.chat_room_id;
    }
    if let (None, Some(after)) = (&auth.after, query.after) {
        let after = serde_json::from_str(&after);
        auth.after = Some(after.map_err(|_| Error::invalid("after", "must be JSON"))?);
    }
    Ok(auth)
}

fn bearer(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the user is in the room. A private room of others is refused as an unknown one is, after the same look-ups.
async fn may_enter(sockets: &Sockets, user: &User, id: RoomId) -> Result<(), Error> {
    let store = &sockets.app.store;
    let room = store.room(id).await?;
    let membership = store.membership(id, user.id).await?;
    match (room, membership) {
        (Some(_), Some(_)) => Ok(()),
        (Some(room), None) if room.kind == RoomKind::Group => {
            Err(Error::Forbidden("You are not a member of this room."))
        }
        _ => Err(Error::NotFound("Room")),
    }
}

/// What [`admit`] leaves behind on the socket.
pub(super) fn session_of(socket: &Socket<LocalAdapter>) -> Option<Arc<Session>> {
    socket.extensions.get::<Arc<Session>>()
}
