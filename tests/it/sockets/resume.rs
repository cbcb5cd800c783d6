//! Coming back: what was missed, then live.

use serde_json::{Value, json};

use super::client::{Socket, Told};
use super::{enter, room_of, sign_on, token};
use crate::support::{Person, TestNode};

async fn say(person: &Person, room: &str, text: &str) -> Value {
    let path = format!("/chat-rooms/{room}/messages");
    person.post(&path, json!({"content": text})).await.is(201)
}

#[tokio::test]
async fn a_room_socket_resumes_behind_what_it_has_seen() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let (socket, joined) = enter(&node, &ann, &room).await;
    socket.close().await;
    for text in ["one", "two", "three"] {
        say(&ann, &room, text).await;
    }
    let mut tail = 4;
    for after in [json!({"seq": 2, "epoch": joined["epoch"]}), json!(2)] {
        let auth = json!({"token": token(&ann), "chat_room_id": room, "after": {&room: after}});
        let mut socket = Socket::connect(node.addr(), auth).await;
        assert_eq!(socket.event("joined").await["seq"], tail);
        for seq in 3..=tail {
            assert_eq!(socket.event("chat").await["seq"], seq);
        }
        let ack = socket.ask("chat", json!({"content": "live"})).await;
        tail += 1;
        assert_eq!(
            (&ack["message"]["seq"], &socket.event("chat").await["seq"]),
            (&json!(tail), &json!(tail))
        );
        socket.close().await;
    }
}

#[tokio::test]
async fn another_epoch_or_too_long_a_past_is_told_with_the_newest_page() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let (mut socket, joined) = enter(&node, &ann, &room).await;
    for nth in 0..1100 {
        socket.queue(&format!("42{nth}{}", json!(["chat", {"content": nth.to_string()}]))).await;
    }
    socket.flush().await;
    for nth in 0..1100 {
        let answer = socket.answer(nth).await;
        assert_eq!(answer["message"]["seq"], nth + 2, "{answer}");
    }
    let epoch = &joined["epoch"];
    let pasts = [
        json!({"seq": 1101, "epoch": "00000000"}),
        json!({"seq": 5, "epoch": "not one"}),
        json!({"seq": 5000, "epoch": epoch}),
        json!({"seq": 100, "epoch": epoch}),
        json!(5000),
    ];
    for after in pasts {
        let auth = json!({"token": token(&ann), "chat_room_id": room, "after": {&room: after}});
        let mut socket = Socket::connect(node.addr(), auth).await;
        let truncated = socket.event("resume_truncated").await;
        assert_eq!((&truncated["seq"], &truncated["epoch"]), (&json!(1101), epoch), "{after}");
        let messages = truncated["messages"].as_array().unwrap();
        assert_eq!((messages.len(), &messages[49]["content"]), (50, &json!("1099")));
    }
    let auth = json!({"token": token(&ann), "chat_room_id": room, "after": {&room: {"seq": 101, "epoch": epoch}}});
    let mut socket = Socket::connect(node.addr(), auth).await;
    for seq in 102..=1101 {
        assert_eq!(socket.event("chat").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_session_socket_resumes_every_room_and_learns_which_are_gone() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let (kept, left) = (room_of(&ann, &[&ben]).await, room_of(&ann, &[&ben]).await);
    let (socket, ready) = sign_on(&node, &ben).await;
    let epoch = ready["rooms"][0]["epoch"].clone();
    socket.close().await;
    say(&ann, &kept, "missed").await;
    let gone = ben.delete(&format!("/chat-rooms/{left}/members/me")).await;
    assert_eq!(gone.status, 204);
    let after = json!({&kept: {"seq": 2, "epoch": epoch}, &left: {"seq": 2, "epoch": epoch}, "f".repeat(24): 7});
    let mut socket =
        Socket::connect(node.addr(), json!({"token": token(&ben), "after": after})).await;
    let ready = socket.event("ready").await;
    let rooms: Vec<&Value> =
        ready["rooms"].as_array().unwrap().iter().map(|one| &one["chat_room_id"]).collect();
    assert_eq!(rooms, [&json!(kept)]);
    assert_eq!(socket.event("chat").await["message"]["content"], "missed");
    say(&ann, &kept, "live").await;
    assert_eq!(socket.event("chat").await["message"]["content"], "live");
}

#[tokio::test]
async fn the_first_thing_told_is_where_the_socket_stands() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    say(&ann, &room, "before").await;
    let auth = json!({"token": token(&ann), "chat_room_id": room});
    let mut socket = Socket::connect(node.addr(), auth).await;
    let mut names = Vec::new();
    while names.len() < 3 {
        if let Told::Event(name, _) = socket.next().await {
            names.push(name);
        }
    }
    assert_eq!(names, ["joined", "initial_messages", "online_users"]);
}
