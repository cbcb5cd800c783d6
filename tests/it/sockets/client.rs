//! A Socket.IO client (protocol 5) without the official library: a WebSocket, and what is written on it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::packet::{self, PONG, Packet};

pub(crate) use super::packet::Told;

/// The longest that anything is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    unread: VecDeque<Told>,
    asked: u64,
}

impl Socket {
    /// A WebSocket on which nothing has been said.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::open_on(addr, TcpStream::connect(addr).await.unwrap()).await
    }

    async fn open_on(addr: SocketAddr, tcp: TcpStream) -> Self {
        Self::open_with(addr, tcp, "").await
    }

    /// A WebSocket on which nothing has been said, begun with this header beside what is needed.
    pub(crate) async fn open_with_head(addr: SocketAddr, header: &str) -> Self {
        Self::open_with(addr, TcpStream::connect(addr).await.unwrap(), header).await
    }

    async fn open_with(addr: SocketAddr, tcp: TcpStream, header: &str) -> Self {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-filler", header.parse().unwrap());
        let (stream, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
        let mut socket = Self { stream, unread: VecDeque::new(), asked: 0 };
        let open = socket.text().await.unwrap();
        assert!(open.starts_with('0'), "{open}");
        socket
    }

    /// A WebSocket that is let in, or not: the answer is the next to be told.
    pub(crate) async fn connect(addr: SocketAddr, auth: Value) -> Self {
        let mut socket = Self::open(addr).await;
        socket.say(&format!("40{auth}")).await;
        socket
    }

    /// The same, over a connection that takes little until it is read from.
    pub(crate) async fn connect_slowly(addr: SocketAddr, auth: Value) -> Self {
        let narrow = TcpSocket::new_v4().unwrap();
        narrow.set_recv_buffer_size(4096).unwrap();
        let mut socket = Self::open_on(addr, narrow.connect(addr).await.unwrap()).await;
        socket.say(&format!("40{auth}")).await;
        socket
    }

    /// Writes a packet as it is.
    pub(crate) async fn say(&mut self, packet: &str) {
        self.stream.send(Message::text(packet)).await.unwrap();
    }

    /// Sends an event with one file of these bytes, which `payload` names, and waits for its acknowledgement.
    pub(crate) async fn ask_with_file(
        &mut self,
        event: &str,
        mut payload: Value,
        bytes: &[u8],
    ) -> Value {
        self.asked += 1;
        let number = self.asked;
        payload["file"] = json!({"_placeholder": true, "num": 0});
        self.say(&format!("451-{number}{}", json!([event, payload]))).await;
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
        self.answer(number).await
    }

    /// Queues a packet without writing it out.
    pub(crate) async fn queue(&mut self, packet: &str) {
        self.stream.feed(Message::text(packet)).await.unwrap();
    }

    /// Writes out what is queued.
    pub(crate) async fn flush(&mut self) {
        self.stream.flush().await.unwrap();
    }

    /// Sends an event and waits for its acknowledgement.
    pub(crate) async fn ask(&mut self, event: &str, payload: Value) -> Value {
        self.asked += 1;
        let number = self.asked;
        self.say(&format!("42{number}{}", json!([event, payload]))).await;
        self.answer(number).await
    }

    /// The acknowledgement with this number.
    pub(crate) async fn answer(&mut self, number: u64) -> Value {
        let is_answer = |told: &Told| matches!(told, Told::Ack(answered, _) if *answered == number);
        let Told::Ack(_, answer) = self.until(is_answer).await else { unreachable!() };
        answer
    }

    /// The next event with this name; what else comes is kept.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        let is_it = |told: &Told| matches!(told, Told::Event(told, _) if told == name);
        let Told::Event(_, payload) = self.until(is_it).await else { unreachable!() };
        payload
    }

    /// The first of what was told and is to come that is `wanted`; the rest is kept.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Told {
        if let Some(place) = self.unread.iter().position(&wanted) {
            return self.unread.remove(place).unwrap();
        }
        loop {
            let told = self.read().await;
            if wanted(&told) {
                return told;
            }
            assert_ne!(told, Told::Closed, "closed before; told: {:?}", self.unread);
            self.unread.push_back(told);
        }
    }

    /// What was told and not asked for.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &Told> {
        self.unread.iter()
    }

    /// What is told next, of all.
    pub(crate) async fn next(&mut self) -> Told {
        match self.unread.pop_front() {
            Some(told) => told,
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Told {
        loop {
            let Some(text) = self.text().await else { return Told::Closed };
            match packet::read(&text) {
                Packet::Ping => self.stream.send(Message::text(PONG)).await.unwrap(),
                Packet::Told(told) => return told,
                Packet::Other => {}
            }
        }
    }

    async fn text(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.stream.next()).await;
            match next.expect("the server says nothing") {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Goes, as a closed tab does.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }
}
