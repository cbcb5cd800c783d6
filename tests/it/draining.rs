//! How a node with clients goes: told in time, answered to the end, and not let in again.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use natter::config::{Config, MetricsConfig};
use natter::node::{Node, bind};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::support::http;

const SOON: Duration = Duration::from_secs(20);

async fn start(folder: &tempfile::TempDir, grace: Duration) -> Node {
    let mut config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        metrics: MetricsConfig { listen: None },
        data_dir: folder.path().to_owned(),
        drain_grace: grace,
        ..Config::default()
    };
    config.auth.bcrypt_cost = 4;
    let socket = bind(&config).unwrap();
    Node::start(config, socket).await.unwrap()
}

/// Signs a user up and in; answers the token.
async fn token(address: SocketAddr) -> String {
    let client = http::client();
    let account = json!({"email": "ann@example.org", "username": "ann", "password": "a password"});
    let made = client.post(format!("http://{address}/signup")).json(&account).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let form = [("username", "ann"), ("password", "a password")];
    let signed_in = client.post(format!("http://{address}/token")).form(&form).send().await;
    let body: Value = signed_in.unwrap().json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// A session socket that has got its `ready`.
    async fn open(address: SocketAddr, token: &str) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut socket = Self(stream);
        socket.0.send(Message::text(format!("40{}", json!({ "token": token })))).await.unwrap();
        socket.next("42[\"ready\"").await;
        socket
    }

    /// The next packet that begins so; pings are answered on the way.
    async fn next(&mut self, beginning: &str) -> String {
        loop {
            let message = timeout(SOON, self.0.next()).await.unwrap().unwrap().unwrap();
            let text = message.into_text().unwrap().to_string();
            if text == "2" {
                self.0.send(Message::text("3")).await.unwrap();
            }
            if text.starts_with(beginning) {
                return text;
            }
        }
    }

    /// What the server sends until it closes the transport.
    async fn rest(&mut self) -> Vec<String> {
        let mut packets = Vec::new();
        while let Some(Ok(message)) = timeout(SOON, self.0.next()).await.unwrap() {
            packets.push(message.into_text().unwrap().to_string());
        }
        packets
    }
}

#[tokio::test]
async fn draining_closes_sockets_so_that_they_come_back_and_lets_none_in() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder, Duration::from_secs(8)).await;
    let address = node.addr();
    let token = token(address).await;
    let mut sockets = Vec::new();
    for _ in 0..12 {
        sockets.push(Socket::open(address, &token).await);
    }
    let began = Instant::now();
    let drained = tokio::spawn(async move { node.drain(&CancellationToken::new()).await });
    let handshake = format!("http://{address}/socket.io/?EIO=4&transport=polling");
    // At a pace: handshakes that nobody follows up are limited.
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let refusal = loop {
        pace.tick().await;
        let answer = http::get(&handshake).await.unwrap();
        if answer.status() == 503 {
            break answer;
        }
        assert_eq!(answer.status(), 200, "let in until it is refused");
    };
    assert!(refusal.headers().contains_key("retry-after"));
    assert_eq!(refusal.json::<Value>().await.unwrap()["code"], "draining");
    for socket in &mut sockets {
        let last = socket.rest().await;
        let for_good = last.iter().any(|packet| packet.starts_with("41"));
        assert!(!for_good, "a client that is told to leave does not come back: {last:?}");
    }
    timeout(SOON, drained).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(8).mul_f64(0.7), "{:?}", began.elapsed());
}

#[tokio::test]
async fn in_a_hurry_nobody_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder, Duration::from_secs(3_600)).await;
    let address = node.addr();
    let token = token(address).await;
    let mut socket = Socket::open(address, &token).await;
    let hurry = CancellationToken::new();
    hurry.cancel();
    timeout(SOON, node.drain(&hurry)).await.expect("it should have ended by now");
    assert!(!socket.rest().await.iter().any(|packet| packet.starts_with("41")));
}
