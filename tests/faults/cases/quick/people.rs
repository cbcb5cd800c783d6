//! Who is there, and who is no longer let in, whatever breaks.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::check::Rule;
use crate::client::{Person, Socket, Told, base, create_room, sign_up, text};
use crate::cluster::{Cluster, Shape};
use crate::proxy::Fault;
use crate::run::{Run, case};
use crate::servers::process::LOOK;

/// How long presence may take to be the truth: a killed node is noticed within 20 s, and the machine may be slow.
const TRUE_WITHIN: Duration = Duration::from_secs(60);

/// How long a revocation may take on a slow machine; on a quick one it takes 2 s.
const REVOKED_WITHIN: Duration = Duration::from_secs(30);

/// Somebody who is present in a room through one node.
async fn present(node: &crate::cluster::Node, person: &Person, room: &str) -> Socket {
    let auth = json!({"token": person.token, "chat_room_id": room});
    let mut socket = Socket::connect(node.address(), auth).await.expect("it is let in");
    socket.event("online_users").await.expect("who is there");
    socket
}

/// Somebody who answers pings until dropped.
struct Stay(JoinHandle<()>);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn stays(mut socket: Socket) -> Stay {
    Stay(tokio::spawn(async move { ended(&mut socket).await }))
}

/// Notes when the nodes do not tell, in time, that exactly `truth` is online beside `asker`.
async fn presence_is(
    run: &mut Run,
    nodes: &[&crate::cluster::Node],
    asker: &Person,
    room: &str,
    truth: &[&str],
) {
    let truth: BTreeSet<String> = truth.iter().map(|name| (*name).to_owned()).collect();
    for node in nodes {
        let end = Instant::now() + TRUE_WITHIN;
        loop {
            let path = format!("/rooms-online-users?chat_room_id={room}");
            let told = asker.call(&base(node.address()), Method::GET, &path, None).await;
            let names = told.and_then(|told| told.body.as_array().cloned()).unwrap_or_default();
            let told: BTreeSet<String> = names.iter().map(|name| text(name).to_owned()).collect();
            if told == truth {
                break;
            }
            if Instant::now() >= end {
                let what = format!("{} tells {told:?}, the truth is {truth:?}", node.name);
                return run.violated(Rule::V9, what);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x22_presence_is_the_truth_though_nodes_die_are_cut_off_and_come_back() {
    case("x22", async |run| {
        let mut cluster = Cluster::start(&run.folder, &Shape::of(3, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let [ann, bob] =
            [sign_up(cluster.first(), "ann").await, sign_up(cluster.first(), "bob").await];
        let room = create_room(cluster.first(), &owner, &[&ann, &bob]).await;
        // ann is there by all three nodes, bob by the second one only.
        let mut there = Vec::new();
        for (node, person) in [(0, &ann), (1, &ann), (2, &ann), (1, &bob)] {
            there.push(stays(present(&cluster.nodes[node], person, &room).await));
        }
        let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
        presence_is(run, &[first, second, third], &owner, &room, &["ann", "bob"]).await;
        cluster.nodes[1].kill().await;
        let [first, _, third] = &cluster.nodes[..] else { panic!("three nodes") };
        presence_is(run, &[first, third], &owner, &room, &["ann"]).await;
        run.did("a node died: who was elsewhere too is there, who was not is not");
        cluster.nodes[1].start().await;
        let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
        presence_is(run, &[first, second, third], &owner, &room, &["ann"]).await;
        third.bus().set(Fault::Stall);
        there.push(stays(present(third, &bob, &room).await));
        presence_is(run, &[third], &owner, &room, &["ann", "bob"]).await;
        third.bus().set(Fault::Pass);
        presence_is(run, &[first, second, third], &owner, &room, &["ann", "bob"]).await;
        run.did("a node was cut off and came back");
        there.clear();
        presence_is(run, &[first, second, third], &owner, &room, &[]).await;
        run.did("everybody went");
    });
}

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x36_a_right_ends_everywhere_though_the_bus_is_dead() {
    case("x36", async |run| {
        let mut cluster = Cluster::start(&run.folder, &Shape::of(2, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let mut people = Vec::new();
        for name in ["removed", "disabled", "logged-out", "stays"] {
            people.push(sign_up(cluster.first(), name).await);
        }
        let everybody: Vec<&Person> = people.iter().collect();
        let room = create_room(cluster.first(), &owner, &everybody).await;
        // Everything is done on the first node, and everybody is on the second.
        let mut sockets = Vec::new();
        for person in &people {
            sockets.push(present(&cluster.nodes[1], person, &room).await);
        }
        cluster.nats().kill().await;
        let base = base(cluster.first());
        revoke(&base, &owner, &people, &room).await;
        for (person, socket) in people.iter().zip(&mut sockets).take(3) {
            let ended = tokio::time::timeout(REVOKED_WITHIN, ended(socket)).await;
            if ended.is_err() {
                run.violated(Rule::V8, format!("the socket of {} goes on", person.name));
            }
        }
        let words = json!({"content": "still here", "message_type": "text"});
        let stayed = sockets[3].ask("chat", &words).await;
        if stayed.is_none_or(|answer| answer["ok"] != true) {
            run.violated(Rule::Own, "who keeps every right lost the connection");
        }
        run.did("removed, disabled and logged out while the bus was dead");
    });
}

/// Takes the first three people their rights: one is taken out of the room, one disabled, one logs out everywhere.
async fn revoke(base: &str, owner: &Person, people: &[Person], room: &str) {
    let call = async |person: &Person, method, path: String, body: Option<Value>| {
        let answer = person.call(base, method, &path, body.as_ref()).await.expect("an answer");
        assert!(answer.status < 300, "{path}: {}", answer.body);
    };
    let path = format!("/chat-rooms/{room}/members/{}", people[0].id);
    call(owner, Method::DELETE, path, None).await;
    let path = format!("/admin/users/{}", people[1].id);
    call(owner, Method::PATCH, path, Some(json!({"is_disabled": true}))).await;
    call(&people[2], Method::POST, "/users/me/log-out-everywhere".to_owned(), None).await;
}

/// Returns when the server ends the connection.
async fn ended(socket: &mut Socket) {
    while !matches!(socket.next().await, Told::Closed | Told::Disconnected) {}
}
