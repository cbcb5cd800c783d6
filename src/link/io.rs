//! The stream that obeys its [`Link`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

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
}

/// A stream together with its [`Link`]. Dropping it ends the link.
pub(crate) struct LinkIo<S> {
    stream: S,
    link: Link,
    patience: Patience,
    /// Runs while the peer is waited for; which wait it belongs to tells whether it is stale.
    timer: Option<(Stage, Pin<Box<Sleep>>)>,
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
            Stage::Busy => {
                self.timer = None;
                return false;
            }
            Stage::Head => self.patience.head,
            Stage::Idle => self.patience.idle,
        };
        let timer = match &mut self.timer {
            Some((of, timer)) if *of == stage => timer,
            other => &mut other.insert((stage, Box::pin(tokio::time::sleep(patience)))).1,
        };
        timer.as_mut().poll(cx).is_ready()
    }

    /// Counts what was read; whether the connection may go on.
    fn received(&mut self, bytes: usize) -> bool {
        if bytes > 0 && self.link.stage() == Stage::Idle {
            self.link.set_stage(Stage::Head); // The next request's head begins.
            self.timer = None;
        }
        if self.is_blocked {
            self.unanswered += bytes as u64;
        }
        self.link.count_read(bytes as u64)
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
        if this.link.is_killed() {
            return Poll::Ready(Ok(())); // Nothing was added to `buf`: the end of the stream.
        }
        if this.is_held_back(cx) {
            this.link.0.reader.register(cx.waker());
            return if this.link.is_killed() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if result.is_ok() && !this.received(buf.filled().len() - before) {
                tracing::info!(peer = %this.link.peer(), "too much was sent before authentication");
                this.link.kill();
                buf.set_filled(before);
            }
            return Poll::Ready(result);
        }
        this.link.0.reader.register(cx.waker());
        if this.is_late(cx) {
            tracing::debug!(peer = %this.link.peer(), "no request came in time");
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
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const PATIENT: Patience =
        Patience { head: Duration::from_secs(60), idle: Duration::from_secs(60) };
    const SOON: Duration = Duration::from_secs(10);

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 5000))
    }

    fn linked(capacity: usize, patience: Patience) -> (LinkIo<DuplexStream>, DuplexStream, Links) {
        let (near, far) = duplex(capacity);
        let links = Links::default();
        (LinkIo::new(near, Link::new(peer()), patience, &links), far, links)
    }

    /// Fails rather than hangs.
    async fn soon<F: Future>(future: F) -> F::Output {
        tokio::time::timeout(SOON, future).await.expect("it should have happened by now")
    }

    #[tokio::test]
    async fn a_killed_link_ends_a_read_and_a_write_that_were_waiting() {
        let (io, _far, _links) = linked(16, PATIENT);
        let link = io.link.clone();
        let (mut reader, mut writer) = tokio::io::split(io);
        let reading = tokio::spawn(async move { reader.read(&mut [0; 8]).await });
        let writing = tokio::spawn(async move { writer.write_all(&[0; 1024]).await });
        tokio::task::yield_now().await; // Both run until they have to wait.
        link.kill();
        assert_eq!(soon(reading).await.unwrap().unwrap(), 0);
        let broken = soon(writing).await.unwrap().unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_tcp_client_that_stopped_reading_is_killed_in_the_middle_of_a_write() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let links = Links::default();
        let link = Link::new(peer);
        let mut io = LinkIo::new(stream, link.clone(), PATIENT, &links);
        let chunk = vec![0; 1 << 20];
        while futures::poll!(Box::pin(io.write(&chunk))).is_ready() {} // Until no more is taken.
        link.kill();
        assert!(soon(io.write(&chunk)).await.is_err());
        assert_eq!(links.count(), 1);
        drop(io);
        assert_eq!(links.count(), 0);
        drop(client);
    }

    #[tokio::test]
    async fn who_takes_nothing_is_not_read_without_end() {
        let (mut io, mut far, _links) = linked(1 << 16, PATIENT);
        let chunk = vec![0; 1 << 16];
        while futures::poll!(Box::pin(io.write(&chunk))).is_ready() {} // Until no more is taken.
        let (mut taken, mut buffer) = (0, vec![0; 1 << 16]);
        while taken < 2 * UNANSWERED {
            tokio::task::yield_now().await; // For a new budget: without one nothing is ready.
            let sent = futures::poll!(Box::pin(far.write(&chunk)));
            match futures::poll!(Box::pin(io.read(&mut buffer))) {
                Poll::Ready(read) => taken += read.unwrap() as u64,
                Poll::Pending if sent.is_pending() => break,
                Poll::Pending => {}
            }
        }
        assert!((UNANSWERED..UNANSWERED + 4 * TRICKLE).contains(&taken), "{taken}");
        assert!(soon(io.read(&mut buffer)).await.unwrap() > 0, "a little goes on");

        far.read_exact(&mut buffer).await.unwrap();
        io.write_all(b"taken again").await.unwrap();
        io.flush().await.unwrap();
        let _sent = futures::poll!(Box::pin(far.write(&chunk)));
        assert!(futures::poll!(Box::pin(io.read(&mut buffer))).is_ready(), "all goes on");
        assert_eq!(io.unanswered, 0);
    }

    #[tokio::test]
    async fn a_flush_counts_once_everything_is_out_and_wakes_who_waits() {
        let (mut io, mut far, _links) = linked(4, PATIENT);
        let link = io.link.clone();
        let seen = link.flushes();
        let waiting = tokio::spawn({
            let link = link.clone();
            async move { link.flushed_since(seen).await }
        });
        let writing = tokio::spawn(async move {
            io.write_all(b"eight by").await.unwrap();
            io.flush().await.unwrap();
            io
        });
        far.read_exact(&mut [0; 8]).await.unwrap();
        assert!(soon(waiting).await.unwrap());
        let io = soon(writing).await.unwrap();
        assert_eq!(link.flushes(), seen + 1);
        assert!(link.flushed_since(seen).await, "what has happened is not waited for");

        let waiting = tokio::spawn({
            let link = link.clone();
            async move { link.flushed_since(seen + 1).await }
        });
        drop(io);
        assert!(!soon(waiting).await.unwrap(), "a connection that is gone flushes no more");
    }

    #[tokio::test]
    async fn vectored_writes_obey_the_link_too() {
        let (mut io, mut far, _links) = linked(64, PATIENT);
        let slices = [io::IoSlice::new(b"one "), io::IoSlice::new(b"two")];
        let written = io.write_vectored(&slices).await.unwrap();
        let mut arrived = vec![0; written];
        far.read_exact(&mut arrived).await.unwrap();
        assert_eq!(arrived, b"one two"[..written]);
        io.link.kill();
        assert!(io.write_vectored(&slices).await.is_err());
    }

    #[tokio::test]
    async fn one_byte_over_the_bound_before_authentication_ends_the_link() {
        let (mut io, mut far, _links) = linked(64, PATIENT);
        far.write_all(b"GET / HTTP/1.1").await.unwrap();
        io.read_exact(&mut [0; 14]).await.unwrap();
        io.link.limit_unauthenticated(4);
        far.write_all(b"four").await.unwrap();
        io.read_exact(&mut [0; 4]).await.unwrap();
        far.write_all(b"!").await.unwrap();
        assert_eq!(soon(io.read(&mut [0; 8])).await.unwrap(), 0);
        assert!(io.link.is_gone());
    }

    #[tokio::test]
    async fn after_authentication_there_is_no_bound() {
        let (mut io, mut far, _links) = linked(64, PATIENT);
        io.link.limit_unauthenticated(1);
        io.link.authenticated();
        far.write_all(b"much more").await.unwrap();
        io.read_exact(&mut [0; 9]).await.unwrap();
        assert_eq!(io.link.bytes_read(), 9);
    }

    #[tokio::test]
    async fn a_head_that_dribbles_in_is_cut_off_in_time() {
        let patience = Patience { head: Duration::from_millis(200), ..PATIENT };
        let (mut io, mut far, _links) = linked(64, patience);
        let dribbling = tokio::spawn(async move {
            while far.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let began = Instant::now();
        soon(async { while io.read(&mut [0; 8]).await.unwrap() > 0 {} }).await;
        assert!(began.elapsed() >= patience.head);
        drop(io);
        soon(dribbling).await.unwrap();
    }

    #[tokio::test]
    async fn the_pause_between_requests_has_a_patience_of_its_own() {
        let patience = Patience { head: SOON * 2, idle: Duration::from_millis(50) };
        let (mut io, mut far, _links) = linked(64, patience);
        far.write_all(b"head").await.unwrap();
        io.read_exact(&mut [0; 4]).await.unwrap();
        io.link.request_began();
        let mut buffer = [0; 8];
        let while_served = tokio::time::timeout(patience.idle * 4, io.read(&mut buffer));
        assert!(while_served.await.is_err(), "a request being served is not hurried");
        io.link.request_ended();
        assert_eq!(soon(io.read(&mut [0; 8])).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_registry_counts_kills_and_tells_when_it_is_empty() {
        let links = Links::default();
        let mut ios = Vec::new();
        for _ in 0..3 {
            let (near, far) = duplex(16);
            ios.push((LinkIo::new(near, Link::new(peer()), PATIENT, &links), far));
        }
        assert_eq!(links.count(), 3);
        links.kill_all();
        let emptied = tokio::spawn({
            let links = links.clone();
            async move { links.emptied().await }
        });
        for (mut io, _far) in ios {
            assert_eq!(io.read(&mut [0; 8]).await.unwrap(), 0);
        }
        soon(emptied).await.unwrap();
        assert_eq!(links.count(), 0);
    }
}
