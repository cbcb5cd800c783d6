//! What becomes of clients when an older state of the store is restored.

use serde_json::json;

use crate::sockets::client::{Socket, Told};
use crate::sockets::token;
use crate::support::{Cluster, PASSWORD};
use natter::store::Store;

#[tokio::test]
async fn who_comes_back_after_a_restore_is_told_that_the_past_is_another() {
    let mut cluster = Cluster::start(2).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("Restored").await;
    ann.say(&room, "hello").await;
    let old = cluster.store.epoch().await.unwrap();
    for node in 0..2 {
        cluster.kill(node);
    }
    let new = cluster.store.renew_epoch().await.unwrap();
    assert_ne!(old, new);
    for node in 0..2 {
        cluster.start_node(node, |_| ()).await;
    }
    cluster.is_acquainted().await;
    for node in 0..2 {
        let ann = cluster.node(node).sign_in("ann", PASSWORD).await;
        let after = json!({&room: {"seq": 1, "epoch": old.to_string()}});
        let auth = json!({"token": token(&ann), "after": after});
        let mut socket = Socket::connect(cluster.node(node).addr(), auth).await;
        assert_eq!(socket.next().await, Told::Connected);
        let told = socket.event("resume_truncated").await;
        assert_eq!((&told["chat_room_id"], &told["seq"]), (&json!(room), &json!(2)));
        assert_eq!(told["epoch"], json!(new.to_string()));
        assert_eq!(told["messages"][0]["content"], "hello");
    }
}
