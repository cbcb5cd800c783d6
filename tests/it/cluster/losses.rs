//! What the bus loses is found in the store.

use std::sync::atomic::Ordering;

use natter::bus::Subject;
use natter::domain::UserId;
use serde_json::json;

use crate::support::Cluster;

#[tokio::test]
async fn without_a_bus_nodes_still_hear_what_is_said_on_others() {
    let cluster = Cluster::start(2).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("Slow").await;
    let (_there, there) = cluster.node(1).connect(&ann, Some(&room)).await;
    for node in 0..2 {
        cluster.node(node).wire().cut();
    }
    for nth in 0..5 {
        ann.say(&room, &nth.to_string()).await;
    }
    there.wait_for(6).await;
    for node in 0..2 {
        cluster.node(node).wire().mend();
    }
    ann.say(&room, "again").await;
    there.wait_for(7).await;
    let told: Vec<u64> = there.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(told, (2..=7).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_comes_in_or_is_removed_is_heard_of_when_every_word_of_it_is_lost() {
    let cluster = Cluster::start(2).await;
    let (ann, ben) = (cluster.node(0).sign_up("ann").await, cluster.node(0).sign_up("ben").await);
    let room = ann.create_room("Deaf").await;
    let (session, tape) = cluster.node(1).connect(&ben, None).await;
    let user: UserId = ben.id().parse().unwrap();
    // The word of the membership is lost, and nobody knows.
    cluster.node(1).wire().deafen(Some(Subject::user(user)));
    ben.enter(&room, &ann).await;
    tape.wait_for(2).await;
    let id = room.parse().unwrap();
    assert!(session.serves(id).is_some());
    cluster.node(1).wire().deafen(Some(Subject::room_events(id)));
    ann.delete(&format!("/chat-rooms/{room}/members/{}", ben.id())).await;
    tape.wait_for(3).await;
    assert!(session.serves(id).is_none());
    assert_eq!(tape.names().last().unwrap(), "member_removed");
}

#[tokio::test]
async fn whose_session_is_revoked_is_cut_off_on_every_node_without_a_bus() {
    let cluster = Cluster::start(2).await;
    let (ann, ben) = (cluster.node(0).sign_up("ann").await, cluster.node(0).sign_up("ben").await);
    let (_his, his) = cluster.node(1).connect(&ben, None).await;
    let (_hers, hers) = cluster.node(1).connect(&ann, None).await;
    for node in 0..2 {
        cluster.node(node).wire().cut();
    }
    let path = format!("/admin/users/{}", ben.id());
    ann.patch(&path, json!({"is_disabled": true})).await.is(200);
    his.wait("the end", |tape| tape.disconnected.load(Ordering::SeqCst)).await;
    ann.post("/users/me/log-out-everywhere", json!({})).await;
    hers.wait("the end", |tape| tape.disconnected.load(Ordering::SeqCst)).await;
}
