//! The procedure of docs/OPERATIONS.md for MongoDB: an older state is put back, past natter, and clients are told.

use std::sync::Arc;

use mongodb::bson::{Document, doc};
use natter::bus::LocalBus;
use natter::node::{Node, Shared, bind};
use natter::store::mongodb::Mongodb;
use natter::store::{Access, DynStore};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::sockets::client::Socket;
use crate::sockets::enter;
use crate::store::{PATIENT, Place};
use crate::support::{DEADLINE, Person, TestNode, config_of};

async fn start(place: &Place, folder: &std::path::Path) -> TestNode {
    let store = Mongodb::open(&place.uri, Access::Node, PATIENT).await.unwrap();
    let shared = Shared { store: Arc::new(store) as DynStore, bus: Arc::new(LocalBus::shared()) };
    let mut config = config_of(folder);
    config.drain_grace = std::time::Duration::from_secs(2);
    let socket = bind(&config).unwrap();
    TestNode::of(Node::start_with(config, socket, shared).await.unwrap())
}

async fn stop(node: TestNode) {
    let hurry = CancellationToken::new();
    hurry.cancel();
    node.into_node().drain(&hurry).await;
}

/// Every document of every collection.
async fn dump(place: &Place) -> Vec<(String, Vec<Document>)> {
    use futures::TryStreamExt;
    let database = place.database();
    let mut all = Vec::new();
    for name in database.list_collection_names().await.unwrap() {
        let found = database.collection::<Document>(&name).find(doc! {}).await.unwrap();
        all.push((name, found.try_collect().await.unwrap()));
    }
    all
}

/// Puts these documents in the place of those that are there; indexes stay.
async fn put_back(place: &Place, dump: Vec<(String, Vec<Document>)>) {
    let database = place.database();
    for name in database.list_collection_names().await.unwrap() {
        database.collection::<Document>(&name).delete_many(doc! {}).await.unwrap();
    }
    for (name, documents) in dump {
        if !documents.is_empty() {
            database.collection::<Document>(&name).insert_many(documents).await.unwrap();
        }
    }
}

/// `natter` with the settings of a cluster on `place`; only its store is there.
async fn natter(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_natter"));
    command.args(arguments).env_clear().current_dir(folder.path()).envs([
        ("NATTER_STORE_URL", place.uri.expose()),
        ("NATTER_BUS_URL", "nats://127.0.0.1:4222"),
        ("NATTER_MEDIA_URL", "s3://bucket"),
        ("SECRET_KEY", crate::support::SECRET),
    ]);
    let output = tokio::time::timeout(2 * DEADLINE, command.output()).await.unwrap().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), told)
}

async fn say(person: &Person, room: &str, text: &str) -> serde_json::Value {
    person.post(&format!("/chat-rooms/{room}/messages"), json!({"content": text})).await.is(201)
}

#[tokio::test]
async fn an_older_state_that_was_put_back_is_told_to_every_client() {
    let Some(place) = Place::new().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = start(&place, folder.path()).await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("lobby").await;
    say(&ann, &room, "in the dump").await;
    let dumped = dump(&place).await;
    for lost in ["one", "two", "three"] {
        say(&ann, &room, lost).await;
    }
    let (socket, joined) = enter(&node, &ann, &room).await;
    socket.close().await;
    // A node is there: nothing is done.
    let (code, told) = natter(&place, &["admin", "restored"]).await;
    assert!(code == Some(1) && told.contains("stop all nodes first"), "{code:?} {told}");
    stop(node).await;

    put_back(&place, dumped).await;
    // The dump says that a node has the store open: it was taken while one ran.
    place.database().collection::<Document>("nodes").delete_many(doc! {}).await.unwrap();
    for arguments in [&["migrate"][..], &["admin", "restored"]] {
        let (code, told) = natter(&place, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {told}");
    }
    let node = start(&place, folder.path()).await;
    let ann = Person::with_token(node.url(), ann.token.as_deref().unwrap());
    // Its positions go on where the dump ends, so others stand where the client has seen some.
    for (seq, text) in (3..).zip(["other one", "other two", "other three", "other four"]) {
        assert_eq!(say(&ann, &room, text).await["seq"], seq);
    }
    let after = json!({&room: {"seq": joined["seq"], "epoch": joined["epoch"]}});
    let auth = json!({"token": ann.token, "chat_room_id": room, "after": after});
    let mut socket = Socket::connect(node.addr(), auth).await;
    let told = socket.event("resume_truncated").await;
    assert_ne!(told["epoch"], joined["epoch"]);
    let texts: Vec<_> =
        told["messages"].as_array().unwrap().iter().map(|one| one["content"].clone()).collect();
    assert_eq!(texts, ["in the dump", "other one", "other two", "other three", "other four"]);
    stop(node).await;
    place.end().await;
}
