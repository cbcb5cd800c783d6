//! A connection's outgoing queue: bounded in bytes, in order, and fed to the transport a little at a time.
//!
//! The Socket.IO library has a queue of its own that silently drops what does not fit, and says neither how
//! full it is nor when it has moved. So at most [`SLICE`] packets, and little more than [`SLICE_BYTES`], are handed over between two moments at
//! which the transport is known to have written everything out, and whatever else there is waits here. A
//! client that takes nothing for [`STALL`], or lets more than [`MAX_WAITING`] bytes pile up, has its transport
//! killed: never is an event skipped. It comes back by itself and resumes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::metrics::EndReason;

/// Packets handed to a WebSocket between two flushes. Two slices may be under way at once, half of
/// the library's queue as natter sets it (256), which leaves it room for its own pings.
pub(crate) const SLICE: usize = 64;

/// Bytes beyond which a WebSocket is handed nothing more until it has been flushed, however few packets they are. The
/// library collects what it is handed in a buffer that never shrinks, so this is what a burst costs each of its
/// listeners from then on; and somebody on a slow line is seen to move as often as this much has gone through.
pub(crate) const SLICE_BYTES: usize = 16 * 1024;

/// Packets handed to a polling session between two polls. The Python client breaks off at an answer of more
/// than 16 packets (`max_decode_packets` of python-engineio): two slices, a ping and a noop.
pub(crate) const POLLED_SLICE: usize = 7;

/// Bytes that may wait for a client before it counts as lagged.
pub(crate) const MAX_WAITING: usize = 1024 * 1024;

/// Bytes below which a replay goes on filling the queue.
const LOW_WATER: usize = MAX_WAITING / 4;

/// How long a client may take nothing while something waits for it.
pub(crate) const STALL: Duration = Duration::from_secs(10);

/// What a packet weighs beside its payload.
const PACKET_OVERHEAD: usize = 64;

/// Why the transport did not take a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkError {
    /// It has no place now.
    Full,
    /// It is gone.
    Closed,
}

/// Why the server breaks a connection, which lets the client come back unless it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did not keep up.
    Lagged,
    /// The node is going.
    Draining,
    /// The node cannot serve it now.
    Unavailable,
    /// Its user's session is over, and it did not take the word of it.
    Revoked,
}

impl Ended {
    /// The reason as it is counted.
    pub fn reason(self) -> EndReason {
        match self {
            Self::Lagged => EndReason::Lagged,
            Self::Draining => EndReason::Draining,
            Self::Unavailable => EndReason::Unavailable,
            Self::Revoked => EndReason::Revoked,
        }
    }
}

/// The transport of one connection, as `socket` gives it.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Queues an event.
    fn emit(&self, name: &str, payload: &RawValue) -> Result<(), SinkError>;

    /// Queues an acknowledgement.
    fn reply(&self, ack: i64, payload: &RawValue) -> Result<(), SinkError>;

    /// Whether the transport now is long polling.
    fn is_polled(&self) -> bool {
        false
    }

    /// How often the transport has written out everything it had.
    fn flushes(&self) -> u64;

    /// Waits until [`Sink::flushes`] is more than `seen`.
    async fn flushed_since(&self, seen: u64);

    /// Ends the transport; the client comes back by itself.
    fn kill(&self, why: Ended);

    /// Tells the client that the server ends the connection for good.
    fn disconnect(&self);
}

/// One packet for the client.
#[derive(Debug, Clone)]
pub enum Packet {
    /// An event and its payload.
    Event(&'static str, Arc<RawValue>),
    /// The acknowledgement of the client's event with this number.
    Reply(i64, Arc<RawValue>),
    /// The end: nothing is sent behind it.
    Disconnect,
}

impl Packet {
    fn weight(&self) -> usize {
        PACKET_OVERHEAD
            + match self {
                Self::Event(_, payload) | Self::Reply(_, payload) => payload.get().len(),
                Self::Disconnect => 0,
            }
    }
}

/// The outgoing queue of one connection.
pub struct Outbox {
    sink: Box<dyn Sink>,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Packet>,
    bytes: usize,
    /// Packets that were ever queued, and those of them that were handed over.
    queued: u64,
    handed_over: u64,
    /// Flushes seen when the running slice began.
    window: u64,
    /// Packets handed over in the running slice, and what they weigh.
    in_slice: usize,
    slice_bytes: usize,
    pumping: bool,
    closed: bool,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Outbox")
            .field("waiting", &state.waiting.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// An empty queue in front of `sink`.
    pub fn new(sink: impl Sink + 'static) -> Arc<Self> {
        Arc::new(Self { sink: Box::new(sink), state: Mutex::default(), moved: Notify::new() })
    }

    /// Queues `packet` behind everything before it. What comes after the end is dropped.
    pub fn push(self: &Arc<Self>, packet: Packet) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.queued += 1;
        if state.waiting.is_empty() && self.has_room(&mut state) {
            match self.hand_over(&mut state, &packet) {
                Ok(()) => return,
                Err(SinkError::Closed) => return self.close_locked(&mut state),
                Err(SinkError::Full) => {}
            }
        }
        if state.bytes > MAX_WAITING {
            return self.end_locked(&mut state, Ended::Lagged);
        }
        state.bytes += packet.weight();
        state.waiting.push_back(packet);
        if !state.pumping {
            state.pumping = true;
            tokio::spawn(Arc::clone(self).pump());
        }
    }

    /// Whether little enough waits that a replay may go on, or the queue is closed.
    pub fn takes_more(&self) -> bool {
        let state = self.state();
        state.closed || state.bytes < LOW_WATER
    }

    /// Waits until little enough waits that a replay may go on, or the queue is closed.
    pub async fn has_drained(&self) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.takes_more() {
                return;
            }
            moved.await;
        }
    }

    /// Waits until nothing waits here any more and the transport has written out what it was given, or the queue is closed.
    pub async fn has_emptied(&self) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let window = {
                let mut state = self.state();
                if state.closed {
                    return;
                }
                let idle = state.waiting.is_empty() && {
                    self.has_room(&mut state);
                    state.in_slice == 0
                };
                if idle {
                    return;
                }
                state.waiting.is_empty().then_some(state.window)
            };
            match window {
                Some(seen) => self.sink.flushed_since(seen).await,
                None => moved.await,
            }
        }
    }

    /// How many packets were ever queued: the place of the last of them.
    pub(crate) fn queued(&self) -> u64 {
        self.state().queued
    }

    /// Waits until the packet at `place`, and all before it, are written to the transport; `false` if the queue is closed before
    /// that.
    pub(crate) async fn has_written(&self, place: u64) -> bool {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let window = {
                let state = self.state();
                if state.closed {
                    return false;
                }
                (state.handed_over >= place).then_some(state.window)
            };
            match window {
                // What was handed over is written once the transport has written everything that it had.
                Some(seen) => {
                    self.sink.flushed_since(seen).await;
                    return true;
                }
                None => moved.await,
            }
        }
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.state().bytes
    }

    /// Whether the transport now is long polling.
    pub(crate) fn is_polled(&self) -> bool {
        self.sink.is_polled()
    }

    /// Ends the connection so that its client comes back: what waits is dropped, the transport is killed.
    pub fn end(&self, why: Ended) {
        let mut state = self.state();
        if !state.closed {
            self.end_locked(&mut state, why);
        }
    }

    /// Drops what waits and takes nothing more: the transport is gone.
    pub fn close(&self) {
        self.close_locked(&mut self.state());
    }

    /// Waits until nothing is taken any more.
    pub async fn closed(&self) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.is_closed() {
                return;
            }
            moved.await;
        }
    }

    /// Whether nothing is taken any more.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Whether the transport may be given another packet now.
    fn has_room(&self, state: &mut State) -> bool {
        let flushes = self.sink.flushes();
        if flushes != state.window {
            state.window = flushes;
            state.in_slice = 0;
            state.slice_bytes = 0;
        }
        if self.sink.is_polled() {
            return state.in_slice < POLLED_SLICE;
        }
        state.in_slice < SLICE && state.slice_bytes < SLICE_BYTES
    }

    fn hand_over(&self, state: &mut State, packet: &Packet) -> Result<(), SinkError> {
        match packet {
            Packet::Event(name, payload) => self.sink.emit(name, payload)?,
            Packet::Reply(ack, payload) => self.sink.reply(*ack, payload)?,
            Packet::Disconnect => {
                self.close_locked(state);
                self.sink.disconnect();
            }
        }
        state.handed_over += 1;
        state.in_slice += 1;
        state.slice_bytes += packet.weight();
        Ok(())
    }

    /// Hands over what waits, slice by slice, until nothing does.
    async fn pump(self: Arc<Self>) {
        while let Some(seen) = self.pump_slice() {
            if tokio::time::timeout(STALL, self.sink.flushed_since(seen)).await.is_err() {
                self.end(Ended::Lagged);
            }
        }
    }

    /// Hands over one slice; answers the flushes seen if more waits, `None` if nothing does.
    fn pump_slice(&self) -> Option<u64> {
        let mut state = self.state();
        let seen = loop {
            if state.closed || state.waiting.is_empty() {
                state.pumping = false;
                break None;
            }
            if !self.has_room(&mut state) {
                break Some(state.window);
            }
            let packet = state.waiting.pop_front()?;
            match self.hand_over(&mut state, &packet) {
                Ok(()) => state.bytes = state.bytes.saturating_sub(packet.weight()),
                Err(SinkError::Closed) => self.close_locked(&mut state),
                Err(SinkError::Full) => {
                    state.waiting.push_front(packet);
                    break Some(state.window);
                }
            }
        };
        drop(state);
        self.moved.notify_waiters();
        seen
    }

    fn end_locked(&self, state: &mut State, why: Ended) {
        self.close_locked(state);
        self.sink.kill(why);
    }

    fn close_locked(&self, state: &mut State) {
        state.closed = true;
        state.waiting = VecDeque::new();
        state.bytes = 0;
        self.moved.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
