//! A Socket.IO client (protocol 5) over a WebSocket that may break at any time.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::packet::{self, PONG, Packet, Told};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Bytes that the system takes in for a narrow connection.
const NARROW: u32 = 4096;

/// One connection.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    asked: u64,
    is_gone: bool,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotConnected {
    /// Nobody is there, or will not have one now: try another.
    Away,
    /// For good, with the message that says why.
    Refused(String),
}

impl Socket {
    /// A connection that was let in.
    pub(crate) async fn connect(addr: SocketAddr, auth: Value) -> Result<Self, NotConnected> {
        let connected = tokio::time::timeout(HANDSHAKE, Self::handshake(addr, auth)).await;
        connected.unwrap_or(Err(NotConnected::Away))
    }

    /// The same, with little room for what is not read yet: a few packets, and the server waits.
    pub(crate) async fn connect_narrow(
        addr: SocketAddr,
        auth: Value,
    ) -> Result<Self, NotConnected> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(NARROW).unwrap();
        let tcp = socket.connect(addr).await.map_err(|_| NotConnected::Away)?;
        let connected = tokio::time::timeout(HANDSHAKE, Self::shake(tcp, addr, auth)).await;
        connected.unwrap_or(Err(NotConnected::Away))
    }

    async fn handshake(addr: SocketAddr, auth: Value) -> Result<Self, NotConnected> {
        let tcp = TcpStream::connect(addr).await.map_err(|_| NotConnected::Away)?;
        Self::shake(tcp, addr, auth).await
    }

    async fn shake(tcp: TcpStream, addr: SocketAddr, auth: Value) -> Result<Self, NotConnected> {
        _ = tcp.set_nodelay(true);
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let upgraded = tokio_tungstenite::client_async(url, tcp).await;
        let (stream, _) = upgraded.map_err(|_| NotConnected::Away)?;
        let mut socket = Self { stream, asked: 0, is_gone: false };
        socket.say(&format!("40{auth}")).await;
        match socket.next().await {
            Told::Connected => Ok(socket),
            Told::Refused(why) => Err(NotConnected::Refused(why)),
            _ => Err(NotConnected::Away),
        }
    }

    /// Sends an event, and answers the number of its acknowledgement.
    pub(crate) async fn send(&mut self, event: &str, payload: &Value) -> u64 {
        self.asked += 1;
        let number = self.asked;
        self.say(&format!("42{number}{}", json!([event, payload]))).await;
        number
    }

    /// Sends events that the server finds together, and answers the number of the first one's acknowledgement.
    pub(crate) async fn send_all(&mut self, event: &str, payloads: &[Value]) -> u64 {
        let first = self.asked + 1;
        for payload in payloads {
            self.asked += 1;
            let packet = format!("42{}{}", self.asked, json!([event, payload]));
            let fed = self.stream.feed(Message::text(packet)).await;
            self.is_gone |= fed.is_err();
        }
        self.is_gone |= self.stream.flush().await.is_err();
        first
    }

    /// Sends an event and waits for its acknowledgement; `None` if the connection ends before. What else comes is lost.
    pub(crate) async fn ask(&mut self, event: &str, payload: &Value) -> Option<Value> {
        let number = self.send(event, payload).await;
        loop {
            match self.next().await {
                Told::Ack(answered, answer) if answered == number => return Some(answer),
                Told::Closed | Told::Disconnected => return None,
                _ => {}
            }
        }
    }

    async fn say(&mut self, packet: &str) {
        // That it is gone is told by `next`.
        self.is_gone |= self.stream.send(Message::text(packet.to_owned())).await.is_err();
    }

    /// What is told next; [`Told::Closed`] once the connection is gone. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Told {
        while !self.is_gone {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => match packet::read(&text) {
                    Packet::Ping => self.say(PONG).await,
                    Packet::Told(told) => return told,
                    Packet::Other => {}
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => self.is_gone = true,
                Some(Ok(_)) => {}
            }
        }
        Told::Closed
    }

    /// The payload of the next event of this name; `None` if the connection ends before. What else comes is lost.
    pub(crate) async fn event(&mut self, name: &str) -> Option<Value> {
        loop {
            match self.next().await {
                Told::Event(told, payload) if told == name => return Some(payload),
                Told::Closed | Told::Disconnected => return None,
                _ => {}
            }
        }
    }

    /// Goes, as a closed tab does.
    pub(crate) async fn close(mut self) {
        _ = tokio::time::timeout(HANDSHAKE, self.stream.close(None)).await;
    }
}
