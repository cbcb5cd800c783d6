//! A database that changes its primary.

use mongodb::bson::doc;

use crate::cases::scene::{Scene, seconds};
use crate::cluster::Shape;
use crate::run::case;
use crate::workload::{Pace, Plan};

/// Three members and three nodes share a small machine.
pub(in crate::cases) fn calm() -> Plan {
    Plan {
        writers: 3,
        pace: Pace { every: std::time::Duration::from_millis(400), burst: 6 },
        ..Plan::default()
    }
}

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x09_the_primary_is_killed_and_steps_down_under_load() {
    case("x09", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(2, 3), &calm()).await;
        scene.pass(seconds(3)).await;
        let primary = scene.cluster.mongo().primary().await;
        scene.cluster.mongo().members[primary].kill().await;
        scene.pass(seconds(4)).await;
        scene.cluster.mongo().primary().await;
        scene.cluster.mongo().members[primary].restart().await;
        run.did("the primary was killed");
        scene.pass(seconds(4)).await;
        let primary = scene.cluster.mongo().primary().await;
        let step_down =
            doc! { "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5, "force": true };
        // It closes connections as it goes, this one too.
        _ = scene.cluster.mongo().members[primary].admin(step_down).await;
        run.did("the primary stepped down");
        scene.pass(seconds(6)).await;
        scene.cluster.mongo().primary().await;
        scene.end(run).await;
    });
}
