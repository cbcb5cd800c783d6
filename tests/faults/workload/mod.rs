//! What people do while things break: they write, listen, go and come back; somebody changes who is in which room.

mod admin;
mod balancer;
mod ear;
mod plan;
mod reader;
mod writer;

pub(crate) use balancer::Balancer;
pub(crate) use ear::Ear;
pub(crate) use plan::{Crew, Plan};
pub(crate) use writer::{Pace, read as answer};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::history::Clock;

/// How long what was begun may take to come to its end, once nothing is broken any more.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// That somebody was cut off, and came back.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    /// Who: a writer or a reader.
    pub(crate) name: String,
    /// How long they were away.
    pub(crate) lasted: Duration,
}

/// What everybody of a run shares.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// The time.
    pub(crate) clock: Clock,
    /// Where the nodes are.
    pub(crate) balancer: Balancer,
    seed: u64,
    connections: Arc<AtomicU64>,
    changes: Arc<AtomicU64>,
    outages: Arc<Mutex<Vec<Outage>>>,
    curtain: Arc<watch::Sender<bool>>,
}

impl Stage {
    /// A stage on which everything follows from `seed`, but for what the machine does.
    pub(crate) fn new(seed: u64, balancer: Balancer) -> Self {
        let curtain = Arc::new(watch::Sender::new(false));
        let (connections, changes, outages) = (Arc::default(), Arc::default(), Arc::default());
        Self { clock: Clock::start(), balancer, seed, connections, changes, outages, curtain }
    }

    /// The chance of whoever has this name.
    pub(crate) fn chance(&self, name: &str) -> StdRng {
        let mixed = name
            .bytes()
            .fold(self.seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        StdRng::seed_from_u64(mixed)
    }

    /// The number of a further connection.
    fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// How many memberships have been changed so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Notes that one more has.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that somebody is back who was cut off.
    fn is_back(&self, name: &str, since: Instant) {
        let outage = Outage { name: name.to_owned(), lasted: since.elapsed() };
        self.outages.lock().unwrap().push(outage);
    }

    /// Everybody who was cut off and came back so far, once for each time.
    pub(crate) fn outages(&self) -> Vec<Outage> {
        self.outages.lock().unwrap().clone()
    }

    /// Nothing new is begun from now on.
    pub(crate) fn close(&self) {
        self.curtain.send_replace(true);
    }

    /// Whether nothing new is to be begun.
    fn is_closed(&self) -> bool {
        *self.curtain.borrow()
    }

    /// Waits for `time`, but no longer than until nothing new is to be begun.
    async fn pause(&self, time: Duration) {
        let mut curtain = self.curtain.subscribe();
        _ = tokio::time::timeout(time, curtain.wait_for(|is_closed| *is_closed)).await;
    }
}
