//! A database that answers late, wrongly, or not at all.

use mongodb::bson::{Document, doc};
use serde_json::json;
use tokio::time::Instant;

use crate::cases::quick::database::calm;
use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::{Socket, create_room, sign_up};
use crate::cluster::{Cluster, Node, Shape};
use crate::run::{Run, case};
use crate::servers::process::{LOOK, Signal};
use crate::workload::Plan;

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn x09_the_primary_stands_still_under_load() {
    case("x09-still", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(2, 3), &calm()).await;
        scene.pass(seconds(3)).await;
        let primary = scene.cluster.mongo().primary().await;
        scene.cluster.mongo().members[primary].signal(Signal::Stop).await;
        scene.pass(seconds(15)).await;
        scene.cluster.mongo().members[primary].signal(Signal::Cont).await;
        run.did("the primary stood still for 15 s");
        scene.pass(seconds(8)).await;
        scene.cluster.mongo().primary().await;
        scene.end(run).await;
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x26_without_a_unique_index_a_node_is_not_ready() {
    case("x26", async |run| {
        let mut cluster = Cluster::start(&run.folder, &Shape::of(1, 1)).await;
        cluster.nodes[0].kill().await;
        let events = cluster.mongo().members[0].database();
        let drop = doc! { "dropIndexes": "events", "index": "events_client_id" };
        events.run_command(drop).await.unwrap();
        cluster.nodes[0].begin();
        if !says(&cluster.nodes[0], "events_client_id").await {
            run.violated(Rule::Own, "the log does not say which index is missing");
        }
        if cluster.nodes[0].is_ready().await {
            run.violated(Rule::Own, "a node is ready without the index of client_ids");
        }
        run.did("not ready, and the log says why");
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x27_nodes_start_before_the_database_and_the_bus_are_there() {
    case("x27", async |run| {
        let shape = Shape::of(2, 1);
        let mut cluster = Cluster::servers(&run.folder, &shape).await;
        cluster.nodes[0].migrate().await;
        cluster.mongo().members[0].kill().await;
        cluster.nats().kill().await;
        cluster.nodes.iter_mut().for_each(|node| node.begin());
        for node in &mut cluster.nodes {
            says(node, "waiting for the store").await;
            if node.is_ready().await {
                run.violated(Rule::Own, format!("{} is ready without a database", node.name));
            }
            if node.id().is_none() {
                run.violated(Rule::Own, format!("{} ended without a database", node.name));
            }
        }
        cluster.mongo().members[0].restart().await;
        cluster.mongo().primary().await;
        let is_ready = await_ready(&cluster).await;
        if !is_ready {
            run.violated(Rule::Own, "the database is there, and not all nodes are ready");
        }
        run.did("ready with the database, without the bus");
        cluster.nats().restart().await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let mut sockets = Vec::new();
        for node in &cluster.nodes {
            let auth = json!({"token": owner.token, "chat_room_id": room});
            let mut socket = Socket::connect(node.address(), auth).await.expect("let in");
            socket.event("online_users").await.expect("who is there");
            sockets.push(socket);
        }
        sockets[0].ask("chat", &json!({"content": "hello", "message_type": "text"})).await;
        let heard = tokio::time::timeout(seconds(60), sockets[1].event("chat")).await;
        if !heard.is_ok_and(|heard| heard.is_some()) {
            run.violated(Rule::V4, "nodes that started without the bus do not find each other");
        }
    });
}

/// Whether these words come to stand in the log of a node.
async fn says(node: &Node, words: &str) -> bool {
    let end = Instant::now() + seconds(60);
    while Instant::now() < end {
        if node.log().contains(words) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

async fn await_ready(cluster: &Cluster) -> bool {
    let end = Instant::now() + seconds(90);
    while Instant::now() < end {
        let asked = cluster.nodes.iter().map(Node::is_ready);
        if futures::future::join_all(asked).await.iter().all(|is_ready| *is_ready) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn f01_replies_of_the_database_are_lost_behind_the_commit() {
    case("f01", async |run| writes_fail(run, &doc! { "closeConnection": true }).await);
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn f04_writes_of_the_database_are_lost_before_the_commit() {
    let internal_error = 1;
    case("f04", async |run| {
        let data =
            doc! { "closeConnection": true, "failBeforeCommitExceptionCode": internal_error };
        writes_fail(run, &data).await;
    });
}

/// Has a few writes fail each second, in this manner.
async fn writes_fail(run: &mut Run, data: &Document) {
    const WRITE: &str = "onPrimaryTransactionalWrite";
    let mut scene = Scene::begin(run, &Shape::of(2, 1), &Plan::default()).await;
    for round in 0..12 {
        scene.pass(seconds(1)).await;
        // Once, and the driver helps itself; more often, and natter has to.
        let mode = doc! { "times": 1 + round % 6 };
        let rest = doc! { "mode": mode, "data": data };
        scene.cluster.mongo().members[0].failpoint(WRITE, rest).await;
    }
    scene.pass(seconds(1)).await;
    scene.cluster.mongo().members[0].failpoint(WRITE, doc! { "mode": "off" }).await;
    run.did("up to 42 writes had no answer");
    scene.pass(seconds(3)).await;
    scene.end(run).await;
}
