//! What most cases begin and end with: a cluster, people who are busy, and a look at all of it in the end.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::cluster::{Cluster, Shape};
use crate::history::At;
use crate::run::{Run, Vitals};
use crate::workload::{Balancer, Crew, Plan, Stage};

/// A cluster with people on it.
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) stage: Stage,
    pub(super) crew: Crew,
    pub(super) chance: StdRng,
    vitals: Vitals,
}

impl Scene {
    /// Starts the cluster, and everybody begins.
    pub(super) async fn begin(run: &Run, shape: &Shape, plan: &Plan) -> Self {
        Self::begin_with(run, shape, plan, |_| ()).await
    }

    /// The same, with something changed before any node is started.
    pub(super) async fn begin_with(
        run: &Run,
        shape: &Shape,
        plan: &Plan,
        change: impl FnOnce(&mut Cluster),
    ) -> Self {
        let cluster = Cluster::start_with(&run.folder, shape, change).await;
        let stage = Stage::new(run.seed, Balancer::over(cluster.addresses()));
        run.now("the nodes are ready");
        let crew = Crew::begin(plan, &stage, cluster.first()).await;
        run.now("everybody is in");
        let chance = stage.chance("faults");
        Self { cluster, stage, crew, chance, vitals: Vitals::default() }
    }

    /// Lets people be busy for a while.
    pub(super) async fn pass(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            self.cluster.nodes.iter_mut().for_each(|node| self.vitals.look(node));
            let next = tokio::time::Instant::now() + Vitals::EVERY;
            tokio::time::sleep_until(next.min(end)).await;
        }
    }

    /// The same for some time between these, in milliseconds.
    pub(super) async fn pass_some(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = Duration::from_millis(self.chance.random_range(milliseconds));
        self.pass(time).await;
    }

    /// The place of a node that is left to chance.
    pub(super) fn any_node(&mut self) -> usize {
        self.chance.random_range(0..self.cluster.nodes.len())
    }

    /// The moment.
    pub(super) fn now(&self) -> At {
        self.stage.clock.now()
    }

    /// Everybody comes to an end, and all rules are checked.
    pub(super) async fn end(mut self, run: &mut Run) -> crate::history::History {
        run.verify(&mut self.cluster, self.crew, &self.vitals).await
    }
}

/// Seconds.
pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
