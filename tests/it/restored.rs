//! A database that is restored beneath a node that runs: a real process, on real servers.

use std::net::SocketAddr;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::commands::natter;
use crate::sockets::client::{Socket, Told};
use crate::store::Place;
use crate::support::nats::free_port;
use crate::support::services::server;
use crate::support::{DEADLINE, PASSWORD, Person, http};

/// Waits until the node serves.
async fn is_ready(address: SocketAddr) {
    let url = format!("http://{address}/readyz");
    let ready = async {
        while !http::client().get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, ready).await.expect("the node serves");
}

/// What a room socket is told first, once the node serves.
async fn joined(address: SocketAddr, ann: &Person, room: &str) -> (Socket, serde_json::Value) {
    let auth = json!({"token": ann.token, "chat_room_id": room});
    let mut socket = Socket::connect(address, auth).await;
    assert_eq!(socket.next().await, Told::Connected);
    let joined = socket.event("joined").await;
    (socket, joined)
}

#[tokio::test]
async fn a_node_whose_store_was_restored_beneath_it_begins_anew_and_tells_the_new_epoch() {
    let (Some(place), Some(nats)) = (Place::new().await, server("NATTER_TEST_NATS_URL")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = address.to_string();
    let variables = [
        ("SECRET_KEY", crate::support::SECRET),
        ("NATTER_LISTEN", listen.as_str()),
        ("NATTER_METRICS_LISTEN", "127.0.0.1:0"),
        ("NATTER_INTERNAL_LISTEN", "127.0.0.1:0"),
        ("NATTER_STORE_URL", place.uri.expose()),
        ("NATTER_BUS_URL", nats.as_str()),
        ("NATTER_MEDIA_URL", "s3://natter-test"),
        ("NATTER_MEDIA_ENDPOINT", "http://127.0.0.1:9"),
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "asks for it"),
        ("NATTER_AUTH_BCRYPT_COST", "4"),
    ];
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut command = natter(folder.path(), &["serve"], &variables);
    let mut process = command.stderr(log).spawn().unwrap();
    is_ready(address).await;
    let nobody = Person::anonymous(format!("http://{address}"));
    let email = "ann@example.org";
    let account = json!({"email": email, "username": "ann", "password": PASSWORD});
    nobody.post("/signup", account).await.is(201);
    let token = nobody.token("ann", PASSWORD).await.is(200);
    let token = token["access_token"].as_str().unwrap();
    let ann = Person::with_token(format!("http://{address}"), token);
    let room = ann.create_room("Restored").await;
    let (mut socket, before) = joined(address, &ann, &room).await;
    let said = ann.say(&room, "before").await;

    // What `natter admin restored` does, while the node has the store open all the same: one that was stopped for a
    // while, or cut off, is not seen to have it.
    let facts = place.database().collection::<Document>("facts");
    let next = doc! { "$bit": { "value": { "xor": 1_i64 } } };
    facts.update_one(doc! { "_id": "epoch" }, next).await.unwrap();
    let closed = async { while socket.next().await != Told::Closed {} };
    timeout(DEADLINE, closed).await.expect("the client is sent away");

    let deadline = Instant::now() + DEADLINE;
    let after = loop {
        is_ready(address).await;
        let (_socket, after) = joined(address, &ann, &room).await;
        if after["epoch"] != before["epoch"] {
            break after;
        }
        assert!(Instant::now() < deadline, "it should have begun anew by now");
    };
    assert_eq!(after["seq"], said["seq"]);
    // A message is named with the epoch, and so is none of this life.
    let more = format!("/chat-rooms/{room}/messages?before={}", said["id"].as_str().unwrap());
    ann.get(&more).await.refused(404, "not_found");
    assert_eq!(ann.words(&room, "").await, ["before"]);
    assert!(process.try_wait().unwrap().is_none(), "it is the same process still");
    process.kill().await.unwrap();
    place.end().await;
}
