//! The accept loop.
//!
//! `axum::serve` would do, but for four things: it sets no timeout on a request's head, so two
//! thousand clients that dribble in their headers hold it; it cannot end an upgraded connection;
//! it leaves Nagle's algorithm on, which costs 40 ms a step of a handshake; and its graceful end
//! forgets WebSockets. So every connection is a [`Link`] here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::link::{Link, LinkIo, Links, Patience};

/// A request's head: how long it may take, how many fields and bytes it may have (more is 431).
const HEAD_TIME: Duration = Duration::from_secs(10);
const HEAD_FIELDS: usize = 200;
const HEAD_BYTES: usize = 16 * 1024;

/// How long a connection is kept for a next request: longer than proxies keep theirs (60 s is
/// usual), so that it is they who close, and never while a request is on its way.
const IDLE_TIME: Duration = Duration::from_secs(75);

/// How long a WebSocket's client may leave half a packet here: without a byte of the rest, and altogether (a file of
/// 5 MiB takes 40 s at a megabit a second).
const HALF_TIME: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(60));

/// How long the kernel waits for a peer to acknowledge what was sent, before it gives the
/// connection up. As long as the heartbeat of Socket.IO takes to notice the same.
const UNACKNOWLEDGED_TIME: Duration = Duration::from_secs(25);

/// Connections that the kernel holds until they are accepted: a crowd may come back at once.
const BACKLOG: u32 = 4096;

/// Bytes that the kernel takes over for a peer that has not taken them yet. By itself it takes up to 4 MiB, and then nothing
/// until a third of that is gone: who reads 100 KB/s would seem to stand still for the 10 s after which a client is
/// cut off, and who does not read at all would cost that much. With this, 12 KB/s are seen to move, and a file goes at
/// 2.5 MB/s over 100 ms.
const SENT_AHEAD: u32 = 256 * 1024;

/// What a listener needs to know.
#[derive(Clone)]
pub(crate) struct Listener {
    /// What answers requests.
    pub(crate) router: Router,
    /// Where its connections are listed.
    pub(crate) links: Links,
    /// When cancelled: nothing new is accepted, and requests that run are the last of their
    /// connection. Upgraded connections are left to whoever upgraded them.
    pub(crate) stop: CancellationToken,
}

/// Opens `address` for listening.
///
/// # Errors
///
/// As the operating system says: taken, not ours, not allowed.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SENT_AHEAD)?; // Connections that are accepted have the same.
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// Accepts and serves until it is told to stop. Connections outlive this; `links` has them.
    pub(crate) async fn serve(self, socket: TcpListener) {
        let patience = Patience { head: HEAD_TIME, idle: IDLE_TIME, half: HALF_TIME };
        let stop = self.stop.clone();
        while let Some(accepted) = stop.run_until_cancelled(accept(&socket)).await {
            match accepted {
                Ok((stream, peer)) => self.begin(stream, peer, patience),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Most often out of file descriptors. One is free as soon as somebody leaves.
                    tracing::error!(error = %error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr, patience: Patience) {
        // An IPv4 client of an IPv6 listener is known by its IPv4 address, as rules name it.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let link = Link::new(peer);
        let io = LinkIo::new(stream, link.clone(), patience, &self.links);
        tokio::spawn(self.clone().run(io, link));
    }

    async fn run(self, io: LinkIo<TcpStream>, link: Link) {
        let router = self.router;
        let of_requests = link.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), of_requests.clone(), request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None) // `Patience` in its place, which knows idle from slow.
            .max_headers(HEAD_FIELDS)
            .max_header_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = match self.stop.run_until_cancelled(connection.as_mut()).await {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %link.peer(), error = %error, "a connection broke");
        }
    }
}

/// Errors of a connection that was gone before it was accepted; the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The next connection, with what the kernel is to do for it.
async fn accept(socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = socket.accept().await?;
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIME)));
    // It went before it began.
    prepared.map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error))?;
    Ok((stream, peer))
}

async fn answer(
    router: Router,
    link: Link,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    link.request_began();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(link.peer()));
    request.extensions_mut().insert(link.clone());
    let response = router.oneshot(request).await?;
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_upgrade {
        link.upgraded();
    }
    let ended = (!is_upgrade).then(|| Ended(link));
    Ok(response.map(|body| Answer { body, _ended: ended }))
}

/// The body of an answer; when it is through, so is the request.
struct Answer {
    body: Body,
    _ended: Option<Ended>,
}

struct Ended(Link);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    struct Running {
        address: SocketAddr,
        links: Links,
        stop: CancellationToken,
    }

    fn start(router: Router) -> Running {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let (links, stop) = (Links::default(), CancellationToken::new());
        let listener = Listener { router, links: links.clone(), stop: stop.clone() };
        tokio::spawn(listener.serve(socket));
        Running { address, links, stop }
    }

    #[tokio::test]
    async fn the_kernel_takes_little_for_a_peer_that_does_not_read() {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let peer = TcpSocket::new_v4().unwrap();
        peer.set_recv_buffer_size(4096).unwrap();
        let connected = peer.connect(socket.local_addr().unwrap());
        let (_peer, accepted) = tokio::join!(connected, socket.accept());
        let (stream, _) = accepted.unwrap();
        stream.writable().await.unwrap();
        let mut taken = 0;
        while let Ok(bytes) = stream.try_write(&[0; 16 * 1024]) {
            taken += bytes;
        }
        assert!(taken < 4 * SENT_AHEAD as usize, "{taken} bytes wait in the kernel");
    }

    fn hello() -> Running {
        start(Router::new().route("/", get(|| async { "hello" })))
    }

    impl Running {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// What comes back for `request` until the server closes.
        async fn exchange(&self, request: &str) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            rest(&mut stream).await
        }
    }

    async fn rest(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
        read.expect("the server should have closed the connection by now").unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn read_until(stream: &mut TcpStream, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = tokio::time::timeout(SOON, stream.read_u8()).await.unwrap().unwrap();
            text.push(char::from(byte));
        }
        text
    }

    #[tokio::test]
    async fn a_head_of_too_many_fields_or_bytes_is_431() {
        let server = hello();
        for (fields, value, status) in
            [(198, 8, "200"), (201, 8, "431"), (10, 1_000, "200"), (17, 1_000, "431")]
        {
            let value = "x".repeat(value);
            let fields: String = (0..fields).map(|i| format!("x-{i}: {value}\r\n")).collect();
            let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
            let answer = server.exchange(&request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
    }

    #[tokio::test]
    async fn connections_are_written_at_once_and_given_up_when_nobody_acknowledges() {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        let (stream, _) = accept(&socket).await.unwrap();
        assert!(stream.nodelay().unwrap());
        let patience = SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(patience, Some(UNACKNOWLEDGED_TIME));
    }

    #[tokio::test]
    async fn handlers_know_the_peer_and_its_link() {
        async fn peer(
            ConnectInfo(peer): ConnectInfo<SocketAddr>,
            axum::Extension(link): axum::Extension<Link>,
        ) -> String {
            assert_eq!(link.peer(), peer);
            peer.to_string()
        }
        let server = start(Router::new().route("/", get(peer)));
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let own = stream.local_addr().unwrap().to_string();
        assert!(rest(&mut stream).await.ends_with(&own));
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut_off_within_ten_seconds() {
        let server = hello();
        let began = std::time::Instant::now();
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
        assert!((HEAD_TIME..HEAD_TIME + Duration::from_secs(2)).contains(&began.elapsed()));
    }

    #[tokio::test]
    async fn stopping_ends_idle_connections_and_lets_requests_finish() {
        let (arrived, mut arrivals) = tokio::sync::mpsc::channel(1);
        let (release, gate) = tokio::sync::watch::channel(false);
        let slow = move || {
            let (arrived, mut gate) = (arrived.clone(), gate.clone());
            async move {
                arrived.send(()).await.unwrap();
                gate.wait_for(|open| *open).await.unwrap();
                "done"
            }
        };
        let server =
            start(Router::new().route("/", get(|| async { "hello" })).route("/slow", post(slow)));
        let mut idle = server.connect().await;
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        read_until(&mut idle, "hello").await;
        let mut busy = server.connect().await;
        busy.write_all(b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        arrivals.recv().await.unwrap();
        server.stop.cancel();
        assert_eq!(rest(&mut idle).await, "");
        release.send(true).unwrap();
        let answer = rest(&mut busy).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        tokio::time::timeout(SOON, server.links.emptied()).await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    }

    async fn echo(upgrade: hyper::upgrade::OnUpgrade) {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        while let Ok(byte) = io.read_u8().await {
            io.write_u8(byte).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_upgraded_connection_is_still_under_its_link() {
        async fn upgrade(mut request: axum::extract::Request) -> Response<Body> {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(echo(upgrade));
            let answer = Response::builder().status(101).header("upgrade", "echo");
            answer.header("connection", "upgrade").body(Body::empty()).unwrap()
        }
        let server = start(Router::new().route("/", get(upgrade)));
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
            .await
            .unwrap();
        assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
        server.stop.cancel(); // Not what ends it.
        stream.write_all(b"?").await.unwrap();
        read_until(&mut stream, "?").await;
        assert_eq!(server.links.count(), 1);
        server.links.kill_all();
        assert_eq!(rest(&mut stream).await, "");
        tokio::time::timeout(SOON, server.links.emptied()).await.unwrap();
    }
}
