//! The runtime that all tasks of a node share, and where the node is in its life.

use std::time::Duration;

use prometheus::{Counter, Histogram, IntGauge};
use tokio::runtime::Handle;

use super::builder::{Builder, LATENCIES};

/// Metrics of the runtime and the node's life.
#[derive(Debug)]
pub struct Runtime {
    /// 1 while new clients may be sent here.
    pub ready: IntGauge,
    /// 1 once the node is told to go.
    pub draining: IntGauge,
    workers: IntGauge,
    tasks: IntGauge,
    waiting: IntGauge,
    busy: Counter,
    delay: Histogram,
}

impl Runtime {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            ready: new.gauge(
                "natter_ready",
                "1 while new clients may be sent to this node, as /readyz says; else 0.",
            ),
            draining: new.gauge("natter_draining", "1 once the node is told to go; else 0."),
            workers: new.gauge("natter_runtime_workers", "Threads that run tasks."),
            tasks: new.gauge("natter_runtime_tasks", "Tasks that are under way."),
            waiting: new.gauge(
                "natter_runtime_queue_depth",
                "Tasks that are ready and that no thread has taken yet.",
            ),
            busy: new.sum(
                "natter_runtime_busy_seconds_total",
                "Time that the threads have run tasks, all taken together.",
            ),
            delay: new.histogram(
                "natter_runtime_delay_seconds",
                "How much later than it should a task runs that wakes once a second: the lag of everything else.",
                &LATENCIES,
            ),
        }
    }

    /// Looks at the runtime that the caller runs on.
    pub(crate) fn look(&self) {
        let metrics = Handle::current().metrics();
        let workers = metrics.num_workers();
        self.workers.set(super::whole(workers));
        self.tasks.set(super::whole(metrics.num_alive_tasks()));
        self.waiting.set(super::whole(metrics.global_queue_depth()));
        let busy: Duration =
            (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum();
        self.busy.inc_by((busy.as_secs_f64() - self.busy.get()).max(0.0));
    }

    /// Notes how late a task was.
    pub(crate) fn was_late(&self, delay: Duration) {
        self.delay.observe(delay.as_secs_f64());
    }
}
