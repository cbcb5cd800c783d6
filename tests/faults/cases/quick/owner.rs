//! Who writes a room: many at once, and several that each believe to be the one.

use std::time::Duration;

use rand::RngExt;
use serde_json::{Value, json};

use crate::cases::scene::{Scene, seconds};
use crate::client::{Person, Socket, create_room, sign_up};
use crate::cluster::{Cluster, Shape};
use crate::history::{At, Attempt, History, Sent};
use crate::proxy::Fault;
use crate::run::{Run, Vitals, case};
use crate::workload::{Balancer, Pace, Plan, Stage, answer};

/// Messages that go to all nodes at once.
const ROUNDS: usize = 60;

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x14_one_client_id_goes_to_three_nodes_at_once() {
    case("x14", async |run| {
        let mut cluster = Cluster::start(&run.folder, &Shape::of(3, 1)).await;
        let stage = Stage::new(run.seed, Balancer::over(cluster.addresses()));
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let mut history = History::default();
        let with_bus = everywhere_at_once(&cluster, &stage, &owner, &room, "with the bus").await;
        // Now each of them appends by itself.
        cluster.nodes.iter().for_each(|node| node.bus().set(Fault::Refuse));
        let without = everywhere_at_once(&cluster, &stage, &owner, &room, "without the bus").await;
        history.sends = with_bus.into_iter().chain(without).collect();
        run.did(format!("{} client_ids, three times each", history.sends.len()));
        run.judge(&history, &run.replicas(&cluster).await);
        let mut vitals = Vitals::default();
        cluster.nodes.iter_mut().for_each(|node| vitals.look(node));
        vitals.judge(run, &cluster.nodes);
    });
}

/// Says the same to every node at once, again and again.
async fn everywhere_at_once(
    cluster: &Cluster,
    stage: &Stage,
    person: &Person,
    room: &str,
    when: &str,
) -> Vec<Sent> {
    let mut sockets = Vec::new();
    for node in &cluster.nodes {
        let auth = json!({"token": person.token, "chat_room_id": room});
        sockets.push(Socket::connect(node.address(), auth).await.expect("it is let in"));
    }
    let mut sends = Vec::new();
    for round in 0..ROUNDS {
        let (content, client_id) = (format!("{round} {when}"), format!("{when}-{round}"));
        let payload = json!({"content": content, "message_type": "text", "client_id": client_id});
        let said = (0..)
            .zip(&mut sockets)
            .map(|(number, socket)| attempt(stage, socket, number, &payload));
        let attempts = futures::future::join_all(said).await;
        let (sender, room) = (person.id.clone(), room.to_owned());
        sends.push(Sent { sender, room, client_id: Some(client_id), content, attempts });
    }
    sends
}

async fn attempt(stage: &Stage, socket: &mut Socket, number: u64, payload: &Value) -> Attempt {
    let invoked = stage.clock.now();
    let answered = socket.ask("chat", payload).await;
    let answered = answered.map(|told| (stage.clock.now(), answer(&told)));
    // Sends of different connections have no order among them, so each is a connection of its own.
    let connection = number + 3 * invoked.0;
    Attempt { connection, place: 0, invoked, answered }
}

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x15_five_nodes_write_one_room_and_several_believe_to_own_it() {
    case("x15", async |run| {
        let pace = Pace { every: Duration::from_millis(300), burst: 6 };
        let plan = Plan { rooms: 1, writers: 5, pace, ..Plan::default() };
        let mut scene = Scene::begin(run, &Shape::of(5, 1), &plan).await;
        scene.pass(seconds(4)).await;
        let owner = writer_of_most(&scene.cluster).await;
        scene.cluster.bounce(owner).await;
        run.did(format!("node {}, which wrote most, was killed", owner + 1));
        scene.pass(seconds(3)).await;
        // Two nodes hear nobody any more: each of them owns what it serves, and so does whom the others think of.
        let deaf = scene.chance.random_range(0..scene.cluster.nodes.len());
        let pair = [deaf, (deaf + 1) % scene.cluster.nodes.len()];
        both(&mut scene, pair, Fault::Stall);
        scene.pass(seconds(8)).await;
        both(&mut scene, pair, Fault::Pass);
        run.did(format!("nodes {} and {} heard nobody", pair[0] + 1, pair[1] + 1));
        scene.pass(seconds(3)).await;
        scene.end(run).await;
    });
}

fn both(scene: &mut Scene, pair: [usize; 2], fault: Fault) {
    for node in pair {
        scene.cluster.nodes[node].bus().set(fault);
    }
}

/// The node that has stored most by now.
async fn writer_of_most(cluster: &Cluster) -> usize {
    let mut most = (0.0, 0);
    for (place, node) in cluster.nodes.iter().enumerate() {
        let stored = node.metric("natter_messages_stored_total").await.unwrap_or(0.0);
        if stored > most.0 {
            most = (stored, place);
        }
    }
    most.1
}

impl Run {
    /// Checks what a history without a crew can show.
    pub(crate) fn judge(&mut self, history: &History, replicas: &[crate::history::Replica]) {
        self.violations.extend(crate::check::check(history, replicas));
        let acked =
            |sent: &&Sent| matches!(sent.outcome(), crate::history::Outcome::Acked(_, At(_)));
        let count = history.sends.iter().filter(acked).count();
        self.did(format!("{count} acked"));
        assert!(count > 0, "nothing was done");
    }
}
