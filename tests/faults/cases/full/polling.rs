//! Clients without WebSockets behind a balancer that sends each request to another node.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::check::Rule;
use crate::client::packet::{self, PONG, Packet, Told};
use crate::client::{Person, base, create_room, http, sign_up};
use crate::cluster::{Cluster, Shape};
use crate::run::case;
use crate::servers::process::Signal;

/// What parts the packets of one answer.
const SEPARATOR: char = '\u{1e}';

/// How long something may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A polling session whose every request goes to the next node.
struct Poller {
    http: reqwest::Client,
    nodes: Vec<SocketAddr>,
    turn: usize,
    sid: String,
    waiting: Vec<Told>,
}

impl Poller {
    /// A session that was let in; `None` if it was not.
    async fn connect(nodes: Vec<SocketAddr>, person: &Person, room: &str) -> Option<Self> {
        let http = http::client();
        let mut poller = Self { http, nodes, turn: 0, sid: String::new(), waiting: Vec::new() };
        let url = poller.url();
        let open = http::answer(poller.http.get(url)).await.filter(|open| open.status == 200)?;
        let open: Value = serde_json::from_str(open.body.as_str()?.strip_prefix('0')?).ok()?;
        poller.sid = open["sid"].as_str()?.to_owned();
        let auth = json!({"token": person.token, "chat_room_id": room});
        poller.post(&format!("40{auth}")).await?;
        let end = Instant::now() + PATIENCE;
        loop {
            match poller.next(end).await? {
                Told::Connected => return Some(poller),
                Told::Refused(why) => panic!("{why}"),
                _ => {}
            }
        }
    }

    fn url(&mut self) -> String {
        self.turn += 1;
        let node = base(self.nodes[self.turn % self.nodes.len()]);
        let sid = if self.sid.is_empty() { String::new() } else { format!("&sid={}", self.sid) };
        format!("{node}/socket.io/?EIO=4&transport=polling{sid}")
    }

    async fn post(&mut self, packet: &str) -> Option<()> {
        let url = self.url();
        let request = self.http.post(url).body(packet.to_owned());
        let answer = http::answer(request.header("content-type", "text/plain")).await?;
        (answer.status == 200).then_some(())
    }

    /// What is told next; `None` if the session is gone, or nothing comes by `end`.
    async fn next(&mut self, end: Instant) -> Option<Told> {
        while self.waiting.is_empty() {
            let url = self.url();
            let poll = self.http.get(url).timeout(PATIENCE).send();
            let answer = tokio::time::timeout_at(end, poll).await.ok()?.ok()?;
            if answer.status() != 200 {
                return None;
            }
            let text = answer.text().await.ok()?;
            for one in text.split(SEPARATOR) {
                match packet::read(one) {
                    Packet::Ping => self.post(PONG).await?,
                    Packet::Told(told) => self.waiting.push(told),
                    Packet::Other => {}
                }
            }
        }
        Some(self.waiting.remove(0))
    }

    /// Says something and hears it: whether that worked.
    async fn says_and_hears(&mut self, words: &str) -> bool {
        let payload = json!(["chat", {"content": words, "message_type": "text"}]);
        if self.post(&format!("421{payload}")).await.is_none() {
            return false;
        }
        let end = Instant::now() + PATIENCE;
        let (mut is_acked, mut is_heard) = (false, false);
        while !(is_acked && is_heard) {
            match self.next(end).await {
                Some(Told::Ack(1, answer)) => is_acked = answer["ok"] == true,
                Some(Told::Event(name, payload)) => {
                    is_heard |= name == "chat" && payload["message"]["content"] == words;
                }
                Some(_) => {}
                None => return false,
            }
        }
        true
    }
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x32_polling_clients_alternate_between_nodes_of_which_one_dies_and_one_goes() {
    case("x32", async |run| {
        let settings = vec![("NATTER_DRAIN_GRACE", "12s".to_owned())];
        let shape = Shape { settings, has_inner: true, ..Shape::of(3, 1) };
        let mut cluster = Cluster::start(&run.folder, &shape).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let mut sessions = Vec::new();
        for _ in 0..6 {
            let session = Poller::connect(cluster.addresses(), &owner, &room).await;
            sessions.push(session.expect("it is let in"));
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            if !session.says_and_hears(&format!("{number} says")).await {
                run.violated(Rule::Own, format!("session {number} does not get through"));
            }
        }
        run.did("6 sessions over 3 nodes");
        cluster.nodes[0].kill().await;
        let left = cluster.addresses()[1..].to_vec();
        // Those of the node that died are told so and begin anew; the others go on.
        for (number, session) in sessions.iter_mut().enumerate() {
            session.nodes.clone_from(&left);
            if session.says_and_hears(&format!("{number} says more")).await {
                continue;
            }
            let again = Poller::connect(left.clone(), &owner, &room).await;
            *session = again.expect("who begins anew is let in");
            if !session.says_and_hears(&format!("{number} says again")).await {
                run.violated(Rule::Own, format!("session {number} does not come back"));
            }
        }
        run.did("one node died");
        cluster.nodes[0].start().await;
        cluster.nodes[1].signal(Signal::Term).await;
        let end = Instant::now() + PATIENCE;
        let mut is_gone = false;
        while !is_gone && Instant::now() < end {
            for (number, session) in sessions.iter_mut().enumerate() {
                session.nodes = vec![cluster.nodes[0].address(), cluster.nodes[2].address()];
                if session.says_and_hears(&format!("{number} says on")).await {
                    continue;
                }
                let nodes = session.nodes.clone();
                if let Some(again) = Poller::connect(nodes, &owner, &room).await {
                    *session = again;
                }
            }
            is_gone = cluster.nodes[1].ended(Duration::from_millis(10)).await.is_some();
        }
        if !is_gone {
            run.violated(Rule::Own, "the node that was told to go is still there");
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            if !session.says_and_hears(&format!("{number} says last")).await {
                let nodes = session.nodes.clone();
                let again = Poller::connect(nodes, &owner, &room).await;
                *session = again.expect("who begins anew is let in");
            }
        }
        run.did("one node went");
    });
}
