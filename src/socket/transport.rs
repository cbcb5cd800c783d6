//! The transport of one Engine.IO session: what ends it, and how it is known to move.
//!
//! A WebSocket is one TCP connection, whose [`Link`] tells both. A polling session is many HTTP requests; it
//! moves when a poll has been answered, and is ended by refusing its next request (SOCKETIOXIDE.md, 2.6).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError, TransportType};
use tokio::sync::Notify;

use super::posted::Half;
use crate::limits::Held;
use crate::link::Link;
use crate::room::{Connection, Ended, Sink, SinkError};

/// How long a client that was told its end may keep the transport open.
const FAREWELL: Duration = Duration::from_secs(2);

/// The transport of one Engine.IO session.
#[derive(Debug, Default)]
pub(super) struct Transport {
    /// The WebSocket's connection, once there is one.
    link: Mutex<Option<Link>>,
    /// Polls answered.
    polls: AtomicU64,
    polled: Notify,
    known: AtomicBool,
    pending: Mutex<Option<Held>>,
    /// Whether half a packet was posted.
    pub(super) half: Half,
    /// Held as long as the session lives.
    #[expect(dead_code, reason = "dropping it is what it is for")]
    place: Option<Held>,
    ended: AtomicBool,
    end: Notify,
    /// Ends the wait of a poll.
    hurry: Notify,
    /// Who is connected, once it is known.
    connection: OnceLock<Weak<Connection>>,
}

impl Transport {
    /// The transport of a new session: a WebSocket has a link from the start. `pending` counts it among those whose user
    /// is not known, `place` among all of its address.
    pub(super) fn new(link: Option<Link>, (pending, place): (Held, Held)) -> Arc<Self> {
        let link = Mutex::new(link);
        Arc::new(Self {
            link,
            pending: Mutex::new(Some(pending)),
            place: Some(place),
            ..Self::default()
        })
    }

    /// The session goes on over this connection.
    pub(super) fn upgraded(&self, link: Link) {
        if self.half.take() {
            link.expect_file(); // It comes as a frame, if it does.
        }
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        self.polled.notify_waiters();
    }

    /// A poll has been answered with what waited.
    pub(super) fn answered_poll(&self) {
        self.polls.fetch_add(1, Ordering::SeqCst);
        self.polled.notify_waiters();
    }

    /// Whether the session is to be served no more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) {
        let end = self.end.notified();
        tokio::pin!(end);
        end.as_mut().enable();
        if !self.has_ended() {
            end.await;
        }
    }

    /// Ends the session: the client sees its transport close.
    pub(super) fn kill(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.end.notify_waiters();
        if let Some(link) = self.link() {
            link.kill();
        }
    }

    /// Lets the client go, which cannot stay on its way here: it is answered what it has asked, and its transport closes, so
    /// that it comes back.
    pub(super) fn let_go(&self) {
        match self.connection.get().and_then(Weak::upgrade) {
            Some(connection) => drop(tokio::spawn(async move { connection.let_go().await })),
            None => self.kill(),
        }
    }

    /// Has a poll that waits answered with nothing.
    pub(super) fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// Waits for [`Transport::hurry`].
    pub(super) async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Whose connection it is.
    pub(super) fn carries(&self, connection: &Arc<Connection>) {
        // A transport carries one connection: the library lets a client into a namespace once.
        let _ = self.connection.set(Arc::downgrade(connection));
    }

    /// The user of the session is known: it may send as much as it likes.
    pub(super) fn authenticated(&self) {
        self.known.store(true, Ordering::SeqCst);
        drop(self.pending.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(link) = self.link() {
            link.authenticated();
        }
    }

    /// Whether the user of the session is known.
    pub(super) fn is_authenticated(&self) -> bool {
        self.known.load(Ordering::SeqCst)
    }

    fn link(&self) -> Option<Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often everything was written out, over the WebSocket or in answered polls. The two counts are never mistaken for one another: polls count in the upper half.
    fn flushes(&self, is_websocket: bool) -> u64 {
        match self.link().filter(|_| is_websocket) {
            Some(link) => link.flushes(),
            None => self.polls.load(Ordering::SeqCst) + (1 << 32),
        }
    }

    /// Waits for a moment at which `flushes`, how often everything was written out, may not be `seen` any more.
    async fn moved(&self, seen: u64, flushes: impl Fn() -> u64) {
        let polled = self.polled.notified();
        tokio::pin!(polled);
        polled.as_mut().enable();
        // Counted before the look: a flush right behind that is one that was waited for, and perhaps the last for long.
        let link = self.link().map(|link| (link.flushes(), link));
        if flushes() != seen {
            return;
        }
        let Some((counted, link)) = link else { return polled.await };
        let written = async {
            if !link.flushed_since(counted).await {
                // Gone: whoever waits is told by the disconnect handler.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! { () = polled => {}, () = written => {} }
    }
}

/// The polling sessions of a node by the id that clients name them with. A session is here as long as the
/// library holds it.
#[derive(Debug, Default)]
pub(super) struct Transports {
    by_sid: Mutex<HashMap<String, Weak<Transport>>>,
}

impl Transports {
    /// The session with this id.
    pub(super) fn get(&self, sid: &str) -> Option<Arc<Transport>> {
        self.by_sid().get(sid).and_then(Weak::upgrade)
    }

    /// A session has begun.
    pub(super) fn insert(&self, sid: String, transport: &Arc<Transport>) {
        let mut by_sid = self.by_sid();
        if by_sid.len() == by_sid.capacity() {
            by_sid.retain(|_, transport| transport.strong_count() > 0);
        }
        by_sid.insert(sid, Arc::downgrade(transport));
    }

    fn by_sid(&self) -> MutexGuard<'_, HashMap<String, Weak<Transport>>> {
        self.by_sid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The library's socket as a connection's queue sees it. Holds it weakly: the socket holds the connection.
pub(super) struct SocketSink {
    pub(super) socket: Weak<Socket<LocalAdapter>>,
    pub(super) transport: Arc<Transport>,
    pub(super) on_end: Box<dyn Fn(Ended) + Send + Sync>,
}

#[async_trait]
impl Sink for SocketSink {
    fn emit(&self, name: &str, payload: &RawValue) -> Result<(), SinkError> {
        let socket = self.socket.upgrade().ok_or(SinkError::Closed)?;
        refused(socket.emit(name, payload))
    }

    fn reply(&self, ack: i64, payload: &RawValue) -> Result<(), SinkError> {
        let socket = self.socket.upgrade().ok_or(SinkError::Closed)?;
        let mut nothing = Value::Str(Default::default(), None);
        let Ok(sender) = AckSender::from_message_parts(&socket, &mut nothing, &Some(ack));
        refused(sender.send(payload))
    }

    fn is_polled(&self) -> bool {
        !self.is_websocket()
    }

    fn flushes(&self) -> u64 {
        self.transport.flushes(self.is_websocket())
    }

    async fn flushed_since(&self, seen: u64) {
        while self.flushes() == seen {
            self.transport.moved(seen, || self.flushes()).await;
        }
    }

    fn kill(&self, why: Ended) {
        (self.on_end)(why);
        self.transport.kill();
        // A polling session has no connection to break: its handler has to be run. In a task, as in `disconnect`.
        if let (false, Some(socket)) = (self.is_websocket(), self.socket.upgrade()) {
            tokio::spawn(async move {
                let _ = socket.disconnect(); // A full queue leaves it to the heartbeat.
            });
        }
    }

    fn disconnect(&self) {
        let Some(socket) = self.socket.upgrade() else { return };
        let transport = Arc::clone(&self.transport);
        // Disconnecting runs the handler at once, which closes the queue that calls this, and holds its lock.
        tokio::spawn(async move {
            if socket.disconnect().is_ok() {
                tokio::time::sleep(FAREWELL).await;
            }
            transport.kill();
        });
    }
}

impl SocketSink {
    fn is_websocket(&self) -> bool {
        let socket = self.socket.upgrade();
        socket.is_some_and(|socket| socket.transport_type() == TransportType::Websocket)
    }
}

fn refused(sent: Result<(), SendError>) -> Result<(), SinkError> {
    match sent {
        Ok(()) => Ok(()),
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Err(SinkError::Full),
        Err(SendError::Socket(SocketError::Closed) | SendError::Serialize(_)) => {
            Err(SinkError::Closed)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::FutureExt;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::link::{LinkIo, Links, Patience};

    #[tokio::test]
    async fn a_flush_right_behind_the_look_is_not_missed() {
        let link = Link::new(([192, 0, 2, 1], 5000).into());
        let (near, _far) = duplex(16);
        let long = Duration::from_secs(60);
        let patience = Patience { head: long, idle: long, half: (long, long) };
        let io = RefCell::new(LinkIo::new(near, link.clone(), patience, &Links::default()));
        let transport = Transport { link: Mutex::new(Some(link)), ..Transport::default() };
        let seen = transport.flushes(true);
        let look = || {
            let flushes = transport.flushes(true);
            io.borrow_mut().flush().now_or_never().expect("nothing is in its way").unwrap();
            flushes
        };
        let moved = transport.moved(seen, look).now_or_never();
        assert!(moved.is_some(), "it is waited for another flush, which may never come");
        assert_eq!(transport.flushes(true), seen + 1);
    }
}
