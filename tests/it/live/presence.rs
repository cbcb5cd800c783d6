//! Who is present, through whatever node.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use natter::bus::codec::{Present, Signal};
use natter::bus::{DynBus, Subject};
use natter::domain::{BootId, Seq, User};
use natter::nodes::Nodes;
use natter::room::{Connection, Rooms, Scope};
use serde_json::Value;

use super::hall::{DEADLINE, Hall, Tape, connection, rooms_of, seal, sign_up};
use crate::support::Wire;

/// A node of a cluster: its live rooms, what it knows of others, its way to them.
struct Node {
    rooms: Rooms,
    nodes: Nodes,
    wire: Arc<Wire>,
}

impl Node {
    async fn of(hall: &Hall) -> Self {
        let wire = Wire::to(Arc::clone(&hall.bus));
        let (bus, seal) = (Arc::clone(&wire) as DynBus, seal());
        let nodes = Nodes::join(Arc::clone(&bus), seal.clone(), None);
        let rooms = rooms_of(&hall.store, &bus, seal, nodes.clone()).await;
        Self { rooms, nodes, wire }
    }

    /// Comes into the room as a client does, and answers what it is told.
    async fn enter(&self, hall: &Hall, user: &User) -> (Arc<Connection>, Arc<Tape>) {
        let (connection, tape) = connection(user, Scope::Room(hall.room));
        self.rooms.connect(&connection).unwrap();
        let live = self.rooms.live_room(hall.room).await.unwrap().unwrap();
        let tail = live.delivered();
        live.serve(&connection, tail, tail).await.unwrap();
        live.attend().await;
        assert!(live.open(&connection, |online| connection.tell("online_users", &online)));
        (connection, tape)
    }
}

async fn cluster<const N: usize>(hall: &Hall) -> [Node; N] {
    let nodes: Vec<Node> = futures::future::join_all((0..N).map(|_| Node::of(hall))).await;
    for node in &nodes {
        let mut changes = node.nodes.changes();
        let acquainted = async {
            while node.nodes.others().len() + 1 < N || !node.nodes.is_link_up() {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(DEADLINE, acquainted).await.unwrap();
    }
    nodes.try_into().ok().unwrap()
}

fn names(told: &Value) -> Vec<&str> {
    told.as_array().unwrap().iter().map(|one| one["username"].as_str().unwrap()).collect()
}

/// Who was told to have come, or to have gone.
fn told(tape: &Tape, event: &str) -> Vec<String> {
    let told = tape.told(event);
    told.iter().map(|told| told["username"].as_str().unwrap().to_owned()).collect()
}

async fn hears(tape: &Tape, event: &str, name: &str) {
    let heard = |tape: &Tape| told(tape, event).contains(&name.to_owned());
    tape.wait(&format!("{event} of {name}"), heard).await;
}

/// Waits until a node knows that these are online in the room.
async fn knows(node: &Node, hall: &Hall, wanted: &[&str]) {
    let known = async {
        loop {
            let online = node.rooms.online_in(hall.room).await;
            let names: Vec<_> = online.iter().map(|one| one.username.as_str()).collect();
            if names == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(DEADLINE, known).await;
    assert!(
        waited.is_ok(),
        "{wanted:?} are not known; {:?}",
        node.rooms.online_in(hall.room).await
    );
}

#[tokio::test]
async fn who_comes_and_goes_on_one_node_is_told_on_the_others_and_a_move_tells_nothing() {
    let hall = Hall::new().await;
    let guest = hall.member("guest").await;
    let [one, other] = cluster(&hall).await;
    let (_owner, hers) = one.enter(&hall, &hall.owner).await;
    let (here, his) = other.enter(&hall, &guest).await;
    assert_eq!(names(&his.told("online_users")[0]), ["guest", "owner"]);
    hears(&hers, "join", "guest").await;
    assert_eq!(hers.told("join")[0]["email"], "guest@example.org");
    let (there, _) = one.enter(&hall, &guest).await;
    other.rooms.disconnect(&here);
    let third = hall.member("third").await;
    let (_third, _) = other.enter(&hall, &third).await;
    hears(&hers, "join", "third").await;
    one.rooms.disconnect(&there);
    hears(&hers, "leave", "guest").await;
    assert_eq!(told(&hers, "join"), ["guest", "third"]);
    assert_eq!(told(&hers, "leave"), ["guest"]);
}

#[tokio::test]
async fn a_node_that_serves_nobody_in_a_room_knows_who_is_there_when_asked() {
    let hall = Hall::new().await;
    let guest = hall.member("guest").await;
    let [one, other, third] = cluster(&hall).await;
    let (_owner, _) = one.enter(&hall, &hall.owner).await;
    let (_guest, _) = other.enter(&hall, &guest).await;
    for node in [&one, &other, &third] {
        knows(node, &hall, &["guest", "owner"]).await;
    }
    let outsider = sign_up(&hall.store, "outsider").await;
    let asked = [hall.owner.id, guest.id, outsider.id];
    for node in [&one, &other, &third] {
        let connected = node.rooms.connected_among(&asked).await;
        assert_eq!(connected, [hall.owner.id, guest.id].into());
    }
    assert!(third.wire.received().keys().all(|subject| !subject.as_str().contains("room")));
}

#[tokio::test]
async fn who_is_present_through_two_nodes_stays_when_one_dies_and_goes_with_the_last() {
    let hall = Hall::new().await;
    let (guest, other_guest) = (hall.member("guest").await, hall.member("other").await);
    let [one, other, third] = cluster(&hall).await;
    let (_owner, hers) = one.enter(&hall, &hall.owner).await;
    let (_first, _) = other.enter(&hall, &guest).await;
    let (_second, _) = third.enter(&hall, &guest).await;
    let (_third, _) = other.enter(&hall, &other_guest).await;
    for node in [&one, &other, &third] {
        knows(node, &hall, &["guest", "other", "owner"]).await;
    }
    other.wire.cut();
    hears(&hers, "leave", "other").await;
    assert_eq!(told(&hers, "leave"), ["other"]);
    // The one that is cut off keeps what it knew.
    knows(&other, &hall, &["guest", "other", "owner"]).await;
    third.wire.cut();
    hears(&hers, "leave", "guest").await;
    other.wire.mend();
    third.wire.mend();
    hears(&hers, "join", "other").await;
    for node in [&one, &other, &third] {
        knows(node, &hall, &["guest", "other", "owner"]).await;
    }
}

#[tokio::test]
async fn what_is_lost_is_asked_for() {
    let hall = Hall::new().await;
    let (guest, other_guest) = (hall.member("guest").await, hall.member("other").await);
    let [one, other] = cluster(&hall).await;
    let (_owner, hers) = one.enter(&hall, &hall.owner).await;
    let (first, _) = other.enter(&hall, &guest).await;
    hears(&hers, "join", "guest").await;
    // What is said in the room is lost, and nobody knows.
    let signals = Subject::room_signals(hall.room);
    one.wire.deafen(Some(signals));
    other.rooms.disconnect(&first);
    let (_second, his) = other.enter(&hall, &other_guest).await;
    hears(&his, "leave", "guest").await;
    assert_eq!(told(&hers, "join"), ["guest"]);
    one.wire.deafen(None);
    let third = hall.member("third").await;
    let (_third, _) = other.enter(&hall, &third).await;
    for name in ["other", "third"] {
        hears(&hers, "join", name).await;
    }
    hears(&hers, "leave", "guest").await;
}

#[tokio::test]
async fn what_strangers_say_of_presence_is_not_believed() {
    let hall = Hall::new().await;
    let guest = hall.member("guest").await;
    let [one, other] = cluster(&hall).await;
    let subject = Subject::room_signals(hall.room);
    let mut overheard = hall.bus.subscribe(&subject);
    let (_owner, hers) = one.enter(&hall, &hall.owner).await;
    let (first, _) = other.enter(&hall, &guest).await;
    hears(&hers, "join", "guest").await;
    let forged = natter::bus::seal::Seal::new(
        BootId::new(7, 7),
        natter::keys::Keys::derive(b"another secret of 32 bytes or more", None).bus,
    );
    let came = vec![natter::api::UserBrief::from(&sign_up(&hall.store, "ghost").await)];
    let ghost = Present { version: u64::MAX, came, ..Present::default() };
    hall.bus.publish(&subject, forged.seal(&subject, &Signal::Present(ghost)));
    other.rooms.disconnect(&first);
    hears(&hers, "leave", "guest").await;
    // What was said when the guest came, once more.
    let mut said = Vec::new();
    while let Some(Some(delivery)) = overheard.next().now_or_never() {
        said.push(delivery.payload);
    }
    assert!(!said.is_empty());
    for again in said {
        hall.bus.publish(&subject, again);
    }
    let third = hall.member("third").await;
    let (_third, _) = other.enter(&hall, &third).await;
    hears(&hers, "join", "third").await;
    assert_eq!(told(&hers, "join"), ["guest", "third"]);
    assert!(hall.store.event(hall.room, Seq(1)).await.unwrap().is_some());
}
