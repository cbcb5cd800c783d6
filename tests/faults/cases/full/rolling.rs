//! Upgrades: all nodes go one after the other while many people chat, and nodes of two versions serve together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cases::quick::nodes::{GRACE, nobody_in_doubt, rolled};
use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::cluster::{Shape, last_release};
use crate::history::{Answer, History, Outcome};
use crate::run::{Run, case};
use crate::workload::{Outage, Pace, Plan};

/// People who chat, each with one client, and those of them who listen with a second one.
const WRITERS: usize = 500;
const READERS: usize = 100;

/// They write as people do, each message with a `client_id`, and nobody goes unless their node does.
const CHAT: Plan = Plan {
    rooms: 25,
    is_apart: true,
    writers: WRITERS,
    pace: Pace { every: Duration::from_secs(20), burst: 1 },
    is_keyed: true,
    padding: 200,
    readers: READERS,
    stay: Duration::from_secs(24 * 60 * 60),
    guests: 0,
    change_every: Duration::from_secs(1),
};

/// The grace of that case: what Kubernetes gives by itself.
const LONG_GRACE: Duration = Duration::from_secs(30);

fn shape(grace: Duration) -> Shape {
    let settings = vec![("NATTER_DRAIN_GRACE", format!("{}s", grace.as_secs()))];
    Shape { settings, ..Shape::of(3, 1) }
}

#[test]
#[ignore = "minutes of real processes: make faults"]
fn x04_five_hundred_clients_chat_while_all_nodes_go_one_after_the_other() {
    case("x04_500", async |run| {
        let mut scene = Scene::begin(run, &shape(LONG_GRACE), &CHAT).await;
        scene.pass(seconds(5)).await;
        for node in 0..scene.cluster.nodes.len() {
            rolled(run, &mut scene, node, LONG_GRACE).await;
            scene.pass(seconds(2)).await;
        }
        scene.pass(seconds(5)).await;
        let stage = scene.stage.clone();
        let history = scene.end(run).await;
        no_send_failed(run, &history);
        everybody_back(run, &stage.outages());
    });
}

/// Every message is stored in the end. What was told `draining`, or another code that invites to send again, or nothing
/// before its connection ended, went again with its `client_id`, as PROTOCOL.md asks of clients: whoever said it saw it
/// wait for longer, and no more than that. How many those were is in the report.
fn no_send_failed(run: &mut Run, history: &History) {
    let again = history.sends.iter().filter(|sent| sent.attempts.len() > 1).count();
    let attempts = history.sends.iter().flat_map(|sent| &sent.attempts);
    let mut whys = BTreeMap::new();
    for attempt in attempts {
        let why = match &attempt.answered {
            Some((_, Answer::Stored(_))) => continue,
            Some((_, Answer::Refused(code))) => code,
            Some((_, Answer::Unknown)) => "unknown",
            None => "no answer",
        };
        *whys.entry(why).or_insert(0_usize) += 1;
    }
    run.did(format!("{again} of {} messages went again", history.sends.len()));
    for (why, times) in whys {
        run.did(format!("{times} times for {why}"));
    }
    let failed = history.sends.iter().filter(|sent| !matches!(sent.outcome(), Outcome::Acked(..)));
    for sent in failed.take(3) {
        run.violated(Rule::Own, format!("{:?} is not stored: {:?}", sent.content, sent.attempts));
    }
}

/// Each node has gone, so everybody was cut off, and came back within the time that a node may take to go.
fn everybody_back(run: &mut Run, outages: &[Outage]) {
    let names: BTreeSet<_> = outages.iter().map(|outage| &outage.name).collect();
    let longest = outages.iter().map(|outage| outage.lasted).max().unwrap_or_default();
    let (count, times) = (names.len(), outages.len());
    run.did(format!("{count} clients were cut off {times} times, for {longest:.1?} at most"));
    if count < WRITERS + READERS {
        run.violated(Rule::Own, format!("only {count} were cut off and came back"));
    }
    if longest > LONG_GRACE {
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
        let mut scene = Scene::begin_with(run, &shape(GRACE), &plan, |cluster| {
            cluster.nodes.iter_mut().for_each(|node| node.use_program(&release.program));
        })
        .await;
        run.did(format!("three nodes of {}", release.tag));
        scene.pass(seconds(5)).await;
        scene.cluster.nodes[0].use_this_program();
        scene.cluster.nodes[0].migrate().await;
        for node in 0..scene.cluster.nodes.len() {
            scene.cluster.nodes[node].use_this_program();
            rolled(run, &mut scene, node, GRACE).await;
            run.did(format!("node {} is of this version", node + 1));
            scene.pass(seconds(5)).await;
        }
        // And one goes back, as after a bad upgrade.
        scene.cluster.nodes[1].use_program(&release.program);
        rolled(run, &mut scene, 1, GRACE).await;
        scene.pass(seconds(5)).await;
        let history = scene.end(run).await;
        nobody_in_doubt(run, &history);
    });
}
