//! No sticky sessions: any node answers any request of any session.

use natter::metrics::{EndReason, Forwarded};
use serde_json::{Value, json};

use super::balancer::Balancer;
use super::line::{Line, Manner, Polling};
use crate::support::{Cluster, Ground, Person, http, on_every_ground};

/// What the server answers on a line that says who it is.
pub(super) async fn connect(line: &mut Line, auth: Value) -> Value {
    line.say(format!("40{auth}")).await;
    let connected = line.hear().await.unwrap();
    assert!(connected.starts_with("40"), "{connected}");
    event(line, "joined").await
}

/// The next event with this name.
pub(super) async fn event(line: &mut Line, name: &str) -> Value {
    loop {
        let packet = line.hear().await.unwrap();
        let Some(event) = packet.strip_prefix("42") else { continue };
        let (said, payload): (String, Value) = serde_json::from_str(event).unwrap();
        if said == name {
            return payload;
        }
    }
}

fn auth(person: &Person, room: &str) -> Value {
    json!({"token": person.token, "chat_room_id": room})
}

on_every_ground![a_session_goes_over_all_nodes_by_polling_and_by_a_websocket];

async fn a_session_goes_over_all_nodes_by_polling_and_by_a_websocket(ground: &Ground) {
    let cluster = Cluster::on(ground, 3, |_| ()).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("a room").await;
    let balancer = Balancer::before(cluster.addrs()).await;
    for manner in [Manner::Polling, Manner::Upgraded] {
        for said in 0..6 {
            let mut line = Line::open(&balancer.url(), manner).await.unwrap();
            let joined = connect(&mut line, auth(&ann, &room)).await;
            let text = format!("{manner:?} {said}");
            line.say(format!("420{}", json!(["chat", {"content": text}]))).await;
            let chat = event(&mut line, "chat").await;
            assert_eq!(chat["message"]["content"], json!(text));
            assert_eq!(chat["seq"].as_u64(), joined["seq"].as_u64().map(|seq| seq + 1));
            line.drop_it();
        }
    }
    let counted = |outcome: Forwarded| -> u64 {
        let metrics = |number| cluster.node(number).app().metrics.clone();
        (0..3).map(|number| metrics(number).cluster.forwarded_requests.of(outcome).get()).sum()
    };
    assert!(counted(Forwarded::Answered) > 0);
    assert!((1..=6).contains(&counted(Forwarded::Upgraded)));
    for outcome in [Forwarded::Failed, Forwarded::Refused, Forwarded::UnknownNode] {
        assert_eq!(counted(outcome), 0, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_session_of_nobody_is_sent_back_to_the_handshake() {
    let mut cluster = Cluster::start(2).await;
    let elsewhere = Polling::open(&cluster.node(1).url()).await.unwrap();
    let (_, other) = elsewhere.sid.split_once('.').unwrap();
    cluster.kill(1);
    cluster.is_acquainted().await;
    let base = cluster.node(0).url();
    let polling = Polling::open(&base).await.unwrap();
    let (id, node) = polling.sid.split_once('.').unwrap();
    for sid in [
        "",
        ".",
        "A",
        "A.",
        "A.B",
        "AAAAAAAAAAAAAAAA",
        &format!("AAAAAAAAAAAAAAAA.{node}"),
        &format!("{id}.{other}"),
        &format!("{id}.{}", node.to_uppercase()),
        &format!("{id}.127.0.0.1:80"),
        &format!("{id}.{node}.{node}"),
        &elsewhere.sid,
    ] {
        for transport in ["polling", "websocket"] {
            let url = format!("{base}/socket.io/?EIO=4&transport={transport}&sid={sid}");
            let answer = http::get(url).await.unwrap();
            assert_eq!(answer.status(), 400, "{sid}");
            let body = json!({"code": 1, "message": "Session ID unknown"});
            assert_eq!(answer.json::<Value>().await.unwrap(), body, "{sid}");
        }
    }
    assert!(polling.post(&["40{}".to_owned()]).await.is_ok(), "the session itself is well");
}

/// A session of node 0 over node 1, by a person who is in a room; and the room.
struct Passing {
    cluster: Cluster,
    ann: Person,
    room: String,
    /// As node 1 hears of it.
    polling: Polling,
}

impl Passing {
    async fn start() -> Self {
        let change = |config: &mut natter::config::Config| {
            config.drain_grace = std::time::Duration::from_secs(8);
        };
        let cluster = Cluster::with(2, change).await;
        let ann = cluster.node(0).sign_up("ann").await;
        let room = ann.create_room("a room").await;
        let polling = Polling::open(&cluster.node(0).url()).await.unwrap();
        let polling = polling.through(&cluster.node(1).url());
        Self { cluster, ann, room, polling }
    }

    fn disconnects(&self, reason: EndReason) -> u64 {
        let metrics = &self.cluster.node(0).app().metrics;
        metrics.sockets.disconnects.of(reason).get()
    }
}

#[tokio::test]
async fn a_node_that_goes_has_websockets_of_others_closed_without_a_loss() {
    let mut passing = Passing::start().await;
    let polling = passing.polling.clone();
    let mut line = Line::over(polling, Manner::Upgraded).await.unwrap();
    connect(&mut line, auth(&passing.ann, &passing.room)).await;
    for said in 0..100 {
        line.say(format!("42{said}{}", json!(["chat", {"content": said.to_string()}]))).await;
    }
    passing.cluster.drain(1).await;
    let mut answers = 0;
    while let Ok(packet) = line.hear().await {
        assert!(!packet.starts_with("41"), "a client that is told to leave does not come back");
        answers += usize::from(packet.starts_with("43"));
    }
    assert_eq!(answers, 100, "what was said is answered");
    assert_eq!(
        (passing.disconnects(EndReason::Draining), passing.disconnects(EndReason::Transport)),
        (1, 0)
    );
}

#[tokio::test]
async fn a_node_that_goes_has_polls_of_others_answered() {
    let mut passing = Passing::start().await;
    let polling = passing.polling.clone();
    let ping = polling.poll().await.unwrap();
    assert_eq!(ping, ["2"], "the library pings at once");
    polling
        .post(&["3".to_owned(), format!("40{}", auth(&passing.ann, &passing.room))])
        .await
        .unwrap();
    let mut told = Vec::new();
    while !told.iter().any(|packet: &String| packet.starts_with("42[\"online_users\"")) {
        told.extend(polling.poll().await.unwrap());
    }
    let waiting = tokio::spawn({
        let polling = polling.clone();
        async move { polling.poll().await }
    });
    passing.cluster.drain(1).await;
    assert_eq!(waiting.await.unwrap().unwrap(), ["6"], "nothing new: poll again");
    let polling = polling.through(&passing.cluster.node(0).url());
    passing.ann.say(&passing.room, "still here").await;
    let chat = polling.poll().await.unwrap();
    assert!(chat[0].contains("still here"), "{chat:?}");
}

#[tokio::test]
async fn two_polls_at_once_end_a_session_whatever_nodes_they_come_by() {
    let passing = Passing::start().await;
    let over = passing.polling.clone();
    let at_home = over.clone().through(&passing.cluster.node(0).url());
    over.poll().await.unwrap(); // The library's first ping.
    let (one, other) = tokio::join!(over.poll(), at_home.poll());
    let refused = [&one, &other].into_iter().filter(|poll| poll.is_err()).count();
    assert!(refused >= 1, "{one:?} {other:?}");
    for polling in [over, at_home] {
        let gone = polling.post(&["3".to_owned()]).await.unwrap_err();
        assert!(gone.0.contains("Session ID unknown"), "{gone:?}");
    }
}

#[tokio::test]
async fn a_file_inside_a_message_goes_over_another_node() {
    use base64::Engine;
    let passing = Passing::start().await;
    let polling = passing.polling.clone();
    polling.post(&[format!("40{}", auth(&passing.ann, &passing.room))]).await.unwrap();
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let file = format!("b{}", base64::engine::general_purpose::STANDARD.encode(&bytes));
    let chat = json!(["chat", {
        "content": "", "message_type": "file", "file_name": "a.bin",
        "file": {"_placeholder": true, "num": 0},
    }]);
    polling.post(&[format!("451-0{chat}"), file]).await.unwrap();
    let answer = loop {
        let packets = polling.poll().await.unwrap();
        if let Some(answer) = packets.into_iter().find(|packet| packet.starts_with("430")) {
            break answer;
        }
    };
    let answer: Value = serde_json::from_str(&answer[3..]).unwrap();
    assert_eq!(answer[0]["message"]["attachment"]["size"], 2_500_000, "{answer}");
}
