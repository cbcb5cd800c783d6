//! A bus that is not there.

use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::cluster::Shape;
use crate::history::{At, History, Outcome, Said};
use crate::run::{Run, case};
use crate::workload::Plan;

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x06_the_bus_is_dead_for_a_while_and_everything_goes_on() {
    case("x06", async |run| dead(run, 15).await);
}

/// The bus is dead for so long: sends succeed, delivery goes on locally, everything catches up.
pub(in crate::cases) async fn dead(run: &mut Run, long: u64) {
    let mut scene = Scene::begin(run, &Shape::of(3, 1), &Plan::default()).await;
    scene.pass(seconds(3)).await;
    scene.cluster.nats().kill().await;
    let from = scene.now();
    scene.pass(seconds(long)).await;
    let through = scene.now();
    scene.cluster.nats().restart().await;
    scene.pass(seconds(5)).await;
    run.did(format!("the bus was dead for {long} s"));
    let history = scene.end(run).await;
    went_on(run, &history, (from, through));
}

/// Sends that began while the bus was dead succeeded, and people heard them all the while.
fn went_on(run: &mut Run, history: &History, (from, through): (At, At)) {
    let inside = |at: At| from <= at && at <= through;
    let sends = history.sends.iter().filter(|sent| sent.invoked().is_some_and(inside));
    let (mut acked, mut lost) = (0, 0);
    for sent in sends {
        match sent.outcome() {
            Outcome::Acked(..) => acked += 1,
            Outcome::Unknown => lost += 1,
            Outcome::Refused => {}
        }
    }
    let heard = history.tapes.iter().flat_map(|tape| &tape.heard);
    let heard = heard.filter(|one| inside(one.at) && matches!(one.said, Said::Event(..))).count();
    run.did(format!("meanwhile {acked} acked and {heard} delivered"));
    if acked == 0 || lost > 0 || heard == 0 {
        let what = format!("without the bus {acked} were acked, {lost} unknown, {heard} delivered");
        run.violated(Rule::Own, what);
    }
}
