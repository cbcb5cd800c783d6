//! How long messages are kept: who says so, what goes, and what clients see of it.

use std::time::Duration;

use natter::domain::{Retention, Timestamp};
use natter::jobs::{media_gc, retention};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::sockets::client::Socket;
use crate::sockets::enter;
use crate::support::{Answer, Person, TestNode};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn path(room: &str) -> String {
    format!("/chat-rooms/{room}/retention")
}

async fn say(person: &Person, room: &str, message: Value) -> Value {
    person.post(&format!("/chat-rooms/{room}/messages"), message).await.is(201)
}

async fn upload(person: &Person, room: &str) -> Value {
    let form = Form::new().part("file", Part::bytes(&b"some bytes"[..]).file_name("note.bin"));
    let path = format!("/chat-rooms/{room}/attachments");
    Answer::of(person.request(Method::POST, &path).multipart(form)).await.is(201)
}

/// The room in the list of its member.
async fn entry(person: &Person, room: &str) -> Value {
    let rooms = person.post("/user/submitted-chat-rooms", json!({"is_group": true})).await.is(200);
    let found = rooms.as_array().unwrap().iter().find(|entry| entry["id"] == room);
    found.unwrap().clone()
}

#[tokio::test]
async fn an_owner_may_shorten_what_the_server_keeps_and_an_administrator_do_as_they_like() {
    let node = TestNode::with(|config| config.retention = Retention::Days(90)).await;
    let (boss, ann, ben) =
        (node.sign_up("boss").await, node.sign_up("ann").await, node.sign_up("ben").await);
    let room = ann.create_room("lobby").await;
    ben.enter(&room, &ann).await;
    let holds = |days: Value, effective: u32| json!({"chat_room_id": room, "days": days, "effective_days": effective});
    assert_eq!(ben.get(&path(&room)).await.is(200), holds(Value::Null, 90));
    for (days, effective) in [(json!(30), 30), (json!(90), 90), (Value::Null, 90)] {
        let set = ann.put(&path(&room), json!({"days": days})).await.is(200);
        assert_eq!(set, holds(days, effective));
    }
    for wrong in [
        json!({"days": 91}),
        json!({"days": 0}),
        json!({}),
        json!({"days": -1}),
        json!({"days": "7"}),
    ] {
        ann.put(&path(&room), wrong).await.refused(422, "invalid");
    }
    ben.put(&path(&room), json!({"days": 1})).await.refused(403, "forbidden");
    let of_admin = format!("/admin{}", path(&room));
    for days in [0, 36_500] {
        let set = boss.put(&of_admin, json!({"days": days})).await.is(200);
        assert_eq!(set, holds(json!(days), days));
    }
    boss.put(&of_admin, json!({"days": 36_501})).await.refused(422, "invalid");
    assert_eq!(ben.get(&path(&room)).await.is(200), holds(json!(36_500), 36_500));
    // A private room is nobody's to govern but administration's.
    let pair = json!({"addressed_users_id": ben.id()});
    let pair = ann.post("/pv-chat-room", pair).await.is(200);
    let private = pair["chat_room"]["id"].as_str().unwrap();
    ann.put(&path(private), json!({"days": 1})).await.refused(403, "forbidden");
    boss.put(&format!("/admin{}", path(private)), json!({"days": 1})).await.is(200);
    assert_eq!(ben.get(&path(private)).await.is(200)["effective_days"], 1);
}

#[tokio::test]
async fn what_is_older_goes_and_whoever_comes_back_later_is_told() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let (kept, room) = (ann.create_room("kept").await, ann.create_room("lobby").await);
    ben.enter(&room, &ann).await;
    say(&ann, &kept, json!({"content": "for ever"})).await;
    let first = say(&ann, &room, json!({"content": "one"})).await;
    let file = upload(&ann, &room).await;
    let with_file =
        say(&ann, &room, json!({"content": "a file", "attachment_id": file["id"]})).await;
    ann.put(&path(&room), json!({"days": 1})).await.is(200);
    let (socket, joined) = enter(&node, &ben, &room).await;
    socket.close().await;
    assert_eq!(joined["seq"], 4);

    let now = Timestamp::now();
    retention::run_once(node.app(), now).await.unwrap();
    assert_eq!(entry(&ben, &room).await["unread"], 2, "nothing is as old as that");
    let later = now.plus(2 * DAY);
    for _ in 0..2 {
        retention::run_once(node.app(), later).await.unwrap();
    }

    let seen = entry(&ben, &room).await;
    assert_eq!(
        (&seen["unread"], &seen["seq"], &seen["last_message"]),
        (&json!(0), &json!(4), &Value::Null)
    );
    assert_eq!(entry(&ann, &kept).await["last_message"]["content"], "for ever");
    let messages = format!("/chat-rooms/{room}/messages");
    assert_eq!(ben.get(&messages).await.is(200), json!([]));
    let id = first["id"].as_str().unwrap();
    ben.get(&format!("{messages}/{id}")).await.refused(404, "not_found");
    for place in ["before", "after"] {
        assert_eq!(ben.get(&format!("{messages}?{place}={id}")).await.is(200), json!([]));
    }
    let link = with_file["file_path"].as_str().unwrap();
    ann.get(link).await.refused(404, "not_found");
    let removed = media_gc::run_once(node.app(), now).await.unwrap();
    assert_eq!(removed.uploads, 1);

    let next = say(&ann, &room, json!({"content": "goes on"})).await;
    assert_eq!((&next["seq"], &next["ordinal"]), (&json!(5), &json!(3)));
    assert_eq!(entry(&ben, &room).await["unread"], 1);
    let epoch = &joined["epoch"];
    let back = async |seq: u64| {
        let after = json!({&room: {"seq": seq, "epoch": epoch}});
        let auth = json!({"token": ben.token, "chat_room_id": room, "after": after});
        Socket::connect(node.addr(), auth).await
    };
    let told = back(2).await.event("resume_truncated").await;
    assert_eq!((&told["seq"], &told["epoch"]), (&json!(5), epoch));
    assert_eq!(told["messages"].as_array().unwrap().len(), 1);
    assert_eq!(told["messages"][0]["content"], "goes on");
    // Whoever has seen all that is gone misses nothing.
    assert_eq!(back(4).await.event("chat").await["message"]["content"], "goes on");
    let auth = json!({"token": ben.token, "after": {&room: {"seq": 3, "epoch": epoch}}});
    let mut session = Socket::connect(node.addr(), auth).await;
    assert_eq!(session.event("resume_truncated").await["chat_room_id"], json!(room));
}
