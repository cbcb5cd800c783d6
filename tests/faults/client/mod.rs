//! Those who use the service: over HTTP, and by sockets.

pub(crate) mod http;
#[path = "../../shared/packet.rs"]
pub(crate) mod packet;
pub(crate) mod socket;

use std::net::SocketAddr;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) use http::Person;
pub(crate) use packet::Told;
pub(crate) use socket::{NotConnected, Socket};

/// Everybody's password.
const PASSWORD: &str = "correct horse battery";

/// People who sign up, or come into a room, at the same time.
const AT_ONCE: usize = 16;

/// Where a node is, for HTTP.
pub(crate) fn base(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Somebody who signs up at a node, and in.
pub(crate) async fn sign_up(node: SocketAddr, name: &str) -> Person {
    let (base, http) = (base(node), http::client());
    let email = format!("{name}@example.org");
    let account = json!({"email": email, "username": name, "password": PASSWORD});
    let made = http::answer(http.post(format!("{base}/signup")).json(&account)).await;
    let made = made.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.body);
    let form = [("username", name), ("password", PASSWORD)];
    let token = http::answer(http.post(format!("{base}/token")).form(&form)).await;
    let token = token.expect("an answer").body;
    Person::new(http, name, text(&made.body["id"]), text(&token["access_token"]))
}

/// Everybody of these names, in their order.
pub(crate) async fn sign_up_all(node: SocketAddr, names: &[String]) -> Vec<Person> {
    let coming = names.iter().map(|name| sign_up(node, name));
    futures::stream::iter(coming).buffered(AT_ONCE).collect().await
}

/// A new group room of `owner`, with these members: its id.
pub(crate) async fn create_room(node: SocketAddr, owner: &Person, members: &[&Person]) -> String {
    let made = owner.post(&base(node), "/chat-rooms", &json!({"name": "Room"})).await;
    let room = text(&made["chat_room"]["id"]).to_owned();
    let entering = futures::stream::iter(members).for_each_concurrent(AT_ONCE, async |member| {
        assert!(enter(node, owner, member, &room).await, "{} comes in", member.name);
    });
    entering.await;
    room
}

/// Lets somebody into a room of `owner`: whether that is done for sure.
pub(crate) async fn enter(node: SocketAddr, owner: &Person, member: &Person, room: &str) -> bool {
    let base = base(node);
    let wish = json!({"chat_room_id": room});
    let asked = member.call(&base, Method::POST, "/join-request", Some(&wish)).await;
    let request = match asked {
        Some(asked) if asked.status == 200 => asked.body["id"].clone(),
        // Perhaps it was asked for before, and the answer was lost.
        Some(_) => match open_request(&base, owner, member, room).await {
            Some(request) => request,
            None => return false,
        },
        None => return false,
    };
    let yes = json!({"join_request_id": request, "approval_status": true});
    let handled = owner.call(&base, Method::POST, "/handle-join-request", Some(&yes)).await;
    handled.is_some_and(|handled| handled.status == 200)
}

/// The id of the request of `member` that nobody has answered.
async fn open_request(base: &str, owner: &Person, member: &Person, room: &str) -> Option<Value> {
    let path = format!("/chat-room-details?chat_room_id={room}&limit=500");
    let details = owner.call(base, Method::GET, &path, None).await?;
    let requests = details.body["chat_room_join_requests"].as_array()?.clone();
    let is_open = |request: &&Value| {
        request["user"]["id"] == member.id.as_str() && request["approved"].is_null()
    };
    requests.iter().rev().find(is_open).map(|request| request["id"].clone())
}

/// The text of a JSON text.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
