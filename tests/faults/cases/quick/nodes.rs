//! Nodes that die, and nodes that are told to go.

use std::collections::HashSet;
use std::time::Duration;

use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::cluster::Shape;
use crate::history::{History, Outcome};
use crate::proxy::{Fault, Way};
use crate::run::{Run, case};
use crate::servers::process::Signal;
use crate::workload::Plan;

/// How long what is under way is held before the node is killed.
const HELD: Duration = Duration::from_millis(1_500);

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x01_the_committing_node_is_killed_before_and_behind_each_step() {
    case("x01", async |run| {
        let plan = Plan { rooms: 4, ..Plan::default() };
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &plan).await;
        scene.pass(seconds(2)).await;
        for moment in
            [Moment::BeforeInsert, Moment::BehindInsert, Moment::BehindPublish, Moment::BehindAck]
        {
            let node = scene.any_node();
            killed(&mut scene, node, moment).await;
            scene.pass(seconds(3)).await;
            run.did(format!("node {} killed {moment:?}", node + 1));
        }
        scene.end(run).await;
    });
}

/// When a node is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Its inserts have not reached the database.
    BeforeInsert,
    /// They have, and it does not know.
    BehindInsert,
    /// Others were told, its own clients were not.
    BehindPublish,
    /// Everybody was told.
    BehindAck,
}

async fn killed(scene: &mut Scene, node: usize, moment: Moment) {
    let name = scene.cluster.nodes[node].name.clone();
    let member = |scene: &mut Scene, fault| {
        scene.cluster.mongo().members[0].link.set_for(&name, fault);
    };
    match moment {
        Moment::BeforeInsert => member(scene, Fault::Cut(Way::ToServer)),
        Moment::BehindInsert => member(scene, Fault::Cut(Way::ToClient)),
        Moment::BehindPublish => scene.cluster.nodes[node].front.set(Fault::Cut(Way::ToClient)),
        Moment::BehindAck => {}
    }
    scene.pass(HELD).await;
    scene.cluster.nodes[node].kill().await;
    member(scene, Fault::Pass);
    scene.cluster.nodes[node].front.set(Fault::Pass);
    scene.cluster.nodes[node].front.reset();
    scene.cluster.nodes[node].start().await;
}

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x02_a_node_that_is_left_to_chance_is_killed_every_few_seconds() {
    case("x02", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
        for _ in 0..5 {
            scene.pass_some(2_000..5_000).await;
            let node = scene.any_node();
            scene.cluster.bounce(node).await;
            run.did(format!("node {} killed", node + 1));
        }
        scene.pass(seconds(2)).await;
        scene.end(run).await;
    });
}

/// The grace that nodes are given.
pub(in crate::cases) const GRACE: Duration = Duration::from_secs(12);

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x04_nodes_go_one_after_the_other_and_nobody_is_left_in_doubt() {
    case("x04", async |run| {
        let grace = format!("{}s", GRACE.as_secs());
        let settings = vec![("NATTER_DRAIN_GRACE", grace)];
        let shape = Shape { settings, ..Shape::of(3, 1) };
        let mut scene = Scene::begin(run, &shape, &Plan::default()).await;
        scene.pass(seconds(2)).await;
        for node in 0..scene.cluster.nodes.len() {
            rolled(run, &mut scene, node, GRACE).await;
        }
        scene.pass(seconds(2)).await;
        let history = scene.end(run).await;
        nobody_in_doubt(run, &history);
    });
}

/// Tells a node to go, which it has to have done within its grace, and starts it again.
pub(in crate::cases) async fn rolled(
    run: &mut Run,
    scene: &mut Scene,
    node: usize,
    grace: Duration,
) {
    let began = tokio::time::Instant::now();
    let one = &mut scene.cluster.nodes[node];
    one.signal(Signal::Term).await;
    match one.ended(seconds(60)).await {
        Some(status) if status.success() => {
            let took = began.elapsed();
            run.did(format!("node {} went within {:.1} s", node + 1, took.as_secs_f64()));
            if took > grace {
                run.violated(Rule::Own, format!("node {} took {took:?} to go", node + 1));
            }
        }
        Some(status) => run.violated(Rule::Own, format!("node {} ended with {status}", node + 1)),
        None => run.violated(Rule::Own, format!("node {} does not go", node + 1)),
    }
    one.kill().await;
    one.start().await;
}

/// Everything that a node has taken in has a clear outcome: nothing is answered `unknown`, and nothing is stored of which its
/// sender was not told. What comes as a connection ends, and is read by nobody, is neither; without a `client_id` it is
/// not sent again.
pub(in crate::cases) fn nobody_in_doubt(run: &mut Run, history: &History) {
    let heard = history.tapes.iter().flat_map(|tape| &tape.heard);
    let stored: HashSet<&String> = heard.filter_map(|heard| heard.said.message()).collect();
    let unknown = history.sends.iter().filter(|sent| sent.outcome() == Outcome::Unknown);
    let (in_doubt, unread): (Vec<_>, Vec<_>) = unknown.partition(|sent| {
        let is_told = sent.attempts.iter().any(|attempt| attempt.answered.is_some());
        is_told || stored.contains(&sent.content)
    });
    run.did(format!("{} came as their connection ended", unread.len()));
    for sent in in_doubt.iter().take(3) {
        run.violated(Rule::Own, format!("{:?} is unknown: {:?}", sent.content, sent.attempts));
    }
}
