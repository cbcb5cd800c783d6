//! Several nodes as one service.

mod balancer;
mod internal;
mod limits;
mod line;
mod losses;
mod nats;
mod online;
mod people;
mod rotation;
mod sessions;
mod x32;

use std::time::Duration;

use natter::bus::Subject;
use natter::config::Config;
use natter::domain::RoomId;

use crate::support::{Cluster, DEADLINE, Ground, on_every_ground};

on_every_ground![
    an_account_of_one_node_is_an_account_of_all,
    a_killed_node_and_a_drained_one_are_missed_by_the_others,
];

async fn an_account_of_one_node_is_an_account_of_all(ground: &Ground) {
    let cluster = Cluster::on(ground, 2, |_| ()).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("a room").await;
    let elsewhere = cluster.node(1).sign_in("ann", crate::support::PASSWORD).await;
    elsewhere.say(&room, "from the other node").await;
    assert_eq!(ann.words(&room, "").await, ["from the other node"]);
}

async fn a_killed_node_and_a_drained_one_are_missed_by_the_others(ground: &Ground) {
    let quickly = |config: &mut Config| config.drain_grace = Duration::from_secs(4);
    let mut cluster = Cluster::on(ground, 3, quickly).await;
    let address = cluster.node(0).addr();
    cluster.kill(0);
    cluster.is_acquainted().await;
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err(), "a killed node listens no more");
    cluster.drain(1).await;
    cluster.is_acquainted().await;
    let ann = cluster.node(2).sign_up("ann").await;
    ann.create_room("the store is open").await;
}

#[tokio::test]
async fn a_node_receives_nothing_of_rooms_that_it_neither_owns_nor_serves_to_anybody() {
    let cluster = Cluster::start(3).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let is_owned = |room: &str| {
        let room: RoomId = room.parse().unwrap();
        cluster.node(2).app().nodes.owner_of(room.as_bytes()).is_none()
    };
    let mut room = ann.create_room("Quiet").await;
    while is_owned(&room) {
        room = ann.create_room("Quiet").await;
    }
    let (_here, here) = cluster.node(0).connect(&ann, Some(&room)).await;
    let (_there, there) = cluster.node(1).connect(&ann, Some(&room)).await;
    for nth in 0..20 {
        ann.say(&room, &nth.to_string()).await;
    }
    for tape in [here, there] {
        tape.wait_for(21).await;
    }
    let id: RoomId = room.parse().unwrap();
    let frames = |number: usize| {
        let received = cluster.node(number).wire().received();
        received.get(&Subject::room_events(id)).copied()
    };
    assert!(frames(1).is_some_and(|frames| frames > 0));
    assert_eq!(frames(2), None);
}

#[tokio::test]
async fn a_node_whose_way_to_the_others_is_cut_knows_it_and_declares_nobody_dead() {
    let cluster = Cluster::start(2).await;
    let nodes = &cluster.node(0).app().nodes;
    let mut changes = nodes.changes();
    for is_cut in [true, false] {
        match is_cut {
            true => cluster.node(0).wire().cut(),
            false => cluster.node(0).wire().mend(),
        }
        let told = async {
            while nodes.is_link_up() == is_cut {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(DEADLINE, told).await.expect("it does not know");
        assert_eq!(nodes.others().len(), 1);
    }
}

#[tokio::test]
async fn while_the_store_is_away_whoever_asks_is_to_come_back() {
    let cluster = Cluster::start(2).await;
    let ann = cluster.node(0).sign_up("ann").await;
    cluster.store().set_away(true);
    ann.get("/users/me").await.refused(503, "unavailable");
    cluster.store().set_away(false);
    ann.get("/users/me").await.is(200);
}
