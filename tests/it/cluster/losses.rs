//! What the bus loses is found in the store, and what is said without a store is refused.

use std::sync::atomic::Ordering;

use natter::bus::Subject;
use natter::domain::UserId;
use natter::metrics::FullQueue;
use natter::store::{MembershipStore, RoomStore};
use serde_json::json;

use super::online::patient;
use crate::sockets::client::{Socket, Told};
use crate::sockets::{enter, sign_on, token};
use crate::support::{Cluster, DEADLINE};

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
async fn who_is_removed_while_the_list_of_rooms_is_read_hears_of_it_or_comes_back_and_is_told_nothing()
 {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let (ann, ben) = (node.sign_up("ann").await, node.sign_up("ben").await);
    let room = ann.create_room("Left").await;
    ben.enter(&room, &ann).await;
    let (user, id) = (ben.id().parse().unwrap(), room.parse().unwrap());
    let before = cluster.store().room_ids_of(user).await.unwrap();
    ann.delete(&format!("/chat-rooms/{room}/members/{}", ben.id())).await.is(204);
    ann.say(&room, "he is gone").await;
    let tail = cluster.store().room_state(id).await.unwrap().unwrap().tail;
    // He was in the room when it was read who is where; its tail was read before that, or when he was gone.
    cluster.store().lists(Some(before));
    let (mut told, ready) = sign_on(node, &ben).await;
    assert_eq!(told.event("member_removed").await["seq"], 3);
    // Whoever was further back hears all of it.
    let after = json!({"seq": 1, "epoch": ready["rooms"][0]["epoch"]});
    let auth = json!({"token": token(&ben), "after": {room.clone(): after}});
    let mut resumed = Socket::connect(node.addr(), auth).await;
    assert_eq!(resumed.event("member_removed").await["seq"], 3);
    let is_added = |told: &Told| matches!(told, Told::Event(name, _) if name == "member_added");
    assert!(resumed.unread().any(is_added), "a gap");
    cluster.store().lists(Some(vec![(id, tail)]));
    // It may be closed before the list comes, or behind it.
    let mut sent_back = Socket::connect(node.addr(), json!({"token": token(&ben)})).await;
    ann.say(&room, "nothing for him").await;
    sent_back.until(|told| *told == Told::Closed).await;
    let is_of_room = |told: &Told| matches!(told, Told::Event(name, _) if name != "ready");
    assert!(!sent_back.unread().any(is_of_room));
    cluster.store().lists(None);
    let (_back, ready) = sign_on(node, &ben).await;
    assert_eq!(ready["rooms"], json!([]));
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

#[tokio::test]
async fn once_the_store_is_silent_for_long_what_is_said_is_refused_at_once_and_stored_when_it_comes_again()
 {
    let cluster = Cluster::with(2, patient).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("Silent").await;
    let (mut here, _) = enter(cluster.node(0), &ann, &room).await;
    let (mut there, _) = enter(cluster.node(1), &ann, &room).await;
    let said = |words: &str| json!({"content": words, "client_id": words});
    assert_eq!(here.ask("chat", said("before")).await["ok"], true);
    cluster.store().set_away(true);
    // Nobody knows what becomes of the first; what waits behind it is not tried.
    let first = here.ask("chat", said("first")).await;
    assert_eq!(first["error"]["code"], "unknown", "{first}");
    let mut tried: u64 = 1;
    for socket in [&mut here, &mut there] {
        let refused = async {
            loop {
                let answer = socket.ask("chat", said("second")).await;
                tried += 1;
                match answer["error"]["code"].as_str().unwrap() {
                    "unavailable" => break answer,
                    code => assert!(["overloaded", "unknown"].contains(&code), "{answer}"),
                }
            }
        };
        let refused = tokio::time::timeout(DEADLINE, refused).await.expect("to be refused ahead");
        assert_eq!(refused["error"]["retry_after"], 1, "{refused}");
    }
    let commits = || {
        let metrics = |node| cluster.node(node).app().metrics.clone();
        let refused = |node| metrics(node).queues.refused.of(FullQueue::Writer).get();
        refused(0) + refused(1)
    };
    let before = commits();
    for nth in 0..50 {
        for socket in [&mut here, &mut there] {
            let answer = socket.ask("chat", said(&format!("{nth}"))).await;
            assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
        }
    }
    // What was asked before and still waits at a writer may have its end just now.
    let (after, asked) = (commits(), before + tried);
    assert!(tried < 100 && after <= asked, "none of it waits for a writer: {before}, {after}");

    cluster.store().set_away(false);
    for words in ["first", "second"] {
        let stored = async { while here.ask("chat", said(words)).await["ok"] != json!(true) {} };
        tokio::time::timeout(DEADLINE, stored).await.expect("to be stored");
    }
    assert_eq!(ann.words(&room, "").await, ["before", "first", "second"]);
}
