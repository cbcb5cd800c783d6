//! Rights that end while people use them, and messages that are cleared while they are written.

use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::base;
use crate::cluster::Shape;
use crate::history::Kind;
use crate::proxy::Fault;
use crate::run::case;
use crate::servers::process::Signal;
use crate::workload::{Pace, Plan};

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x16_a_ban_races_a_flood() {
    case("x16", async |run| {
        let plan = Plan {
            rooms: 1,
            writers: 4,
            pace: Pace { every: Duration::from_millis(60), burst: 8 },
            guests: 3,
            change_every: Duration::from_millis(150),
            ..Plan::default()
        };
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &plan).await;
        bans(&mut scene, 8).await;
        // Every node writes by itself now, so that each learns of a ban only from the log.
        scene.cluster.nodes.iter().for_each(|node| node.bus().set(Fault::Refuse));
        bans(&mut scene, 12).await;
        scene.cluster.nodes.iter().for_each(|node| node.bus().set(Fault::Pass));
        scene.pass(seconds(3)).await;
        scene.end(run).await;
    });
}

/// Lets people be busy until so many more have been taken out or let in again.
async fn bans(scene: &mut Scene, count: u64) {
    let (enough, end) = (scene.stage.changes() + count, Instant::now() + seconds(90));
    while scene.stage.changes() < enough {
        assert!(Instant::now() < end, "too few bans: {}", scene.stage.changes());
        scene.pass(Duration::from_millis(200)).await;
    }
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x33_messages_are_cleared_against_a_writer_that_stood_still() {
    case("x33", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
        scene.pass(seconds(4)).await;
        for node in 0..2 {
            scene.cluster.nodes[node].signal(Signal::Stop).await;
            scene.pass(Duration::from_millis(500)).await;
            let (owner, other) = (scene.crew.owner.clone(), scene.cluster.nodes[2].address());
            let cleared =
                owner.call(&base(other), Method::DELETE, "/admin/clear_messages", None).await;
            let status = cleared.map(|answer| answer.status);
            scene.cluster.nodes[node].signal(Signal::Cont).await;
            run.did(format!("cleared while node {} stood still: {status:?}", node + 1));
            scene.pass(seconds(4)).await;
        }
        let history = scene.end(run).await;
        let heard = history.tapes.iter().flat_map(|tape| &tape.heard);
        let clearings = heard.filter(|one| {
            let name = "messages_cleared".to_owned();
            matches!(&one.said, crate::history::Said::Event(_, kind) if *kind == Kind::Other(name))
        });
        if clearings.count() == 0 {
            run.violated(Rule::Own, "nobody heard that messages were cleared");
        }
    });
}
