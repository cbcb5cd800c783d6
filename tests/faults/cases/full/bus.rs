//! A bus that is silent, loses, doubles and swaps.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::cases::quick::bus::dead;
use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::{Person, Socket, create_room, enter, sign_up};
use crate::cluster::{Cluster, Shape};
use crate::proxy::{Fault, Mangle};
use crate::run::{Run, case};
use crate::servers::process::LOOK;
use crate::workload::{Pace, Plan};

/// Everything is lost.
const ALL: Mangle = Mangle { lose: 1, double: 0, swap: 0 };

/// How long a repair may take on a slow machine; the promise is 2 to 5 s.
const REPAIRED_WITHIN: Duration = Duration::from_secs(30);

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x05_the_bus_stalls_for_one_node() {
    case("x05", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
        scene.pass(seconds(3)).await;
        let node = scene.any_node();
        scene.cluster.nodes[node].bus().set(Fault::Stall);
        scene.pass(seconds(30)).await;
        scene.cluster.nodes[node].bus().set(Fault::Pass);
        run.did(format!("the bus stalled for node {}", node + 1));
        scene.pass(seconds(8)).await;
        scene.end(run).await;
    });
}

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn x06_the_bus_is_dead_for_a_minute_and_everything_goes_on() {
    case("x06-minute", async |run| dead(run, 60).await);
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x07_the_last_frame_of_a_burst_is_lost_and_comes_all_the_same() {
    case("x07", async |run| {
        let cluster = Cluster::start(&run.folder, &Shape::of(3, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let mut sockets = Vec::new();
        for node in &cluster.nodes {
            sockets.push(in_room(node, &owner, &room).await);
        }
        for round in 0..5_u64 {
            // The last one is said while nobody is told by the bus.
            let told = say(&mut sockets[0], &format!("first of {round}")).await;
            heard(run, &mut sockets, told).await;
            let before = lost(&cluster);
            cluster.nodes.iter().for_each(|node| node.bus().mangle(ALL));
            let told = say(&mut sockets[0], &format!("last of {round}")).await;
            // By both nodes that did not store it; its tail is announced a second later.
            while lost(&cluster) < before + 2 {
                tokio::time::sleep(LOOK).await;
            }
            cluster.nodes.iter().for_each(|node| node.bus().mangle(Mangle::default()));
            heard(run, &mut sockets, told).await;
        }
        run.did("5 last frames were lost");
    });
}

/// How many messages of the bus have not arrived at nodes.
fn lost(cluster: &Cluster) -> u64 {
    cluster.nodes.iter().map(|node| node.bus().lost()).sum()
}

async fn in_room(node: &crate::cluster::Node, person: &Person, room: &str) -> Socket {
    let auth = json!({"token": person.token, "chat_room_id": room});
    let mut socket = Socket::connect(node.address(), auth).await.expect("it is let in");
    socket.event("online_users").await.expect("who is there");
    socket
}

/// Says something, and answers its position.
async fn say(socket: &mut Socket, words: &str) -> u64 {
    let answer = socket.ask("chat", &json!({"content": words, "message_type": "text"})).await;
    let answer = answer.expect("an answer");
    answer["message"]["seq"].as_u64().unwrap_or_else(|| panic!("it is stored: {answer}"))
}

/// Notes which of the sockets behind the first one do not hear of this position in time.
async fn heard(run: &mut Run, sockets: &mut [Socket], seq: u64) {
    for (number, socket) in (2..).zip(&mut sockets[1..]) {
        let hear =
            async { while socket.event("chat").await.is_some_and(|told| told["seq"] != seq) {} };
        if tokio::time::timeout(REPAIRED_WITHIN, hear).await.is_err() {
            run.violated(Rule::V4, format!("node {number} does not tell of {seq}"));
        }
    }
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x08_a_node_does_not_keep_up_with_the_bus() {
    case("x08", async |run| {
        let pace = Pace { every: Duration::from_millis(200), burst: 24 };
        let plan = Plan { rooms: 3, writers: 5, pace, padding: 14_000, ..Plan::default() };
        // As little as the server allows: one message of the largest size.
        let shape = Shape { max_pending: Some(1024 * 1024), ..Shape::of(2, 1) };
        let mut scene = Scene::begin(run, &shape, &plan).await;
        for round in 1..=2 {
            scene.pass(seconds(3)).await;
            // More waits in the server for this one than it will keep, and what it does get comes at once.
            scene.cluster.nodes[1].bus().set(Fault::Stall);
            let end = Instant::now() + seconds(20);
            while scene.cluster.slow_consumers().await < round && Instant::now() < end {
                scene.pass(Duration::from_millis(200)).await;
            }
            scene.cluster.nodes[1].bus().set(Fault::Pass);
        }
        // A node that hears nothing for long enough parts with the bus itself, and has nothing waiting there any more.
        let times = scene.cluster.slow_consumers().await;
        assert!(times > 0, "the bus did not part with the node");
        run.did(format!("the bus parted {times} times with a node that did not keep up"));
        scene.pass(seconds(3)).await;
        scene.end(run).await;
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x24_the_bus_loses_doubles_swaps_and_delays() {
    case("x24", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
        for node in &scene.cluster.nodes {
            node.bus().mangle(Mangle { lose: 7, double: 5, swap: 3 });
        }
        let node = scene.any_node();
        scene.cluster.nodes[node].bus().set(Fault::Delay(Duration::from_millis(80)));
        scene.pass(seconds(20)).await;
        run.did("one in 7 lost, one in 5 doubled, one in 3 swapped, one node 80 ms late");
        scene.end(run).await;
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x35_the_word_of_a_membership_is_lost_and_it_is_known_all_the_same() {
    case("x35", async |run| {
        let cluster = Cluster::start(&run.folder, &Shape::of(2, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let guest = sign_up(cluster.first(), "guest").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let address = cluster.nodes[1].address();
        let mut socket =
            Socket::connect(address, json!({"token": guest.token})).await.expect("it is let in");
        socket.event("ready").await.expect("ready");
        cluster.nodes.iter().for_each(|node| node.bus().mangle(ALL));
        let began = Instant::now();
        assert!(enter(cluster.first(), &owner, &guest, &room).await);
        comes(run, &mut socket, "member_added").await;
        let added = began.elapsed();
        let path = format!("/chat-rooms/{room}/members/{}", guest.id);
        let began = Instant::now();
        let base = crate::client::base(cluster.first());
        owner.call(&base, reqwest::Method::DELETE, &path, None).await.expect("an answer");
        comes(run, &mut socket, "member_removed").await;
        let removed = began.elapsed();
        run.did(format!("known after {added:.1?} and {removed:.1?}"));
    });
}

async fn comes(run: &mut Run, socket: &mut Socket, event: &str) {
    let told = tokio::time::timeout(REPAIRED_WITHIN, socket.event(event)).await;
    if !told.is_ok_and(|told| told.is_some()) {
        run.violated(Rule::Own, format!("{event} does not come"));
    }
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x39_a_node_hears_only_the_rooms_that_it_serves() {
    case("x39", async |run| {
        let cluster = Cluster::start(&run.folder, &Shape::of(3, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let mut sockets = Vec::new();
        for node in &cluster.nodes {
            let room = create_room(cluster.first(), &owner, &[]).await;
            sockets.push((in_room(node, &owner, &room).await, room));
        }
        for (socket, _) in &mut sockets {
            for number in 0..20 {
                say(socket, &format!("{number}")).await;
            }
        }
        let told = cluster.subscriptions().await;
        let connections = told["connections"].as_array().expect("connections").clone();
        for (_, room) in &sockets {
            let subject = format!("natter.room.{room}.events");
            let listens = |connection: &&serde_json::Value| {
                let subjects = connection["subscriptions_list"].as_array();
                subjects.is_some_and(|all| all.iter().any(|one| *one == *subject))
            };
            let count = connections.iter().filter(listens).count();
            // The node that serves it, and perhaps the one that owns it.
            if !(1..=2).contains(&count) {
                run.violated(Rule::Own, format!("{count} nodes listen to {subject}"));
            }
        }
        run.did(format!("{} connections to the bus looked at", connections.len()));
    });
}
