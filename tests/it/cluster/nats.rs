//! What whole nodes say and hear on a nats-server, as the server counts it and as a foreign client sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::StreamExt;
use natter::app::App;
use natter::config::{Config, Limit};
use natter::domain::{BootId, RoomId, UserId};
use natter::metrics::{BusRefusal, Labels};
use natter::nodes::HEARTBEAT;
use serde_json::{Value, json};

use super::online::patient;
use crate::bus::foreign::Foreign;
use crate::sockets::client::{Socket, Told};
use crate::sockets::{enter, sign_on};
use crate::support::{Cluster, DEADLINE, Ground, Person};

fn config(config: &mut Config) {
    patient(config);
    config.limits.messages_per_second = Limit::OFF;
}

/// What the server knows of the connection of one node.
#[derive(Debug)]
struct Known {
    subjects: BTreeSet<String>,
    /// Messages that it was sent.
    sent: u64,
}

/// The connections of all nodes, by what they say they are.
async fn connections(ground: &Ground) -> BTreeMap<String, Known> {
    let told = ground.nats().told("connz?subs=1").await;
    let known = |one: &Value| {
        let name = one["name"].as_str()?.strip_prefix("natter ")?;
        let subjects = one["subscriptions_list"].as_array().into_iter().flatten();
        let subjects = subjects.map(|subject| subject.as_str().unwrap().to_owned());
        let sent = one["out_msgs"].as_u64().unwrap();
        Some((name.to_owned(), Known { subjects: subjects.collect(), sent }))
    };
    told["connections"].as_array().unwrap().iter().filter_map(known).collect()
}

fn boot(cluster: &Cluster, node: usize) -> String {
    cluster.node(node).app().nodes.me().to_string()
}

/// A room that this node does not own.
async fn room_of_others(cluster: &Cluster, node: usize, ann: &Person) -> String {
    loop {
        let room = ann.create_room("Elsewhere").await;
        let id: RoomId = room.parse().unwrap();
        if cluster.node(node).app().nodes.owner_of(id.as_bytes()).is_some() {
            return room;
        }
    }
}

async fn says(socket: &mut Socket, words: &str) -> u64 {
    let said = socket.ask("chat", json!({"content": words})).await;
    said["message"]["seq"].as_u64().unwrap_or_else(|| panic!("{said}"))
}

#[tokio::test]
async fn a_node_without_members_of_a_room_is_sent_none_of_its_frames_as_the_server_counts() {
    const MESSAGES: u64 = 300;
    let Some(ground) = Ground::servers().await else { return };
    let cluster = Cluster::on(&ground, 3, config).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = room_of_others(&cluster, 2, &ann).await;
    let (mut here, _) = enter(cluster.node(0), &ann, &room).await;
    let (mut there, _) = enter(cluster.node(1), &ann, &room).await;
    says(&mut here, "0").await;
    there.event("chat").await;
    let (before, began) = (connections(&ground).await, Instant::now());
    for nth in 1..=MESSAGES {
        says(&mut here, &nth.to_string()).await;
    }
    let last = MESSAGES.to_string();
    while there.event("chat").await["message"]["content"] != last {}
    let (after, elapsed) = (connections(&ground).await, began.elapsed());

    let of_room = |known: &Known| known.subjects.iter().any(|subject| subject.contains(&room));
    let sent = |node: usize| after[&boot(&cluster, node)].sent - before[&boot(&cluster, node)].sent;
    for (node, serves) in [(0, true), (1, true), (2, false)] {
        assert_eq!(of_room(&after[&boot(&cluster, node)]), serves, "node {node}");
    }
    assert!(sent(1) >= MESSAGES, "{} of {MESSAGES} frames", sent(1));
    // Heartbeats of three nodes, and now and then what a node tells itself to know that its link is up.
    let others = 4 * 3 * (elapsed.as_secs() / HEARTBEAT.as_secs() + 2);
    assert!(sent(2) <= others, "{} messages in {elapsed:?}", sent(2));
    drop(cluster);
    ground.end().await;
}

/// What a forger makes of a message that was overheard.
fn forgeries(payload: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![payload.to_vec(), payload[..payload.len() / 2].to_vec()];
    let Ok(mut envelope) = serde_json::from_slice::<Value>(payload) else { return all };
    let honest = envelope.clone();
    let text = String::from_utf8_lossy(payload);
    all.push(text.replace("honest", "forged").into_bytes());
    for (field, value) in [
        ("n", json!(u32::MAX)),
        ("at", json!(honest["at"].as_i64().unwrap_or(0) + 1)),
        ("node", json!(BootId::new(1, 1))),
        ("mac", json!("")),
        ("v", json!(2)),
    ] {
        envelope[field] = value;
        all.push(envelope.to_string().into_bytes());
        envelope = honest.clone();
    }
    let Some(events) = envelope["body"]["events"].as_array_mut() else { return all };
    for event in events {
        let seq = event["seq"].as_u64().unwrap();
        event["seq"] = json!(seq + 1);
        event["body"]["text"] = json!("forged");
    }
    all.push(envelope.to_string().into_bytes());
    all
}

#[tokio::test]
async fn a_foreign_client_that_repeats_and_forges_all_that_it_hears_changes_nothing() {
    const MESSAGES: usize = 100;
    let Some(ground) = Ground::servers().await else { return };
    let cluster = Cluster::on(&ground, 2, config).await;
    let (ann, ben) = (cluster.node(0).sign_up("ann").await, cluster.node(1).sign_up("ben").await);
    let room = ann.create_room("Forged").await;
    ben.enter(&room, &ann).await;

    let port = ground.nats().port;
    let mut foreign = Foreign::connect(port, "natter", "s3cr3t").await.unwrap();
    let mut heard = foreign.listens(">").await;
    let forger = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        let mut repeated = 0;
        while let Some(message) = heard.next().await {
            // What it says itself comes back to it.
            if !seen.insert(message.payload.to_vec()) || repeated > 20_000 {
                continue;
            }
            let subject = message.subject.as_str();
            for forgery in forgeries(&message.payload) {
                seen.insert(forgery.clone());
                repeated += 1;
                match &message.reply {
                    Some(reply) => foreign.asks(subject, reply.as_str(), forgery).await,
                    None => foreign.publishes(subject, forgery).await,
                }
            }
        }
    });

    let (mut hers, _) = enter(cluster.node(0), &ann, &room).await;
    let (mut his, _) = enter(cluster.node(1), &ben, &room).await;
    let mut said = Vec::new();
    for nth in 0..MESSAGES {
        let words = format!("honest {nth}");
        let speaker = if nth % 2 == 0 { &mut hers } else { &mut his };
        said.push((says(speaker, &words).await, words));
    }
    for socket in [&mut hers, &mut his] {
        let mut told = Vec::new();
        while told.len() < MESSAGES {
            let chat = socket.event("chat").await;
            let words = chat["message"]["content"].as_str().unwrap().to_owned();
            told.push((chat["seq"].as_u64().unwrap(), words));
        }
        assert_eq!(told, said);
        let is_end = |told: &Told| matches!(told, Told::Disconnected | Told::Closed);
        assert!(!socket.unread().any(is_end));
    }
    assert_eq!(ann.history(&room, "limit=500").await.len(), MESSAGES);
    for node in 0..2 {
        let app = cluster.node(node).app();
        assert_eq!(app.nodes.others().len(), 1, "nobody else is a node");
        assert!(app.nodes.is_link_up());
        for reason in BusRefusal::all() {
            // A node that owns no room is asked nothing, so only its heartbeats can be repeated to it.
            let refused = tokio::time::timeout(DEADLINE, has_refused(app, reason)).await;
            assert!(refused.is_ok(), "node {node} has refused nothing as {reason:?}");
        }
    }
    forger.abort();
    drop(cluster);
    ground.end().await;
}

/// Waits until a node has refused something for this reason.
async fn has_refused(app: &App, reason: BusRefusal) {
    while app.metrics.bus.refused.of(reason).get() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether it is a subject of natter with ids of its own form in it.
fn is_well_formed(subject: &str) -> bool {
    let is_inbox = |parts: &[&str]| {
        parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    match subject.split('.').collect::<Vec<_>>()[..] {
        ["natter", "room", room, "events" | "signals"] => room.parse::<RoomId>().is_ok(),
        ["natter", "user", user] => user.parse::<UserId>().is_ok(),
        ["natter", "node", node] => node.parse::<BootId>().is_ok(),
        ["natter", "nodes" | "limits"] => true,
        // A node listens to all answers that are for it.
        ["natter", "inbox", boot, "*"] => boot.parse::<BootId>().is_ok(),
        ["natter", "inbox", ref parts @ ..] => is_inbox(parts),
        // What the client that listens tells itself.
        ["natter", own] => own.len() == 16 && own.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    }
}

/// Ids that would reach another subject, if they were put into one.
fn hostile(room: &str) -> Vec<String> {
    let mut all: Vec<String> =
        ["*", ">", "natter.>", "a.b", "..", "natter.nodes", "$SYS.>", "_INBOX.>", "\u{ff0e}", "0"]
            .map(str::to_owned)
            .to_vec();
    all.extend([
        format!("{room}.events"),
        format!("{}.>", &room[..22]),
        format!("{}.*", &room[..22]),
        format!("*{}", &room[1..]),
        format!("{room}\r\nPUB natter.nodes 2\r\n{{}}\r\n"),
        format!("{room} 1\r\nSUB > 99\r\n"),
        format!("{}\0", &room[..23]),
        format!("{}\t", &room[..23]),
        room.to_uppercase().replace('0', "G"),
        "*".repeat(24),
        ">".repeat(2_000),
    ]);
    all
}

fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_room_id_made_for_subject_injection_reaches_no_subject() {
    let Some(ground) = Ground::servers().await else { return };
    let cluster = Cluster::on(&ground, 2, config).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("Injected").await;
    let port = ground.nats().port;
    let mut foreign = Foreign::connect(port, "natter", "s3cr3t").await.unwrap();
    let mut heard = foreign.listens(">").await;
    let (mut session, _) = sign_on(cluster.node(0), &ann).await;
    for id in hostile(&room) {
        let path = encoded(&id);
        for (method, path, body) in [
            ("GET", format!("/chat-rooms/{path}/messages"), Value::Null),
            ("POST", format!("/chat-rooms/{path}/messages"), json!({"content": "?"})),
            ("POST", format!("/chat-rooms/{path}/typing"), json!({"is_typing": true})),
            ("PUT", format!("/chat-rooms/{path}/read-marker"), json!({"seq": 1})),
            ("GET", format!("/rooms-online-users?chat_room_id={path}"), Value::Null),
            ("POST", "/join-request".to_owned(), json!({"chat_room_id": id})),
        ] {
            let answer = match method {
                "GET" => ann.get(&path).await,
                "PUT" => ann.put(&path, body).await,
                _ => ann.post(&path, body).await,
            };
            assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.body);
        }
        for (event, mut payload) in [
            ("open_room", json!({})),
            ("close_room", json!({})),
            ("chat", json!({"content": "?"})),
            ("typing", json!({"is_typing": true})),
            ("mark_read", json!({"seq": 1})),
        ] {
            payload["chat_room_id"] = json!(id);
            let answer = session.ask(event, payload).await;
            assert_eq!(answer["ok"], false, "{event} {id:?}: {answer}");
        }
        let auth = json!({"token": ann.token, "chat_room_id": id});
        let mut socket = Socket::connect(cluster.node(1).addr(), auth).await;
        let told = socket.next().await;
        assert!(matches!(told, Told::Refused(_)), "{id:?}: {told:?}");
        let after = json!({"token": ann.token, "after": {id.as_str(): 0}});
        let mut socket = Socket::connect(cluster.node(1).addr(), after).await;
        let told = socket.next().await;
        assert!(matches!(told, Told::Connected | Told::Refused(_)), "{id:?}: {told:?}");
    }
    // What is well formed still goes through, and whatever was said came before it.
    let (mut socket, _) = enter(cluster.node(1), &ann, &room).await;
    let seq = says(&mut socket, "the end").await;
    let last = format!("natter.room.{room}.events");
    loop {
        let message = heard.next().await.unwrap();
        assert!(is_well_formed(message.subject.as_str()), "{}", message.subject);
        let is_last = message.subject.as_str() == last;
        if is_last && String::from_utf8_lossy(&message.payload).contains("the end") {
            break;
        }
    }
    assert_eq!(ann.history(&room, "").await[0]["seq"], seq);
    for (boot, known) in connections(&ground).await {
        for subject in known.subjects {
            assert!(is_well_formed(&subject), "{boot} listens to {subject}");
        }
    }
    drop(cluster);
    ground.end().await;
}
