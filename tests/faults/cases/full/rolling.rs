//! Upgrades: all nodes go one after the other while many people chat, and nodes of two versions serve together.

use std::time::Duration;

use crate::cases::quick::nodes::{GRACE, nobody_in_doubt, rolled};
use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::cluster::{Shape, last_release};
use crate::history::{History, Outcome};
use crate::run::{Run, case};
use crate::workload::{Pace, Plan};

/// People, each with one connection to write on and one to listen.
const PEOPLE: usize = 250;

/// They write now and then, and nobody goes unless their node does.
const CHAT: Plan = Plan {
    rooms: 2,
    writers: PEOPLE,
    pace: Pace { every: Duration::from_secs(20), burst: 1 },
    padding: 200,
    readers: PEOPLE,
    stay: Duration::from_secs(24 * 60 * 60),
    guests: 0,
    change_every: Duration::from_secs(1),
};

fn shape() -> Shape {
    let settings = vec![("NATTER_DRAIN_GRACE", format!("{}s", GRACE.as_secs()))];
    Shape { settings, ..Shape::of(3, 1) }
}

#[test]
#[ignore = "minutes of real processes: make faults"]
fn x04_five_hundred_clients_chat_while_all_nodes_go_one_after_the_other() {
    case("x04_500", async |run| {
        let mut scene = Scene::begin(run, &shape(), &CHAT).await;
        scene.pass(seconds(5)).await;
        for node in 0..scene.cluster.nodes.len() {
            rolled(run, &mut scene, node).await;
            scene.pass(seconds(2)).await;
        }
        scene.pass(seconds(5)).await;
        let history = scene.end(run).await;
        nobody_in_doubt(run, &history);
        no_send_failed(run, &history);
        everybody_back(run, &history);
    });
}

/// What can be sent again is stored in the end.
fn no_send_failed(run: &mut Run, history: &History) {
    let failed = history
        .sends
        .iter()
        .filter(|sent| sent.client_id.is_some() && !matches!(sent.outcome(), Outcome::Acked(..)));
    for sent in failed.take(3) {
        run.violated(Rule::Own, format!("{:?} is not stored: {:?}", sent.content, sent.attempts));
    }
}

/// Each node has gone, so everybody was cut off, and came back within the time that a node may take to go.
fn everybody_back(run: &mut Run, history: &History) {
    let outages = history.tapes.iter().flat_map(|tape| &tape.outages);
    let (count, longest) = (outages.clone().count(), outages.max().copied().unwrap_or_default());
    run.did(format!("{count} connections were cut off, the longest for {longest:.1?}"));
    for tape in history.tapes.iter().filter(|tape| tape.outages.is_empty()).take(3) {
        run.violated(Rule::Own, format!("{} was never cut off", tape.name));
    }
    if longest > GRACE {
        run.violated(Rule::Own, format!("somebody was away for {longest:?}"));
    }
}

#[test]
#[ignore = "builds the last release: make faults"]
fn x40_nodes_of_the_last_release_and_of_this_one_serve_together() {
    let Some(release) = last_release::built() else { return };
    case("x40", async |run| {
        let plan = Plan { guests: 1, ..Plan::default() };
        // As an upgrade goes: the new one prepares the database, and nodes follow one by one.
        let mut scene = Scene::begin_with(run, &shape(), &plan, |cluster| {
            cluster.nodes.iter_mut().for_each(|node| node.use_program(&release.program));
        })
        .await;
        run.did(format!("three nodes of {}", release.tag));
        scene.pass(seconds(5)).await;
        scene.cluster.nodes[0].use_this_program();
        scene.cluster.nodes[0].migrate().await;
        for node in 0..scene.cluster.nodes.len() {
            scene.cluster.nodes[node].use_this_program();
            rolled(run, &mut scene, node).await;
            run.did(format!("node {} is of this version", node + 1));
            scene.pass(seconds(5)).await;
        }
        // And one goes back, as after a bad upgrade.
        scene.cluster.nodes[1].use_program(&release.program);
        rolled(run, &mut scene, 1).await;
        scene.pass(seconds(5)).await;
        let history = scene.end(run).await;
        nobody_in_doubt(run, &history);
    });
}
