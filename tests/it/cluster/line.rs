//! A session of Engine.IO as the official clients have it: long polling, and from there a WebSocket if one likes.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::http;

/// The longest that anything is waited for.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What stands between packets.
const SEPARATOR: char = '\u{1e}';

type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// By long polling all the time.
    Polling,
    /// By long polling first, then by a WebSocket.
    Upgraded,
}

/// A session that is broken: the client begins anew.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

/// One session by long polling.
#[derive(Clone)]
pub(super) struct Polling {
    http: reqwest::Client,
    base: String,
    /// The session's id, as the server calls it.
    pub(super) sid: String,
}

impl Polling {
    /// Begins a session at `base`, over connections that are never used again: every request may go another way.
    pub(super) async fn open(base: &str) -> Result<Self, Broken> {
        let http = http::builder().pool_max_idle_per_host(0).build().unwrap();
        let mut polling = Self { http, base: base.to_owned(), sid: String::new() };
        let packet = polling.get().await?;
        let open = packet.strip_prefix('0').ok_or_else(|| Broken(packet.clone()))?;
        let open: Value = serde_json::from_str(open).unwrap();
        polling.sid = open["sid"].as_str().unwrap().to_owned();
        Ok(polling)
    }

    /// The same session, by another way.
    pub(super) fn through(self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self }
    }

    /// The URL of the session's requests.
    pub(super) fn url(&self) -> String {
        let sid = match self.sid.as_str() {
            "" => String::new(),
            sid => format!("&sid={sid}"),
        };
        format!("{}/socket.io/?EIO=4&transport=polling{sid}", self.base)
    }

    async fn get(&self) -> Result<String, Broken> {
        answered(self.http.get(self.url()).timeout(DEADLINE).send().await).await
    }

    /// Waits for what there is to tell.
    pub(super) async fn poll(&self) -> Result<Vec<String>, Broken> {
        Ok(self.get().await?.split(SEPARATOR).map(str::to_owned).collect())
    }

    /// Sends packets.
    pub(super) async fn post(&self, packets: &[String]) -> Result<(), Broken> {
        let body = packets.join(&SEPARATOR.to_string());
        let request = self.http.post(self.url()).header("content-type", "text/plain;charset=UTF-8");
        answered(request.body(body).timeout(DEADLINE).send().await).await.map(drop)
    }

    /// Asks over a WebSocket whether the session may go on there.
    async fn probe(&self) -> Result<WebSocket, Broken> {
        let url = self.url().replacen("http", "ws", 1).replace("=polling", "=websocket");
        let opened = tokio_tungstenite::connect_async(url).await;
        let (mut socket, _) = opened.map_err(|error| Broken(error.to_string()))?;
        say(&mut socket, "2probe").await?;
        match hear(&mut socket).await?.as_str() {
            "3probe" => Ok(socket),
            other => Err(Broken(other.to_owned())),
        }
    }
}

async fn answered(answer: reqwest::Result<reqwest::Response>) -> Result<String, Broken> {
    let answer = answer.map_err(|error| Broken(format!("{error:?}")))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| Broken(format!("{error:?}")))?;
    if status == 200 { Ok(text) } else { Err(Broken(format!("{status} {text}"))) }
}

async fn say(socket: &mut WebSocket, packet: &str) -> Result<(), Broken> {
    socket.send(Message::text(packet)).await.map_err(|error| Broken(error.to_string()))
}

async fn hear(socket: &mut WebSocket) -> Result<String, Broken> {
    match tokio::time::timeout(DEADLINE, socket.next()).await {
        Ok(Some(Ok(Message::Text(text)))) => Ok(text.to_string()),
        other => Err(Broken(format!("{other:?}"))),
    }
}

/// A session with its packets both ways; pings are answered.
pub(super) struct Line {
    out: mpsc::Sender<String>,
    incoming: mpsc::Receiver<Result<String, Broken>>,
    tasks: tokio::task::JoinSet<()>,
}

impl Line {
    /// Begins a session at `base`.
    pub(super) async fn open(base: &str, manner: Manner) -> Result<Self, Broken> {
        Self::over(Polling::open(base).await?, manner).await
    }

    /// Goes on with a session that has begun.
    pub(super) async fn over(polling: Polling, manner: Manner) -> Result<Self, Broken> {
        let (out, outgoing) = mpsc::channel(64);
        let (heard, incoming) = mpsc::channel(64);
        let mut tasks = tokio::task::JoinSet::new();
        match manner {
            Manner::Polling => {
                tasks.spawn(write(polling.clone(), outgoing, heard.clone()));
                tasks.spawn(poll(polling, out.clone(), heard));
            }
            Manner::Upgraded => {
                let socket = upgrade(&polling, &heard).await?;
                tasks.spawn(talk(socket, outgoing, heard));
            }
        }
        Ok(Self { out, incoming, tasks })
    }

    /// Sends a packet.
    pub(super) async fn say(&self, packet: String) {
        let _ = self.out.send(packet).await; // Whether it arrives, an answer tells.
    }

    /// The next packet, pings left out.
    pub(super) async fn hear(&mut self) -> Result<String, Broken> {
        match tokio::time::timeout(DEADLINE, self.incoming.recv()).await {
            Ok(Some(packet)) => packet,
            Ok(None) => Err(Broken("ended".to_owned())),
            Err(_elapsed) => Err(Broken("silence".to_owned())),
        }
    }

    /// Ends every request of it, as a closed tab does.
    pub(super) fn drop_it(mut self) {
        self.tasks.abort_all();
    }
}

async fn write(
    polling: Polling,
    mut outgoing: mpsc::Receiver<String>,
    heard: mpsc::Sender<Result<String, Broken>>,
) {
    while let Some(packet) = outgoing.recv().await {
        let mut packets = vec![packet];
        while let Ok(more) = outgoing.try_recv() {
            packets.push(more);
        }
        if let Err(broken) = polling.post(&packets).await {
            let _ = heard.send(Err(broken)).await;
            return;
        }
    }
}

async fn poll(
    polling: Polling,
    out: mpsc::Sender<String>,
    heard: mpsc::Sender<Result<String, Broken>>,
) {
    loop {
        let packets = match polling.poll().await {
            Ok(packets) => packets,
            Err(broken) => return drop(heard.send(Err(broken)).await),
        };
        for packet in packets {
            let is_gone = match packet.as_str() {
                "2" => out.send("3".to_owned()).await.is_err(),
                "6" => false,
                _ => heard.send(Ok(packet)).await.is_err(),
            };
            if is_gone {
                return;
            }
        }
    }
}

/// Goes over to a WebSocket, as the official client does: polling goes on until the server has answered the probe, then
/// the poll that waits is let end.
async fn upgrade(
    polling: &Polling,
    heard: &mpsc::Sender<Result<String, Broken>>,
) -> Result<WebSocket, Broken> {
    let mut probing = std::pin::pin!(polling.probe());
    let mut socket = loop {
        let mut waiting = std::pin::pin!(polling.poll());
        let (packets, socket) = tokio::select! {
            socket = &mut probing => {
                let socket = socket?;
                (waiting.await?, Some(socket))
            }
            packets = &mut waiting => (packets?, None),
        };
        for packet in packets {
            match packet.as_str() {
                "2" => polling.post(&["3".to_owned()]).await?,
                "6" => {}
                _ => heard.send(Ok(packet)).await.unwrap(),
            }
        }
        if let Some(socket) = socket {
            break socket;
        }
    };
    say(&mut socket, "5").await?;
    Ok(socket)
}

async fn talk(
    mut socket: WebSocket,
    mut outgoing: mpsc::Receiver<String>,
    heard: mpsc::Sender<Result<String, Broken>>,
) {
    loop {
        let told = tokio::select! {
            packet = outgoing.recv() => match packet {
                Some(packet) => say(&mut socket, &packet).await.map(|()| None),
                None => return,
            },
            packet = hear(&mut socket) => match packet.as_deref() {
                Ok("2") => say(&mut socket, "3").await.map(|()| None),
                _ => packet.map(Some),
            },
        };
        let (told, is_over) = match told {
            Ok(None) => continue,
            Ok(Some(packet)) => (Ok(packet), false),
            Err(broken) => (Err(broken), true),
        };
        if heard.send(told).await.is_err() || is_over {
            return;
        }
    }
}
