//! What every socket does: the handlers, and the proof that they stand.

use std::future::{Ready, ready};
use std::sync::Arc;

use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{Event, SocketRef};
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::{DisconnectReason, Socket};

use super::auth::session_of;
use super::events::{self, Request};

/// The proof that the handlers of a socket stand. No session begins without it: what the client says before they do is lost,
/// and of its end nobody would be told.
pub(super) struct Standing(());

impl Standing {
    /// Registers what the socket does.
    pub(super) fn register(socket: &Socket<LocalAdapter>) -> Self {
        socket.on_fallback(said);
        socket.on_disconnect(gone);
        Self(())
    }
}

/// An event as it comes in: who said it, under which number it wants an answer, what it is.
struct Said {
    socket: Arc<Socket<LocalAdapter>>,
    ack: Option<i64>,
    name: String,
    request: Result<Request, crate::service::Error>,
}

impl FromMessageParts<LocalAdapter> for Said {
    type Error = std::convert::Infallible;

    fn from_message_parts(
        socket: &Arc<Socket<LocalAdapter>>,
        value: &mut Value,
        ack: &Option<i64>,
    ) -> Result<Self, Self::Error> {
        let name = match Event::from_message_parts(socket, value, ack) {
            Ok(Event(name)) => name,
            Err(_) => String::new(), // The library lets no event without a name through.
        };
        let request = events::decode(&name, socket, value);
        Ok(Self { socket: Arc::clone(socket), ack: *ack, name, request })
    }
}

/// Takes an event in. Ready at once: the library spawns what an `async fn` returns, spawned handlers overtake one another, and one
/// client's events keep their order. Whoever has said goodbye says nothing any more, though the library lets it through until its
/// handler of that has run.
fn said(Said { socket, ack, name, request }: Said) -> Ready<()> {
    if let Some(session) = session_of(&socket)
        && (socket.connected() || session.is_connecting())
    {
        session.receive(ack, &name, request);
    }
    ready(())
}

/// The client is gone. Unlike the other handlers it runs in a task of its own, which the library makes of an `async fn`: a queue that ends its
/// connection does so with its lock held, and this takes it.
async fn gone(socket: SocketRef, reason: DisconnectReason) {
    if let Some(session) = session_of(&socket) {
        session.end(reason);
    }
    socket.extensions.clear();
}
