//! What people in a room say and see.

use serde_json::{Value, json};

use super::client::{Socket, Told};
use super::{enter, room_of, sign_on, token};
use crate::support::TestNode;

fn texts(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_is_acknowledged_as_it_was_stored_and_told_to_everybody() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let room = room_of(&ann, &[&ben]).await;
    let (mut hers, _) = enter(&node, &ann, &room).await;
    let (mut his, joined) = enter(&node, &ben, &room).await;
    assert_eq!(joined["seq"], 2);
    let ack = hers
        .ask("chat", json!({"content": "hello", "message_type": "text", "user_id": ben.id()}))
        .await;
    assert_eq!(ack["ok"], true, "{ack}");
    let message = &ack["message"];
    assert_eq!((&message["seq"], &message["user_id"]), (&json!(3), &json!(ann.id())));
    for socket in [&mut hers, &mut his] {
        let told = socket.event("chat").await;
        assert_eq!(&told["message"], message);
        assert_eq!((&told["seq"], &told["chat_room_id"]), (&json!(3), &json!(room)));
    }
    let (mut late, joined) = enter(&node, &ben, &room).await;
    assert_eq!(joined["seq"], 3);
    assert_eq!(texts(&late.event("initial_messages").await), ["hello"]);
}

#[tokio::test]
async fn text_goes_on_while_files_have_nowhere_to_go() {
    let (folder, away) = (TestNode::start().await, crate::support::shelf::nobody().await);
    let node = TestNode::with(|config| config.media = away).await;
    for (node, is_kept) in [(folder, true), (node, false)] {
        let ann = node.sign_up("ann").await;
        let room = room_of(&ann, &[]).await;
        let (mut socket, _) = enter(&node, &ann, &room).await;
        let file = json!({"content": "look", "message_type": "file", "file_name": "a.txt"});
        let answer = socket.ask_with_file("chat", file, b"a file").await;
        assert_eq!(answer["ok"], is_kept, "{answer}");
        if !is_kept {
            assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
        }
        let text = json!({"content": "still here", "message_type": "text"});
        let answer = socket.ask("chat", text).await;
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

#[tokio::test]
async fn presence_is_told_to_the_others_and_a_reconnect_tells_nothing() {
    let node = TestNode::with(|config| {
        config.presence.leave_grace = std::time::Duration::from_millis(700)
    })
    .await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let room = room_of(&ann, &[&ben]).await;
    let (mut hers, _) = enter(&node, &ann, &room).await;
    let auth = json!({"token": token(&ben), "chat_room_id": room});
    let mut his = Socket::connect(node.addr(), auth).await;
    assert_eq!(his.event("online_users").await, json!(["ann"]));
    let join = hers.event("join").await;
    assert_eq!((&join["username"], &join["email"]), (&json!("ben"), &json!("ben@example.org")));
    his.close().await;
    let (again, _) = enter(&node, &ben, &room).await;
    again.close().await;
    let leave = hers
        .until(|told| matches!(told, Told::Event(name, _) if name == "leave" || name == "join"))
        .await;
    assert!(
        matches!(leave, Told::Event(name, payload) if name == "leave" && payload["username"] == "ben")
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_the_answer_and_as_an_event() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let (mut socket, _) = enter(&node, &ann, &room).await;
    let cases = [
        ("chat", json!({"content": " ", "message_type": "text"}), "invalid"),
        ("chat", json!({"content": "x".repeat(20_000), "message_type": "text"}), "too_large"),
        ("chat", json!({"content": 7}), "invalid"),
        ("chat", json!("hello"), "invalid"),
        ("chat", json!(null), "invalid"),
        ("chat", json!([null, "out of an array", "text"]), "invalid"),
        ("chat", json!({"content": "a\u{0}b", "message_type": "text"}), "invalid"),
        ("chat", json!({"content": "hi", "message_type": "poem"}), "invalid"),
        ("chat", json!({"content": "hi", "message_type": "image"}), "invalid"),
        ("chat", json!({"content": "hi", "client_id": "~mine"}), "invalid"),
        ("chat", json!({"content": "hi", "chat_room_id": "000000000000000000000000"}), "invalid"),
        ("get_more_messages", json!({"oldest_message_id": "nonsense"}), "invalid"),
        ("get_more_messages", json!({"oldest_message_id": "0".repeat(48)}), "not_found"),
        ("mark_read", json!({"seq": 99}), "invalid"),
        ("mark_read", json!({"seq": -1}), "invalid"),
        ("dance", json!({}), "invalid"),
        ("typing", json!({"is_typing": "maybe"}), "invalid"),
    ];
    for (event, payload, code) in cases {
        let ack = socket.ask(event, payload.clone()).await;
        assert_eq!(
            (&ack["ok"], &ack["error"]["code"]),
            (&json!(false), &json!(code)),
            "{event} {payload}: {ack}"
        );
        let error = socket.event("error").await;
        assert_eq!((&error["event"], &error["code"]), (&json!(event), &json!(code)));
    }
    // Without a wish for an answer the event comes all the same.
    socket.say(r#"42["chat"]"#).await;
    assert_eq!(socket.event("error").await["code"], "invalid");
    let ack = socket.ask("chat", json!({"content": "still here"})).await;
    assert_eq!(ack["message"]["seq"], 2);
}

#[tokio::test]
async fn a_session_socket_serves_every_room_and_is_present_where_it_says() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let (one, other) = (room_of(&ann, &[&ben]).await, room_of(&ann, &[&ben]).await);
    let (mut hers, ready) = sign_on(&node, &ann).await;
    assert_eq!(ready["rooms"].as_array().unwrap().len(), 2);
    let (mut his, _) = sign_on(&node, &ben).await;
    for room in [&one, &other] {
        let ack = his
            .ask("chat", json!({"chat_room_id": room, "content": room, "message_type": "text"}))
            .await;
        assert_eq!(ack["ok"], true, "{ack}");
        let told = hers.event("chat").await;
        assert_eq!(
            (&told["chat_room_id"], &told["message"]["content"]),
            (&json!(room), &json!(room))
        );
    }
    let opened = hers.ask("open_room", json!({"chat_room_id": one})).await;
    assert_eq!((&opened["seq"], &opened["online_users"]), (&json!(3), &json!([])));
    assert_eq!(texts(&opened["messages"]), [one.as_str()]);
    let opened = his.ask("open_room", json!({"chat_room_id": one})).await;
    assert_eq!(opened["online_users"], json!(["ann"]));
    assert_eq!(hers.event("join").await["username"], "ben");
    let new = room_of(&ben, &[]).await;
    assert_eq!(his.event("member_added").await["chat_room_id"], json!(new));
    let unnamed = his.ask("chat", json!({"content": "where?"})).await;
    assert_eq!(unnamed["error"]["code"], "invalid");
}

#[tokio::test]
async fn who_is_removed_is_told_so_and_nothing_after() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let room = room_of(&ann, &[&ben]).await;
    let (mut hers, _) = enter(&node, &ann, &room).await;
    let (mut his, _) = enter(&node, &ben, &room).await;
    let (mut session, _) = sign_on(&node, &ben).await;
    let removed = ann.delete(&format!("/chat-rooms/{room}/members/{}", ben.id())).await;
    assert_eq!(removed.status, 204);
    hers.ask("chat", json!({"content": "he is gone"})).await;
    for socket in [&mut his, &mut session] {
        let removed = socket.event("member_removed").await;
        assert_eq!((&removed["seq"], &removed["user"]["username"]), (&json!(3), &json!("ben")));
    }
    assert_eq!(his.until(|told| *told == Told::Disconnected).await, Told::Disconnected);
    let ack = session.ask("chat", json!({"chat_room_id": room, "content": "me too"})).await;
    assert_eq!(ack["error"]["code"], "forbidden");
    let auth = json!({"token": token(&ben), "chat_room_id": room});
    let mut refused = Socket::connect(node.addr(), auth).await;
    assert!(
        matches!(refused.next().await, Told::Refused(message) if message.starts_with("forbidden: "))
    );
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why_and_no_more() {
    let node = TestNode::start().await;
    let (ann, ben, eve) =
        (node.sign_up("ann").await, node.sign_up("ben").await, node.sign_up("eve").await);
    let private = ann.post("/pv-chat-room", json!({"addressed_users_id": ben.id()})).await.body;
    let private = private["chat_room"]["id"].as_str().unwrap();
    let unknown = "f".repeat(24);
    let foreign = |token: &str, room: &str| json!({"token": token, "chat_room_id": room});
    let cases = [
        (json!({}), "unauthorized: "),
        (json!({"token": "nonsense"}), "unauthorized: "),
        (json!({"token": 7}), "invalid: "),
        (foreign(token(&eve), private), "not_found: "),
        (foreign(token(&eve), &unknown), "not_found: "),
        (foreign(token(&eve), "nonsense"), "invalid: "),
    ];
    let mut words = Vec::new();
    for (auth, code) in cases {
        let mut socket = Socket::connect(node.addr(), auth.clone()).await;
        let Told::Refused(message) = socket.next().await else { panic!("{auth} was let in") };
        assert!(message.starts_with(code), "{auth}: {message}");
        words.push(message);
    }
    assert_eq!(words[3], words[4], "a private room of others is told apart from an unknown one");
}

#[tokio::test]
async fn a_revoked_session_ends_its_sockets_for_good() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let (mut socket, _) = sign_on(&node, &ann).await;
    let answer = ann.post("/users/me/log-out-everywhere", json!({})).await;
    assert_eq!(answer.status, 204);
    assert_eq!(socket.next().await, Told::Disconnected);
    let mut refused = Socket::connect(node.addr(), json!({"token": token(&ann)})).await;
    assert!(
        matches!(refused.next().await, Told::Refused(message) if message.starts_with("unauthorized: "))
    );
}

#[tokio::test]
async fn who_comes_is_told_to_those_who_were_there_and_not_to_who_has_the_name_already() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let (ben, cat) = (node.sign_up("ben").await, node.sign_up("cat").await);
    let room = room_of(&ann, &[&ben, &cat]).await;
    let (_hers, _) = enter(&node, &ann, &room).await;
    let (mut his, _) = enter(&node, &ben, &room).await;
    let (_last, _) = enter(&node, &cat, &room).await;
    assert_eq!(his.event("join").await["username"], "cat");
}

#[tokio::test]
async fn a_crowd_is_counted_also_for_who_comes_when_the_number_stays() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let mut others = Vec::new();
    for nth in 0..100 {
        others.push(node.sign_up(&format!("other{nth}")).await);
    }
    let room = room_of(&ann, &others.iter().collect::<Vec<_>>()).await;
    let (mut hers, _) = enter(&node, &ann, &room).await;
    let mut crowd = Vec::new();
    for other in &others {
        crowd.push(enter(&node, other, &room).await.0);
    }
    let counted = |told: &Told| matches!(told, Told::Event(name, payload) if name == "presence_count" && payload["online"] == 101);
    hers.until(counted).await;
    let auth = json!({"token": token(&ann), "chat_room_id": room});
    let mut late = Socket::connect(node.addr(), auth).await;
    assert_eq!(late.event("online_users").await.as_array().unwrap().len(), 100);
    late.until(counted).await;
}

#[tokio::test]
async fn a_refusal_names_nothing_of_the_program_and_repeats_nothing_that_was_sent() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let (mut socket, _) = enter(&node, &ann, &room).await;
    let long = "y".repeat(1_000_000);
    let cases = [
        ("chat", json!(5), "payload must be an object."),
        ("chat", json!("hello"), "payload must be an object."),
        ("chat", json!([]), "payload must be an object."),
        ("chat", json!({"content": 5}), "content must be a string."),
        (
            "chat",
            json!({"content": "a", "message_type": long}),
            "message_type must be one of `text`, `image`, `file`.",
        ),
        ("typing", json!({"is_typing": long}), "is_typing must be a boolean."),
        ("typing", json!({}), "is_typing is missing."),
        ("mark_read", json!({"seq": long}), "seq must be a whole number within bounds."),
        (
            "get_more_messages",
            json!({"oldest_message_id": long}),
            "oldest_message_id must be an id.",
        ),
    ];
    for (event, payload, detail) in cases {
        let error = socket.ask(event, payload).await["error"].take();
        assert_eq!(error["detail"], detail, "{event}");
    }
    let both = json!({"attachment_id": "0".repeat(24), "message_type": "file"});
    let error = socket.ask_with_file("chat", both, b"a file").await["error"].take();
    assert_eq!(error["detail"], "attachment_id must not be given beside a file.");
}
