//! Socket.IO through a real node: what clients are told, and the library's traps (docs/ARCHITECTURE.md, "Sockets").

pub(crate) mod client;
mod memory;
#[path = "../shared/packet.rs"]
mod packet;
mod resume;
mod talk;
mod traps;
mod turns;

use serde_json::{Value, json};

use crate::support::{Person, TestNode};
use client::{Socket, Told};

/// A group room of `owner` with these members; its id.
async fn room_of(owner: &Person, members: &[&Person]) -> String {
    let made = owner.post("/chat-rooms", json!({"name": "Room"})).await.body;
    let id = made["chat_room"]["id"].as_str().unwrap().to_owned();
    for member in members {
        let request = member.post("/join-request", json!({"chat_room_id": id})).await.body;
        let answer = json!({"join_request_id": request["id"], "approval_status": true});
        let handled = owner.post("/handle-join-request", answer).await;
        assert!(handled.status < 300, "{}", handled.body);
    }
    id
}

pub(crate) fn token(person: &Person) -> &str {
    person.token.as_deref().unwrap()
}

/// A room socket that has been told where it stands.
pub(crate) async fn enter(node: &TestNode, person: &Person, room: &str) -> (Socket, Value) {
    let auth = json!({"token": token(person), "chat_room_id": room});
    let mut socket = Socket::connect(node.addr(), auth).await;
    assert_eq!(socket.next().await, Told::Connected);
    let joined = socket.event("joined").await;
    socket.event("online_users").await;
    (socket, joined)
}

/// A session socket that has been told where it stands.
pub(crate) async fn sign_on(node: &TestNode, person: &Person) -> (Socket, Value) {
    let mut socket = Socket::connect(node.addr(), json!({"token": token(person)})).await;
    assert_eq!(socket.next().await, Told::Connected);
    let ready = socket.event("ready").await;
    (socket, ready)
}
