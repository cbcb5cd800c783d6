//! What the library does by itself, and natter must not let through.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{DEADLINE, Socket, Told};
use super::{enter, room_of, sign_on, token};
use crate::support::{Answer, TestNode};

/// Waits until `condition` holds.
pub(super) async fn wait(what: &str, condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not happen");
}

#[tokio::test]
async fn what_a_client_says_with_its_first_breath_is_heard() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    for nth in 0..100 {
        let mut socket = Socket::open(node.addr()).await;
        let auth = json!({"token": token(&ann), "chat_room_id": room});
        socket.queue(&format!("40{auth}")).await;
        socket.flush().await;
        assert_eq!(socket.next().await, Told::Connected);
        socket.say(&format!("421{}", json!(["chat", {"content": nth.to_string()}]))).await;
        assert_eq!(socket.answer(1).await["ok"], true);
    }
}

#[tokio::test]
async fn what_a_client_says_behind_its_goodbye_is_not_heard() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let (mut witness, _) = enter(&node, &ann, &room).await;
    for _ in 0..20 {
        let (mut socket, _) = enter(&node, &ann, &room).await;
        socket.queue("41").await;
        socket.queue(&format!("421{}", json!(["chat", {"content": "ghost"}]))).await;
        socket.queue("1").await;
        socket.flush().await;
        assert_eq!(socket.until(|told| *told == Told::Closed).await, Told::Closed);
        wait("its end", || node.app().rooms.connections() == 1).await;
        assert_eq!(witness.ask("chat", json!({"content": "alive"})).await["ok"], true);
    }
    assert_eq!(ann.words(&room, "limit=500").await, ["alive"; 20]);
}

#[tokio::test]
async fn a_thousand_pipelined_messages_arrive_everywhere_in_order() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let room = room_of(&ann, &[&ben]).await;
    let (mut hers, _) = enter(&node, &ann, &room).await;
    let (mut his, _) = enter(&node, &ben, &room).await;
    for nth in 0..1000 {
        hers.queue(&format!("42{nth}{}", json!(["chat", {"content": nth.to_string()}]))).await;
    }
    hers.flush().await;
    for nth in 0..1000 {
        assert_eq!(hers.answer(nth).await["message"]["seq"], nth + 3);
        for socket in [&mut hers, &mut his] {
            let told = socket.event("chat").await;
            assert_eq!(
                (&told["seq"], &told["message"]["content"]),
                (&json!(nth + 3), &json!(nth.to_string()))
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go_and_holds_up_nobody() {
    let node = TestNode::start().await;
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let room = room_of(&ann, &[&ben]).await;
    let (_stuck, _) = enter(&node, &ben, &room).await;
    let (mut hers, _) = enter(&node, &ann, &room).await;
    let long = "x".repeat(16_000);
    // More than the kernel buffers of a loopback connection hold, and the mebibyte that may wait beside them.
    for nth in 0..1500 {
        let ack = hers.ask("chat", json!({"content": long})).await;
        assert_eq!(ack["ok"], true, "{nth}: {ack}");
        if node.app().rooms.connections() == 1 {
            break;
        }
    }
    wait("the end of the one that does not read", || node.app().rooms.connections() == 1).await;
    assert_eq!(hers.ask("chat", json!({"content": "on we go"})).await["ok"], true);
}

#[tokio::test]
async fn nothing_stays_of_those_who_are_gone() {
    let node =
        TestNode::with(|config| config.presence.leave_grace = Duration::from_millis(100)).await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    for nth in 0..50 {
        let mut socket =
            Socket::connect(node.addr(), json!({"token": token(&ann), "chat_room_id": room})).await;
        if nth % 2 == 0 {
            socket.event("joined").await;
        }
        socket.close().await;
    }
    let id = room.parse().unwrap();
    wait("the end of all connections", || node.app().rooms.connections() == 0).await;
    let is_present = || node.app().rooms.known(id).is_some_and(|room| !room.online().is_empty());
    wait("the end of presence", || !is_present()).await;
}

#[tokio::test]
async fn a_polling_session_goes_over_any_connection() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    // Each of these requests has a connection of its own.
    let fresh = || node.anonymous();
    let path = "/socket.io/?EIO=4&transport=polling";
    let open = fresh().get(path).await;
    let text = open.body.as_str().unwrap().to_owned();
    let sid = text.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("{path}&sid={sid}");
    let post = async |packet: String| {
        let request = fresh().request(reqwest::Method::POST, &path).body(packet);
        Answer::of(request).await.status
    };
    assert_eq!(
        post(format!("40{}", json!({"token": token(&ann), "chat_room_id": room}))).await,
        200
    );
    let mut told = String::new();
    while !told.contains("online_users") {
        let polled = fresh().get(&path).await;
        assert_eq!(polled.status, 200);
        told.push_str(polled.body.as_str().unwrap_or_default());
    }
    assert_eq!(post(format!("421{}", json!(["chat", {"content": "by post"}]))).await, 200);
    told.clear();
    while !told.contains("431[") {
        told.push_str(fresh().get(&path).await.body.as_str().unwrap_or_default());
    }
    assert!(told.contains("by post"));
    // What the server ends is refused, and the waiting poll with it.
    ann.post("/users/me/log-out-everywhere", json!({})).await;
    wait("the end of the session", || node.app().rooms.connections() == 0).await;
}

#[tokio::test]
async fn a_session_that_is_nobodys_is_sent_back_to_the_handshake() {
    let node = TestNode::start().await;
    for sid in ["nonsense", "AAAAAAAAAAAAAAAA", "..%2f..", ""] {
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let answer = node.anonymous().get(&path).await;
        assert_eq!(answer.status, 400, "{sid}: {}", answer.body);
    }
}

#[tokio::test]
async fn before_it_is_known_who_they_are_clients_may_say_little() {
    let node = TestNode::start().await;
    let mut tcp = TcpStream::connect(node.addr()).await.unwrap();
    let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(upgrade.as_bytes()).await.unwrap();
    // A text frame of 4 MiB, masked with zeros, of which the server need not take all.
    let mut frame = vec![0x81, 0xff];
    frame.extend((4u64 << 20).to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(4 << 20, b'4');
    let _ = tcp.write_all(&frame).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server goes on listening");
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_no_more() {
    let node =
        TestNode::with(|config| config.limits.sockets_per_user = natter::config::Limit::new(2))
            .await;
    let ann = node.sign_up("ann").await;
    let (_one, _) = sign_on(&node, &ann).await;
    let (two, _) = sign_on(&node, &ann).await;
    let mut third = Socket::connect(node.addr(), json!({"token": token(&ann)})).await;
    assert!(
        matches!(third.next().await, Told::Refused(message) if message.starts_with("rate_limited: "))
    );
    two.close().await;
    wait("a free place", || node.app().rooms.connections() == 1).await;
    sign_on(&node, &ann).await;
}

#[tokio::test]
async fn who_says_too_much_is_told_so_for_all_that_is_too_much() {
    let node = TestNode::with(|config| {
        config.limits.message_burst = natter::config::Limit::new(5);
        config.limits.messages_per_second = natter::config::Limit::new(1);
    })
    .await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let (mut socket, _) = enter(&node, &ann, &room).await;
    for nth in 0..20 {
        socket.queue(&format!("42{nth}{}", json!(["chat", {"content": nth.to_string()}]))).await;
    }
    socket.flush().await;
    for nth in 0..20 {
        let answer = socket.answer(nth).await;
        if nth < 5 {
            assert_eq!(answer["message"]["seq"], nth + 2);
        } else {
            assert_eq!(answer["error"]["code"], "rate_limited", "{nth}: {answer}");
            assert!(answer["error"]["retry_after"].as_u64() >= Some(1));
        }
    }
}

#[tokio::test]
async fn an_event_whose_file_does_not_come_ends_the_connection() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let room = room_of(&ann, &[]).await;
    let half = format!("451-{}", json!(["chat", {"file": {"_placeholder": true, "num": 0}}]));
    let (mut socket, _) = enter(&node, &ann, &room).await;
    socket.say(&half).await;
    while socket.next().await != Told::Closed {}

    let path = "/socket.io/?EIO=4&transport=polling";
    let open = node.anonymous().get(path).await;
    let sid = open.body.as_str().unwrap().split("\"sid\":\"").nth(1).unwrap().split('"').next();
    let path = format!("{path}&sid={}", sid.unwrap());
    let post = async |packets: &str| {
        let request = node.anonymous().request(reqwest::Method::POST, &path);
        Answer::of(request.body(packets.to_owned())).await.status
    };
    assert_eq!(
        post(&format!("40{}", json!({"token": token(&ann), "chat_room_id": room}))).await,
        200
    );
    let mut told = String::new();
    while !told.contains("online_users") {
        told.push_str(node.anonymous().get(&path).await.body.as_str().unwrap_or_default());
    }
    // A whole one is taken, in one post or in two.
    assert_eq!(post(&format!("{half}\u{1e}bQUJD")).await, 200);
    assert_eq!(post(&half).await, 200);
    assert_eq!(post("bQUJD").await, 200);
    assert_eq!(post(&half).await, 200);
    while node.anonymous().get(&path).await.status == 200 {
        post("3").await; // Pongs do not help.
    }
}
