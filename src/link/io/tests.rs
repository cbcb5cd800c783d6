//! The stream, between two ends of a pipe.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LONG: Duration = Duration::from_secs(60);
const PATIENT: Patience = Patience { head: LONG, idle: LONG, half: (LONG, LONG) };
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
    let patience = Patience { head: SOON * 2, idle: Duration::from_millis(50), ..PATIENT };
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

/// A WebSocket that has been answered, as its server and its client see it.
async fn websocket(patience: Patience) -> (LinkIo<DuplexStream>, DuplexStream) {
    let (mut io, mut far, _links) = linked(1 << 16, patience);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    io.read_exact(&mut [0; 18]).await.unwrap();
    io.link.request_began();
    io.link.upgraded();
    (io, far)
}

/// An event that announces a file, and three bytes of a file, as a client that masks with nothing sends them.
const ANNOUNCED: &[u8] = b"\x81\x86\0\0\0\x00451-[]";
const FILE: &[u8] = b"\x82\x83\0\0\0\x00abc";

#[tokio::test(start_paused = true)]
async fn half_a_packet_is_waited_for_as_long_as_it_comes_and_not_for_ever() {
    let second = Duration::from_secs(1);
    let patience = Patience { half: (4 * second, 60 * second), ..PATIENT };
    let read = async |io: &mut LinkIo<_>, bytes: usize| {
        let mut buffer = vec![0; bytes];
        io.read_exact(&mut buffer).await
    };
    let begun = tokio::time::Instant::now();
    let (mut io, mut far) = websocket(patience).await;
    far.write_all(ANNOUNCED).await.unwrap();
    read(&mut io, ANNOUNCED.len()).await.unwrap();
    assert!(read(&mut io, 1).await.is_err(), "the end, for nothing came");
    assert_eq!(begun.elapsed().as_secs(), 4);

    // A file that comes slowly, and then nothing that is due.
    let (mut io, mut far) = websocket(patience).await;
    far.write_all(ANNOUNCED).await.unwrap();
    let sending = tokio::spawn(async move {
        for byte in FILE {
            tokio::time::sleep(3 * second).await;
            far.write_all(&[*byte]).await.unwrap();
        }
        tokio::time::sleep(100 * second).await;
        far.write_all(b"?").await.unwrap();
    });
    read(&mut io, ANNOUNCED.len() + FILE.len() + 1).await.unwrap();
    sending.await.unwrap();

    // One that never ends.
    let (mut io, mut far) = websocket(patience).await;
    far.write_all(ANNOUNCED).await.unwrap();
    far.write_all(b"\x82\xff\0\0\0\0\0\0\x7f\xff\0\0\0\0").await.unwrap();
    let begun = tokio::time::Instant::now();
    tokio::spawn(async move {
        while far.write_all(b"x").await.is_ok() {
            tokio::time::sleep(second).await;
        }
    });
    assert!(read(&mut io, 10_000).await.is_err());
    assert!((60..=62).contains(&begun.elapsed().as_secs()));
}

#[tokio::test]
async fn a_websocket_client_that_is_ahead_of_the_answer_is_ended() {
    let (mut io, mut far, _links) = linked(64, PATIENT);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n\x81").await.unwrap();
    io.read_exact(&mut [0; 19]).await.unwrap();
    io.link.upgraded();
    far.write_all(b"more").await.unwrap();
    assert_eq!(soon(io.read(&mut [0; 8])).await.unwrap(), 0);
}
