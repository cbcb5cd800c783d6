//! X32: clients that poll, and clients that poll and then go over to a WebSocket, behind a balancer that alternates
//! strictly; one node is killed, one is drained. They come back by themselves, and nothing is lost, doubled or out of order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::balancer::Balancer;
use super::line::{Broken, DEADLINE, Line, Manner};
use crate::support::{Cluster, Ground, Person, on_every_ground};

/// How soon a client that lost its session tries again.
const PACE: Duration = Duration::from_millis(50);

/// What the test tells its clients.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// Each may send so many messages by now.
    messages: usize,
    /// All may go once they have seen the room up to here.
    through: Option<u64>,
}

/// A client that resumes where it was, and sends again what was not acknowledged.
struct Client {
    base: String,
    token: String,
    room: String,
    name: String,
    manner: Manner,
    orders: watch::Receiver<Orders>,
    /// How many of its messages are acknowledged, told to the test.
    done: watch::Sender<usize>,
    /// What it was told, by position.
    seen: Vec<(u64, Value)>,
    /// Where its messages are, as they were acknowledged.
    acked: BTreeMap<String, u64>,
    /// How its sessions ended.
    ends: Vec<String>,
}

impl Client {
    fn last(&self) -> u64 {
        self.seen.last().map_or(0, |(seq, _)| *seq)
    }

    fn is_finished(&self) -> bool {
        self.orders.borrow().through.is_some_and(|through| self.last() >= through)
    }

    async fn live(mut self) -> Self {
        while !self.is_finished() {
            if let Ok(line) = Line::open(&self.base, self.manner).await {
                let Err(Broken(why)) = self.talk(line).await else { break };
                self.ends.push(why); // How it ended is no matter: it comes back.
            }
            tokio::time::sleep(PACE).await;
        }
        self
    }

    /// Talks until it is finished, or the session is broken.
    async fn talk(&mut self, mut line: Line) -> Result<(), Broken> {
        let after = json!({self.room.as_str(): self.last()});
        let auth = json!({"token": self.token, "chat_room_id": self.room, "after": after});
        line.say(format!("40{auth}")).await;
        let connected = line.hear().await?;
        assert!(!connected.starts_with("44"), "{} is refused: {connected}", self.name);
        let mut is_asked = false;
        let mut orders = self.orders.clone();
        while !self.is_finished() {
            let next = self.acked.len();
            if !is_asked && next < orders.borrow().messages {
                let content = format!("{} {next}", self.name);
                let chat = json!(["chat", {"content": content, "client_id": content}]);
                line.say(format!("42{next}{chat}")).await;
                is_asked = true;
            }
            tokio::select! {
                packet = line.hear() => self.take(&packet?, &mut is_asked)?,
                changed = orders.changed() => changed.unwrap(),
            }
        }
        Ok(())
    }

    fn take(&mut self, packet: &str, is_asked: &mut bool) -> Result<(), Broken> {
        if let Some(event) = packet.strip_prefix("42") {
            let (_, payload): (String, Value) = serde_json::from_str(event).unwrap();
            if let Some(seq) = payload["seq"].as_u64().filter(|_| payload["epoch"].is_null()) {
                assert_eq!(seq, self.last() + 1, "{}: a gap or a repeat at {payload}", self.name);
                self.seen.push((seq, payload["message"]["content"].clone()));
            }
        } else if let Some(ack) = packet.strip_prefix("43") {
            let (_, answer) = ack.split_once('[').unwrap();
            let answer: Value = serde_json::from_str(answer.strip_suffix(']').unwrap()).unwrap();
            *is_asked = false;
            if answer["ok"] == true {
                let content = answer["message"]["content"].as_str().unwrap().to_owned();
                self.acked.insert(content, answer["message"]["seq"].as_u64().unwrap());
                self.done.send_replace(self.acked.len());
            }
        } else {
            return Err(Broken(packet.to_owned()));
        }
        Ok(())
    }
}

/// Waits until every client has this many messages acknowledged.
async fn all_have(done: &[watch::Receiver<usize>], messages: usize) {
    for done in done {
        let mut done = done.clone();
        let reached = tokio::time::timeout(DEADLINE, done.wait_for(|count| *count >= messages));
        reached.await.expect("a client does not get on").unwrap();
    }
}

/// Checks what the clients were told and promised against what is there.
async fn check(reader: &Person, room: &str, clients: &[Client], messages: usize) {
    let mut log = BTreeMap::new();
    for message in reader.history(room, "limit=500").await {
        log.insert(message["seq"].as_u64().unwrap(), message["content"].clone());
    }
    assert_eq!(log.len(), clients.len() * messages, "each message is there once");
    for client in clients {
        assert_eq!(client.acked.len(), messages);
        for (content, seq) in &client.acked {
            assert_eq!(log[seq], json!(content), "where {} was told it is", client.name);
        }
        let told = client.seen.iter().filter(|(_, content)| !content.is_null());
        let told: BTreeMap<u64, Value> = told.cloned().collect();
        assert_eq!(told, log, "{} was told everything", client.name);
    }
}

on_every_ground![clients_behind_an_alternating_balancer_lose_nothing_when_nodes_go];

async fn clients_behind_an_alternating_balancer_lose_nothing_when_nodes_go(ground: &Ground) {
    let mut cluster = Cluster::on(ground, 3, |config| {
        config.drain_grace = Duration::from_secs(6);
        config.socket.ping_interval = Duration::from_secs(2);
    })
    .await;
    let owner = cluster.node(2).sign_up("owner").await;
    let room = owner.create_room("a room").await;
    let balancer = Balancer::before(cluster.addrs()).await;
    let (give, orders) = watch::channel(Orders::default());
    let (mut clients, mut dones) = (Vec::new(), Vec::new());
    for (number, manner) in [Manner::Polling, Manner::Upgraded, Manner::Polling, Manner::Upgraded]
        .into_iter()
        .enumerate()
    {
        let name = format!("{}-{number}", format!("{manner:?}").to_lowercase());
        let person = cluster.node(2).sign_up(&name).await;
        person.enter(&room, &owner).await;
        let (done, told) = watch::channel(0);
        dones.push(told);
        let client = Client {
            base: balancer.url(),
            token: person.token.unwrap(),
            room: room.clone(),
            name,
            manner,
            orders: orders.clone(),
            done,
            seen: Vec::new(),
            acked: BTreeMap::new(),
            ends: Vec::new(),
        };
        clients.push(tokio::spawn(client.live()));
    }
    let order = |messages| give.send_modify(|orders| orders.messages = messages);

    order(10);
    all_have(&dones, 10).await;
    order(20); // They are at it when the node is killed.
    cluster.kill(0);
    balancer.choose(cluster.addrs());
    all_have(&dones, 20).await;
    order(30);
    let (addr, staying) = (cluster.node(1).url(), vec![cluster.node(2).addr()]);
    let balancer = Arc::new(balancer);
    let looks = tokio::spawn(look_until_not_ready(addr, Arc::clone(&balancer), staying));
    cluster.drain(1).await;
    looks.await.unwrap();
    all_have(&dones, 30).await;
    order(40);
    all_have(&dones, 40).await;

    let newest = owner.history(&room, "limit=1").await;
    give.send_modify(|orders| orders.through = newest[0]["seq"].as_u64());
    let mut back = Vec::new();
    for client in clients {
        back.push(tokio::time::timeout(DEADLINE, client).await.unwrap().unwrap());
    }
    check(&owner, &room, &back, 40).await;
    assert!(back.iter().any(|client| !client.ends.is_empty()), "some had to come back");
}

/// Does what a balancer's health check does: once the node is not ready, no new request goes there.
async fn look_until_not_ready(
    node: String,
    balancer: Arc<Balancer>,
    staying: Vec<std::net::SocketAddr>,
) {
    let mut ticks = tokio::time::interval(PACE);
    loop {
        ticks.tick().await;
        let answer = crate::support::http::get(format!("{node}/readyz")).await;
        if answer.is_err() || answer.is_ok_and(|answer| answer.status() == 503) {
            return balancer.choose(staying);
        }
    }
}
