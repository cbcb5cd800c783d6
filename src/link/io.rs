//! The stream that obeys its [`Link`].

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::packet::Frames;
use super::registry::Place;
use super::{Link, Links, Stage};

/// Bytes that are read on while the peer takes nothing of what is written to it. Somebody answers what is
/// read, if only a ping with a pong, and keeps the answers without a bound. More than the largest packet, so
/// that a slow line does not hold up a file that goes the other way.
const UNANSWERED: u64 = 8 * 1024 * 1024;

/// Beyond it, this much is read in each [`PAUSE`]: not nothing, for the peer's pong may be behind.
const TRICKLE: u64 = 64 * 1024;

/// See [`TRICKLE`].
const PAUSE: Duration = Duration::from_millis(100);

/// How long a peer may leave a connection waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first byte of a request's head, or from the connection's beginning, to its last.
    ///
    /// hyper's own header timeout counts the pause between two requests too, and connections
    /// that a proxy keeps for later would be closed under its hands.
    pub(crate) head: Duration,
    /// Between two requests on one connection.
    pub(crate) idle: Duration,
    /// While half a packet is here: without a byte of the rest, and altogether.
    pub(crate) half: (Duration, Duration),
}

/// A stream together with its [`Link`]. Dropping it ends the link.
pub(crate) struct LinkIo<S> {
    stream: S,
    link: Link,
    patience: Patience,
    /// Runs while the peer is waited for; which wait it belongs to tells whether it is stale.
    timer: Option<(Stage, Pin<Box<Sleep>>)>,
    /// The last bytes of HTTP: a client that upgrades sends nothing behind its request until it is answered.
    last: [u8; 4],
    frames: Option<Frames>,
    /// Until when the rest of half a packet has to come.
    half: Option<Instant>,
    /// Whether something is written that the peer has not taken.
    is_blocked: bool,
    /// Bytes read since then.
    unanswered: u64,
    pause: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<S> LinkIo<S> {
    /// Puts `stream` under `link`, and into `links` until it is dropped.
    pub(crate) fn new(stream: S, link: Link, patience: Patience, links: &Links) -> Self {
        let place = links.enter(link.clone());
        Self {
            stream,
            link,
            patience,
            timer: None,
            last: [0; 4],
            frames: None,
            half: None,
            is_blocked: false,
            unanswered: 0,
            pause: None,
            _place: place,
        }
    }

    /// Whether the peer has used up the patience with it. Asked only when nothing can be read.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let stage = self.link.stage();
        let patience = match stage {
            Stage::Head => self.patience.head,
            Stage::Idle => self.patience.idle,
            Stage::Frames if self.half.is_some() => self.patience.half.0,
            Stage::Busy | Stage::Frames => {
                self.timer = None;
                return false;
            }
        };
        let timer = match &mut self.timer {
            Some((of, timer)) if *of == stage => timer,
            other => &mut other.insert((stage, Box::pin(tokio::time::sleep(patience)))).1,
        };
        timer.as_mut().poll(cx).is_ready()
    }

    /// Counts what was read; whether the connection may go on.
    fn received(&mut self, bytes: &[u8]) -> bool {
        match self.link.stage() {
            _ if bytes.is_empty() => {}
            Stage::Frames => self.read_along(bytes),
            stage => {
                for byte in &bytes[bytes.len().saturating_sub(4)..] {
                    self.last.rotate_left(1);
                    self.last[3] = *byte;
                }
                if stage == Stage::Idle {
                    self.link.set_stage(Stage::Head); // The next request's head begins.
                    self.timer = None;
                }
            }
        }
        if self.is_blocked {
            self.unanswered += bytes.len() as u64;
        }
        let is_slow = self.half.is_some_and(|until| Instant::now() > until);
        self.link.count_read(bytes.len() as u64) && !is_slow
    }

    /// Notes whether half a packet is here, after these bytes of a WebSocket.
    fn read_along(&mut self, bytes: &[u8]) {
        self.timer = None;
        let Some(frames) = &mut self.frames else { return };
        frames.read(bytes);
        self.half = match (frames.awaits_file(), self.half) {
            (false, _) => None,
            (true, None) => Some(Instant::now() + self.patience.half.1),
            (true, until) => until,
        };
    }

    /// Begins to read along when the connection becomes a WebSocket; `false` if its client was ahead of the answer, for
    /// then nobody knows where its frames begin.
    fn begin_frames(&mut self) -> bool {
        if self.frames.is_some() || self.link.stage() != Stage::Frames {
            return true;
        }
        let frames = Frames::new(self.link.0.awaits_file.load(Ordering::SeqCst));
        self.half = frames.awaits_file().then(|| Instant::now() + self.patience.half.1);
        self.frames = Some(frames);
        self.last == *b"\r\n\r\n"
    }

    /// Whether the peer has to take something before more of it is read.
    fn is_held_back(&mut self, cx: &mut Context<'_>) -> bool {
        if self.unanswered < UNANSWERED {
            return false;
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
        if pause.as_mut().poll(cx).is_pending() {
            return true;
        }
        self.pause = None;
        self.unanswered -= TRICKLE;
        false
    }

    /// Notes whether the peer has taken what was written.
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_blocked |= written.is_pending();
        written
    }

    /// Does `write` to the stream, unless the link is killed before or while it waits.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        let broken = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        if self.link.is_killed() {
            return broken();
        }
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            return Poll::Ready(written);
        }
        self.link.0.writer.register(cx.waker());
        // Looked at after registering: whoever kills from now on wakes this task.
        if self.link.is_killed() { broken() } else { Poll::Pending }
    }
}

impl<S> Drop for LinkIo<S> {
    fn drop(&mut self) {
        self.link.end();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LinkIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.begin_frames() {
            this.link.kill();
        }
        if this.link.is_killed() {
            return Poll::Ready(Ok(())); // Nothing was added to `buf`: the end of the stream.
        }
        if this.is_held_back(cx) {
            this.link.0.reader.register(cx.waker());
            return if this.link.is_killed() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if result.is_ok() && !this.received(&buf.filled()[before..]) {
                tracing::info!(peer = %this.link.peer(), "too much was sent, or too slowly");
                this.link.kill();
                buf.set_filled(before);
            }
            return Poll::Ready(result);
        }
        this.link.0.reader.register(cx.waker());
        if this.is_late(cx) {
            tracing::debug!(peer = %this.link.peer(), "what was due did not come in time");
            this.link.kill();
        }
        if this.link.is_killed() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LinkIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.poll_write_with(cx, |stream, cx| stream.poll_write(cx, buf));
        this.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.poll_write_with(cx, |stream, cx| stream.poll_write_vectored(cx, bufs));
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_with(cx, |stream, cx| stream.poll_flush(cx)))?;
        // A flush comes when all is written.
        (this.is_blocked, this.unanswered, this.pause) = (false, 0, None);
        this.link.count_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests;
