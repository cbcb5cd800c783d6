//! Whose turn it is: rooms opened while a session is still being brought up, people who come and go meanwhile.

use serde_json::{Value, json};

use super::client::{Socket, Told};
use super::{enter, room_of, token};
use crate::support::TestNode;

fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_room_opened_before_its_turn_is_replayed_first() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let mut after = serde_json::Map::new();
    for _ in 0..60 {
        let room = room_of(&ann, &[]).await;
        ann.say(&room, "missed").await;
        after.insert(room, json!({"seq": 1, "epoch": ""}));
    }
    let mut socket = Socket::connect(node.addr(), json!({"token": token(&ann)})).await;
    let epoch = socket.event("ready").await["rooms"][0]["epoch"].clone();
    socket.close().await;
    for position in after.values_mut() {
        position["epoch"] = epoch.clone();
    }
    let auth = json!({"token": token(&ann), "after": after});
    let mut socket = Socket::connect(node.addr(), auth).await;
    let ready = socket.event("ready").await;
    let rooms = ready["rooms"].as_array().unwrap();
    // From the end, where the turns come last.
    for (nth, position) in rooms.iter().rev().enumerate() {
        let room = position["chat_room_id"].as_str().unwrap();
        let payload = json!({"chat_room_id": room});
        socket.say(&format!("42{nth}{}", json!(["open_room", payload]))).await;
    }
    for (nth, position) in rooms.iter().rev().enumerate() {
        let room = &position["chat_room_id"];
        let is_answer = |told: &Told| matches!(told, Told::Ack(number, _) if *number == nth as u64);
        let is_missed = |told: &Told| matches!(told, Told::Event(name, payload) if name == "chat" && payload["chat_room_id"] == *room);
        let first = socket.until(|told| is_answer(told) || is_missed(told)).await;
        assert!(is_missed(&first), "{nth}: {first:?}");
        let Told::Ack(_, answer) = socket.until(is_answer).await else { unreachable!() };
        assert_eq!((&answer["ok"], &answer["seq"]), (&json!(true), &json!(2)), "{answer}");
        assert_eq!(answer["messages"][0]["content"], "missed");
    }
    let room = rooms[0]["chat_room_id"].as_str().unwrap();
    ann.say(room, "live").await;
    assert_eq!(socket.event("chat").await["message"]["content"], "live", "each once");
}

#[tokio::test]
async fn who_comes_and_goes_while_a_client_is_brought_up_is_told() {
    let node = TestNode::with(|config| {
        config.presence.leave_grace = std::time::Duration::from_millis(100);
    })
    .await;
    let (ann, ben, cat) =
        (node.sign_up("ann").await, node.sign_up("ben").await, node.sign_up("cat").await);
    let room = room_of(&ann, &[&ben, &cat]).await;
    let (hers, _) = enter(&node, &ann, &room).await;
    let (mut writer, _) = enter(&node, &ann, &room).await;
    let long = "x".repeat(16_000);
    for nth in 0..600 {
        writer.queue(&format!("42{nth}{}", json!(["chat", {"content": long}]))).await;
    }
    writer.flush().await;
    for nth in 0..600 {
        assert_eq!(writer.answer(nth).await["ok"], true);
    }
    // More than the buffers between the two hold, so his replay stands still until he reads.
    let auth = json!({"token": token(&ben), "chat_room_id": room, "after": {&room: 3}});
    let mut his = Socket::connect_slowly(node.addr(), auth).await;
    his.event("joined").await;
    let (_cats, _) = enter(&node, &cat, &room).await;
    hers.close().await;
    writer.close().await;
    let id = room.parse().unwrap();
    let names = || -> Vec<String> {
        let live = node.app().rooms.known(id).unwrap();
        live.online().into_iter().map(|user| user.username).collect()
    };
    super::traps::wait("that the one has come and the other gone", || names() == ["cat"]).await;
    let mut told = Vec::new();
    let mut online = Vec::new();
    while told.len() < 600 || online.is_empty() {
        match his.next().await {
            Told::Event(name, payload) if name == "chat" => told.push(payload),
            Told::Event(name, payload) if name == "online_users" => online.push(payload),
            Told::Event(name, payload) if name == "join" => {
                online.push(payload["username"].clone())
            }
            Told::Closed => panic!("closed after {}", told.len()),
            _ => {}
        }
    }
    assert_eq!(seqs(&told), (4..=603).collect::<Vec<_>>());
    assert_eq!(online[0], json!(["cat"]), "{online:?}");
}
