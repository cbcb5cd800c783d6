//! The handle on one TCP connection, beneath HTTP and Socket.IO alike.
//!
//! Neither hyper nor socketioxide can end a connection whose client has stopped reading: the write
//! never completes, so the disconnect handler waits behind it, and `disconnect()` itself needs
//! room in the very queue that is full. Nor does either tell when bytes have really left. So every
//! accepted stream is wrapped in a [`LinkIo`], and its [`Link`] travels with each request: killing
//! it makes the stream look broken from both sides at once, whoever owns it by then, and a healthy
//! client sees `transport close` and comes back.
//!
//! The wrapper also holds the bounds that only a stream can: how long a request's head may take, how
//! much a peer may send before anybody knows who it is, and for how long it may leave half a packet here.

mod io;
mod packet;
mod registry;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use futures::task::AtomicWaker;
use tokio::sync::Notify;

pub(crate) use self::io::{LinkIo, Patience};
pub(crate) use self::packet::Prefix;
pub(crate) use self::registry::Links;

/// A handle on one open connection. Clones are the same connection; it stays valid, and does
/// nothing more, after the connection has ended.
#[derive(Clone)]
pub(crate) struct Link(Arc<Shared>);

struct Shared {
    peer: SocketAddr,
    killed: AtomicBool,
    ended: AtomicBool,
    stage: AtomicU8,
    awaits_file: AtomicBool,
    read: AtomicU64,
    flushes: AtomicU64,
    /// `read` beyond this ends the connection.
    read_bound: AtomicU64,
    /// Woken at a flush and at the end; `waiting` counts who does, so a flush costs nothing more
    /// when it is nobody.
    changed: Notify,
    waiting: AtomicUsize,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// What a connection is doing, as far as its patience goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// A request's head is awaited or half here.
    Head,
    /// A request is being served.
    Busy,
    /// Upgraded to a WebSocket, whose client may not leave half a packet here.
    Frames,
    /// Kept alive between two requests.
    Idle,
}

impl Link {
    /// A handle without a stream yet; [`LinkIo::new`] joins the two.
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self(Arc::new(Shared {
            peer,
            killed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stage: AtomicU8::new(Stage::Head as u8),
            awaits_file: AtomicBool::new(false),
            read: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            read_bound: AtomicU64::new(u64::MAX),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }))
    }

    /// The other end of the TCP connection: the client, or a proxy in front of it.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Ends the connection from outside: from now on reads are at the end and writes fail.
    ///
    /// What was handed to the kernel before still goes out. Killing twice is as killing once.
    pub(crate) fn kill(&self) {
        self.0.killed.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
        self.tell_waiting();
    }

    /// Whether the connection was killed or has ended by itself.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_killed() || self.0.ended.load(Ordering::SeqCst)
    }

    /// Bytes received so far, of HTTP and of what it was upgraded to.
    fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// How often everything written until then was out, that is, with the kernel.
    pub(crate) fn flushes(&self) -> u64 {
        self.0.flushes.load(Ordering::SeqCst)
    }

    /// Waits for a flush later than the one that [`Link::flushes`] counted as `seen`; `false` if
    /// the connection goes first.
    ///
    /// A flush carries what its writer had taken up when it began. So what was queued while one
    /// was on its way is only sure to be out after two.
    pub(crate) async fn flushed_since(&self, seen: u64) -> bool {
        let _counted = Waiting::begin(&self.0);
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable(); // Before the look, so that a flush between is not missed.
            if self.flushes() > seen {
                return true;
            }
            if self.is_gone() {
                return false;
            }
            changed.await;
        }
    }

    /// From now on the peer may send `bytes` more; one over and the connection ends.
    ///
    /// For upgraded connections whose user is not known yet, so that nobody fills the memory
    /// anonymously. [`Link::authenticated`] takes the bound away.
    pub(crate) fn limit_unauthenticated(&self, bytes: u64) {
        self.0.read_bound.store(self.bytes_read().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Takes away the bound of [`Link::limit_unauthenticated`].
    pub(crate) fn authenticated(&self) {
        self.0.read_bound.store(u64::MAX, Ordering::Relaxed);
    }

    /// A request's head is complete; its answer may take its time.
    pub(crate) fn request_began(&self) {
        self.set_stage(Stage::Busy);
    }

    /// The answer upgrades the connection to a WebSocket: what comes from now on are its frames.
    pub(crate) fn upgraded(&self) {
        self.set_stage(Stage::Frames);
    }

    /// The client announced a file before it upgraded to this WebSocket.
    pub(crate) fn expect_file(&self) {
        self.0.awaits_file.store(true, Ordering::SeqCst);
    }

    /// The answer is out, and the connection waits for the next request. Not to be called for an
    /// answer that upgrades: that one never waits for a request again.
    pub(crate) fn request_ended(&self) {
        self.set_stage(Stage::Idle);
    }

    fn is_killed(&self) -> bool {
        self.0.killed.load(Ordering::SeqCst)
    }

    fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::Relaxed) {
            0 => Stage::Head,
            1 => Stage::Busy,
            2 => Stage::Frames,
            _ => Stage::Idle,
        }
    }

    fn set_stage(&self, stage: Stage) {
        self.0.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Counts `bytes` received; whether the peer may send that many.
    fn count_read(&self, bytes: u64) -> bool {
        let read = self.0.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        read <= self.0.read_bound.load(Ordering::Relaxed)
    }

    fn count_flush(&self) {
        self.0.flushes.fetch_add(1, Ordering::SeqCst);
        self.tell_waiting();
    }

    fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.tell_waiting();
    }

    fn tell_waiting(&self) {
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.0.peer)
            .field("gone", &self.is_gone())
            .finish_non_exhaustive()
    }
}

/// One who waits for a change, for as long as it lives.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
