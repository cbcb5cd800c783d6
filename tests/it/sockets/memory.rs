//! What a connection costs in memory (docs/ARCHITECTURE.md, "Sockets"), in a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::client::{Socket, Told};
use super::{room_of, token};
use crate::commands::Serving;
use crate::support::{PASSWORD, Person};

/// Connections that are weighed together, and how often: what the process takes in advance is in one of these, not in all.
const SOCKETS: usize = 150;
const BATCHES: usize = 3;

/// A head as browsers with many cookies have it. The server reads it into a buffer of its size.
const HEAD: usize = 15_000;

async fn ann(address: SocketAddr) -> Person {
    let url = format!("http://{address}");
    let one = Person::anonymous(url.clone());
    let body = json!({"email": "ann@example.org", "username": "ann", "password": PASSWORD});
    one.post("/signup", body).await.is(201);
    let token = one.token("ann", PASSWORD).await.is(200);
    Person::with_token(url, token["access_token"].as_str().unwrap())
}

/// A room socket whose handshake had a long head, and that has heard all it is told at first.
async fn enter(address: SocketAddr, ann: &Person, room: &str) -> Socket {
    let mut socket = Socket::open_with_head(address, &"x".repeat(HEAD)).await;
    socket.say(&format!("40{}", json!({"token": token(ann), "chat_room_id": room}))).await;
    assert_eq!(socket.next().await, Told::Connected);
    socket.event("online_users").await;
    socket
}

/// The least that the process has had by now, as memory that was let go is given back a little later.
async fn settled(node: &Serving) -> u64 {
    let mut least = node.resident();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        least = least.min(node.resident());
    }
    least
}

#[tokio::test]
async fn an_idle_connection_keeps_neither_its_head_nor_what_a_burst_needed() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // Nobody answers pings while the others come.
    let variables = [("NATTER_AUTH_BCRYPT_COST", "4"), ("NATTER_SOCKET_PING_TIMEOUT", "5m")];
    let node = Serving::start(&variables).await;
    let ann = ann(node.address()).await;
    let room = room_of(&ann, &[]).await;
    let mut sockets = Vec::new();
    let mut costs = Vec::new();
    for _ in 0..BATCHES {
        let before = settled(&node).await;
        for _ in 0..SOCKETS {
            sockets.push(enter(node.address(), &ann, &room).await);
        }
        costs.push(settled(&node).await.saturating_sub(before) / SOCKETS as u64);
    }
    // 50 KB in a debug build; 80 KB if the head is kept.
    assert!(costs.iter().min() < Some(&70_000), "an idle connection costs {costs:?} bytes");

    let idle = settled(&node).await;
    for nth in 0..20 {
        let event = json!(["chat", {"content": "x".repeat(4096)}]);
        sockets[0].queue(&format!("42{nth}{event}")).await;
    }
    sockets[0].flush().await;
    for socket in &mut sockets {
        for _ in 0..20 {
            socket.event("chat").await;
        }
    }
    // 70 KB, for two slices may be on their way; 180 KB if a burst is handed over at once.
    let kept = settled(&node).await.saturating_sub(idle) / sockets.len() as u64;
    assert!(kept < 125_000, "a burst leaves {kept} bytes with each of its listeners");
}
