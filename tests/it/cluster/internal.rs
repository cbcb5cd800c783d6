//! The internal listener serves what nodes of the cluster have signed, as they have signed it, once; and nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use natter::domain::{BootId, Timestamp};
use natter::keys::Keys;
use natter::metrics::{self, InternalRefusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::line::{DEADLINE, Polling};
use crate::support::{Cluster, SECRET};

/// The headers that are signed, in this order.
const SIGNED: [&str; 8] = [
    "origin",
    "authorization",
    "content-type",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
];

/// A request as a node would hand it on; written by the description of it, not by the code.
#[derive(Clone)]
struct Forwarded {
    secret: String,
    to: BootId,
    number: u64,
    at: i64,
    address: String,
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Forwarded {
    /// A poll of the session `sid`.
    fn poll(to: BootId, sid: &str) -> Self {
        Self {
            secret: SECRET.to_owned(),
            to,
            number: rand::random(),
            at: Timestamp::now().0,
            address: "192.0.2.1".to_owned(),
            method: "GET",
            target: format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Packets of the session `sid`.
    fn post(to: BootId, sid: &str, body: &str) -> Self {
        let headers = vec![("content-type", "text/plain".to_owned())];
        Self { method: "POST", headers, body: body.to_owned(), ..Self::poll(to, sid) }
    }

    /// The header that vouches for it.
    fn ticket(&self) -> String {
        let Self { secret, to, number, at, address, method, target, headers, body } = self;
        let (from, length) = (BootId::new(1, 1), body.len());
        let said = format!("1 {to} {from} {number} {at} {length} {address} an-id-of-a-test");
        let mut parts: Vec<Vec<u8>> =
            vec![b"natter forward".to_vec(), said.clone().into(), (*method).into()];
        parts.push(target.clone().into());
        for name in SIGNED {
            let value = headers.iter().find(|(header, _)| *header == name);
            parts.push(value.map_or_else(Vec::new, |(_, value)| format!("={value}").into()));
        }
        let mac = Keys::derive(secret.as_bytes(), None).forward.sign(&parts);
        format!("{said} {}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// It as a node sends it.
    fn text(&self) -> String {
        self.vouched_for(&self.ticket())
    }

    /// It with this header to vouch for it.
    fn vouched_for(&self, ticket: &str) -> String {
        let Self { method, target, headers, body, .. } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: a-node\r\n");
        text += &format!("x-natter-forwarded: {ticket}\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        format!("{text}content-length: {}\r\n\r\n{body}", body.len())
    }
}

/// Sends `request` over a connection of its own: the status of what is answered, 0 for nothing, and the answer.
async fn exchange(addr: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await; // It may be refused before its end.
    let answer = tokio::time::timeout(DEADLINE, read_answer(&mut stream)).await.unwrap();
    let status = answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    (status, answer)
}

/// One answer, or all there is until the end.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

/// Two nodes, of which the first is asked.
struct Asked {
    cluster: Cluster,
    addr: SocketAddr,
    boot: BootId,
}

impl Asked {
    async fn start() -> Self {
        let cluster = Cluster::start(2).await;
        let (addr, boot) = (cluster.node(0).internal_addr(), cluster.node(0).app().nodes.me());
        Self { cluster, addr, boot }
    }

    /// A session that it holds.
    async fn session(&self) -> Polling {
        Polling::open(&self.cluster.node(0).url()).await.unwrap()
    }

    fn refused(&self, reason: InternalRefusal) -> u64 {
        self.cluster.node(0).app().metrics.cluster.internal_refusals.of(reason).get()
    }
}

#[tokio::test]
async fn nothing_is_served_to_who_is_no_node() {
    let asked = Asked::start().await;
    let session = asked.session().await;
    let poll = format!("/socket.io/?EIO=4&transport=polling&sid={}", session.sid);
    let mut count = 0;
    for target in [
        poll.as_str(),
        "/socket.io/?EIO=4&transport=polling",
        "/",
        "/readyz",
        "/metrics",
        "/users/me",
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let request =
                format!("{method} {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
            let (status, answer) = exchange(asked.addr, &request).await;
            assert_eq!(status, 403, "{method} {target}: {answer}");
            assert!(answer.contains("\"forbidden\""), "{answer}");
            count += 1;
            assert_eq!(asked.refused(InternalRefusal::Unsigned), count);
        }
    }
    session.post(&["40{}".to_owned()]).await.unwrap();
}

#[tokio::test]
async fn what_a_node_hands_on_is_served_and_what_is_changed_about_it_is_refused() {
    let asked = Asked::start().await;
    let session = asked.session().await;
    let good = Forwarded::post(asked.boot, &session.sid, "3");
    assert_eq!(exchange(asked.addr, &good.text()).await.0, 200);

    let stranger =
        Forwarded { secret: "of another cluster, 32 bytes or more".to_owned(), ..good.clone() };
    let longer = Forwarded { body: "3\u{1e}3".to_owned(), ..good.clone() };
    let elsewhere = Forwarded { target: good.target.replace("=4", "=3"), ..good.clone() };
    let other =
        Forwarded { headers: vec![("content-type", "text/html".to_owned())], ..good.clone() };
    let more = Forwarded {
        headers: vec![good.headers[0].clone(), ("origin", "https://evil.example".to_owned())],
        ..good.clone()
    };
    let to_delete = Forwarded { method: "DELETE", ..good.clone() };
    let ticket = Forwarded { number: good.number.wrapping_add(1), ..good.clone() }.ticket();
    let whose = ticket.replace("192.0.2.1", "192.0.2.2");
    let mut reasons = Vec::new();
    for (text, reason) in [
        (stranger.text(), InternalRefusal::Forged),
        (longer.vouched_for(&ticket), InternalRefusal::Malformed),
        (elsewhere.vouched_for(&ticket), InternalRefusal::Forged),
        (other.vouched_for(&ticket), InternalRefusal::Forged),
        (more.vouched_for(&ticket), InternalRefusal::Forged),
        (to_delete.vouched_for(&ticket), InternalRefusal::Forged),
        (good.vouched_for(&whose), InternalRefusal::Forged),
        (good.vouched_for(&ticket.replace(" an-id", " no-id")), InternalRefusal::Forged),
        (good.vouched_for(&ticket[..ticket.len() - 31]), InternalRefusal::Forged),
        (good.vouched_for("1 2 3"), InternalRefusal::Malformed),
        (
            good.vouched_for(&format!("{ticket}\r\nx-natter-forwarded: {ticket}")),
            InternalRefusal::Malformed,
        ),
        (
            good.vouched_for(&format!("{ticket}\r\ncontent-type: text/html")),
            InternalRefusal::Malformed,
        ),
        (
            good.vouched_for(&format!("{ticket}\r\ntransfer-encoding: chunked")),
            InternalRefusal::Malformed,
        ),
    ] {
        reasons.push(reason);
        let (status, answer) = exchange(asked.addr, &text).await;
        // Two lengths of a body are no request at all.
        assert!(status == 403 || text.contains("chunked") && status == 400, "{text}: {answer}");
        let refused = |reason| reasons.iter().filter(|one| **one == reason).count() as u64;
        if status == 403 {
            assert_eq!(asked.refused(reason), refused(reason), "{text}");
        }
    }
    assert_eq!(
        exchange(asked.addr, &good.vouched_for(&ticket)).await.0,
        200,
        "as it is, it is good"
    );
}

#[tokio::test]
async fn a_request_counts_once_and_for_half_a_minute() {
    let asked = Asked::start().await;
    let session = asked.session().await;
    let good = Forwarded::post(asked.boot, &session.sid, "3");
    assert_eq!(exchange(asked.addr, &good.text()).await.0, 200);
    for _ in 0..2 {
        assert_eq!(exchange(asked.addr, &good.text()).await.0, 403);
    }
    assert_eq!(asked.refused(InternalRefusal::Repeated), 2);
    for seconds in [-60, 60] {
        let at = Timestamp::now().0 + seconds * 1000;
        let old = Forwarded { at, number: rand::random(), ..good.clone() };
        assert_eq!(exchange(asked.addr, &old.text()).await.0, 403, "{seconds}");
    }
    assert_eq!(asked.refused(InternalRefusal::Stale), 2);
}

#[tokio::test]
async fn nothing_but_sessions_of_the_node_itself_is_served_even_to_nodes() {
    let asked = Asked::start().await;
    let session = asked.session().await;
    let elsewhere = Polling::open(&asked.cluster.node(1).url()).await.unwrap();
    // The other node's session: never handed on once more. A handshake. An earlier start of this node.
    let anew = Forwarded {
        target: "/socket.io/?EIO=4&transport=polling".to_owned(),
        ..Forwarded::poll(asked.boot, "")
    };
    let (id, _) = session.sid.split_once('.').unwrap();
    for request in [
        Forwarded::poll(asked.boot, &elsewhere.sid),
        Forwarded::post(asked.boot, &elsewhere.sid, "3"),
        Forwarded::poll(asked.boot, id),
        Forwarded::poll(asked.boot, &format!("AAAAAAAAAAAAAAAA.{}", asked.boot)),
        Forwarded::poll(BootId::new(1, 1), &session.sid),
        anew,
    ] {
        let (status, answer) = exchange(asked.addr, &request.text()).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains("\"code\":1"), "{answer}");
    }
    let forwarded = &asked.cluster.node(0).app().metrics.cluster.forwarded_requests;
    assert_eq!(forwarded.of(metrics::Forwarded::Answered).get(), 0, "nothing goes on from here");
    for target in [
        "/signup",
        "/",
        "/readyz",
        "/metrics",
        "/socket.io/../signup",
        "/socket.io/%2e%2e/signup",
        "//socket.io/",
        "/socket.io//",
        "/socket.io/x",
    ] {
        let target = format!("{target}?EIO=4&transport=polling&sid={}", session.sid);
        let request = Forwarded { target, ..Forwarded::poll(asked.boot, "") };
        let (status, answer) = exchange(asked.addr, &request.text()).await;
        assert_eq!(status, 404, "{}: {answer}", request.target);
    }
}

#[tokio::test]
async fn a_huge_body_is_not_read_to_its_end() {
    let asked = Asked::start().await;
    let session = asked.session().await;
    let huge = "x".repeat(16 << 20);
    let of_a_node = Forwarded::post(asked.boot, &session.sid, &huge);
    let (status, answer) = exchange(asked.addr, &of_a_node.text()).await;
    assert!(matches!(status, 0 | 400 | 413), "{answer}");
    let (status, answer) = exchange(asked.addr, &of_a_node.vouched_for("")).await;
    assert!(matches!(status, 0 | 403), "{answer}");
    let mut stream = TcpStream::connect(asked.addr).await.unwrap();
    let head = "POST /socket.io/ HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "and the connection ends: {answer}");
}

#[tokio::test]
async fn who_dribbles_a_head_or_says_nothing_is_cut_off() {
    let asked = Asked::start().await;
    let dribbles = TcpStream::connect(asked.addr).await.unwrap();
    let mut silent = TcpStream::connect(asked.addr).await.unwrap();
    let (mut reads, mut writes) = dribbles.into_split();
    let dribbling = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        writes.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while writes.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    });
    let mut answer = Vec::new();
    for end in [
        tokio::time::timeout(DEADLINE, silent.read_to_end(&mut answer)).await,
        tokio::time::timeout(DEADLINE, reads.read_to_end(&mut answer)).await,
    ] {
        let _ = end.expect("it should have been cut off by now"); // A reset is an end as well.
    }
    assert!(answer.is_empty(), "nothing is answered to no request");
    tokio::time::timeout(DEADLINE, dribbling).await.unwrap().unwrap();
}
