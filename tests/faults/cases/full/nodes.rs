//! Nodes that stand still, die at bad moments, or get another secret.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::{Socket, create_room, enter, sign_up};
use crate::cluster::{Cluster, Shape};
use crate::proxy::{Fault, Way};
use crate::run::case;
use crate::servers::process::Signal;
use crate::workload::Plan;

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x03_a_node_stands_still_for_a_while() {
    case("x03", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
        scene.pass(seconds(3)).await;
        let node = scene.any_node();
        scene.cluster.nodes[node].signal(Signal::Stop).await;
        scene.pass(seconds(15)).await;
        scene.cluster.nodes[node].signal(Signal::Cont).await;
        run.did(format!("node {} stood still for 15 s", node + 1));
        scene.pass(seconds(8)).await;
        scene.end(run).await;
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x34_a_node_dies_inside_a_change_of_memberships_and_the_room_goes_on() {
    case("x34", async |run| {
        let mut cluster = Cluster::start(&run.folder, &Shape::of(3, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        for round in 0..3 {
            let guest = sign_up(cluster.first(), &format!("guest{round}")).await;
            let room = create_room(cluster.first(), &owner, &[]).await;
            let (node, other) = (round % 3, (round + 1) % 3);
            let name = cluster.nodes[node].name.clone();
            let address = cluster.nodes[node].address();
            let (whose, who, of) = (owner.clone(), guest.clone(), room.clone());
            let change = tokio::spawn(async move { enter(address, &whose, &who, &of).await });
            // Its answers from the database are lost somewhere in the middle, and then it dies.
            tokio::time::sleep(Duration::from_millis(20 * (round as u64 + 1))).await;
            cluster.mongo().members[0].link.set_for(&name, Fault::Cut(Way::ToClient));
            tokio::time::sleep(seconds(1)).await;
            cluster.nodes[node].kill().await;
            cluster.mongo().members[0].link.set_for(&name, Fault::Pass);
            _ = change.await;
            let began = Instant::now();
            let auth = json!({"token": owner.token, "chat_room_id": room});
            let mut socket =
                Socket::connect(cluster.nodes[other].address(), auth).await.expect("let in");
            let said = json!({"content": "goes on", "message_type": "text", "client_id": "on"});
            let mut answer = socket.ask("chat", &said).await;
            while answer.as_ref().is_some_and(|answer| answer["ok"] != true)
                && began.elapsed() < seconds(60)
            {
                answer = socket.ask("chat", &said).await;
            }
            if answer.is_none_or(|answer| answer["ok"] != true) {
                run.violated(Rule::Own, format!("room {round} does not go on"));
            }
            run.did(format!("went on after {:.1} s", began.elapsed().as_secs_f64()));
            cluster.nodes[node].start().await;
            // Half done or not, it can be done now.
            let mut is_in = false;
            while !is_in && began.elapsed() < seconds(120) {
                enter(cluster.first(), &owner, &guest, &room).await;
                let path = format!("/chat-rooms/{room}/members");
                let members = owner.get(&crate::client::base(cluster.first()), &path).await;
                is_in = members.as_array().is_some_and(|members| members.len() == 2);
            }
            if !is_in {
                run.violated(Rule::Own, format!("guest {round} cannot come in any more"));
            }
        }
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x37_the_secret_is_rotated_node_by_node() {
    case("x37", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
        scene.pass(seconds(2)).await;
        let (old, new) = ("SECRET_KEY_PREVIOUS", "SECRET_KEY");
        let secrets =
            [crate::cluster::SECRET_KEY, "another secret of the rig, as long as the first 98765"];
        for node in &mut scene.cluster.nodes {
            node.set(old, secrets[0]);
            node.set(new, secrets[1]);
        }
        for node in 0..scene.cluster.nodes.len() {
            scene.cluster.bounce(node).await;
            scene.pass(seconds(4)).await;
        }
        run.did("every node has another secret, and verifies the old one");
        scene.end(run).await;
    });
}
