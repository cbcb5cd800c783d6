//! One node with the embedded store.

use std::time::Duration;

use crate::cases::scene::Scene;
use crate::cluster::Shape;
use crate::run::case;
use crate::workload::{Pace, Plan};

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x31_the_embedded_node_is_killed_under_load() {
    case("x31", async |run| {
        let pace = Pace { every: Duration::from_millis(50), burst: 8 };
        let plan = Plan { pace, ..Plan::default() };
        let mut scene = Scene::begin(run, &Shape::embedded(), &plan).await;
        for _ in 0..10 {
            scene.pass_some(500..2_000).await;
            scene.cluster.bounce(0).await;
        }
        run.did("10 kills");
        scene.end(run).await;
    });
}
