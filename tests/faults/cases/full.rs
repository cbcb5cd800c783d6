//! The cases that `make faults` adds.

use std::time::Duration;

use rand::RngExt;

use crate::cluster::{Cluster, Shape};
use crate::run::{Vitals, case};
use crate::workload::{Balancer, Crew, Plan, Stage};

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x31_the_embedded_node_is_killed_under_load() {
    case("x31", async |run| {
        let shape = Shape::embedded();
        let mut cluster = Cluster::start(&run.folder, &shape).await;
        let stage = Stage::new(run.seed, Balancer::over(cluster.addresses()));
        let crew = Crew::begin(&Plan::default(), &stage, cluster.first()).await;
        let mut chance = stage.chance("kills");
        let mut vitals = Vitals::default();
        for _ in 0..6 {
            let pause = Duration::from_millis(chance.random_range(1_000..3_000));
            tokio::time::sleep(pause).await;
            vitals.look(&mut cluster.nodes[0]);
            cluster.bounce(0).await;
        }
        run.did("6 kills");
        run.verify(&mut cluster, crew, &vitals).await;
    });
}
