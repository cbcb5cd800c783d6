//! What a node counts about itself: one registry a node, labels from closed sets, never an id.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// The metrics of one node. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    registry: Registry,
    append_seconds: Histogram,
    append_events: Histogram,
    appends: IntCounterVec,
    events_delivered: IntCounter,
}

impl Metrics {
    /// Every metric at zero, in a registry of its own.
    pub fn new() -> Self {
        let registry = Registry::new();
        let append_seconds = register(
            &registry,
            Histogram::with_opts(HistogramOpts::new(
                "natter_log_append_seconds",
                "Time from handing a batch of events to the store until its outcome was known.",
            )),
        );
        let append_events = register(
            &registry,
            Histogram::with_opts(
                HistogramOpts::new("natter_log_append_events", "Events in one append.")
                    .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            ),
        );
        let appends = register(
            &registry,
            IntCounterVec::new(
                Opts::new("natter_log_appends_total", "Appends by outcome."),
                &["outcome"],
            ),
        );
        let events_delivered = register(
            &registry,
            IntCounter::new(
                "natter_log_events_delivered_total",
                "Lasting events handed to the connections of this node, each counted once a room.",
            ),
        );
        Self(Arc::new(Families {
            registry,
            append_seconds,
            append_events,
            appends,
            events_delivered,
        }))
    }

    /// The registry, for the page that is scraped.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// An append of `events` events took `elapsed` and ended as `outcome`: `stored`, `position_taken`, `client_id_taken` or `unknown`.
    pub fn appended(&self, outcome: &'static str, events: usize, elapsed: Duration) {
        self.0.appends.with_label_values(&[outcome]).inc();
        self.0.append_seconds.observe(elapsed.as_secs_f64());
        self.0.append_events.observe(events as f64);
    }

    /// `events` lasting events went to a room's connections here.
    pub fn delivered(&self, events: usize) {
        self.0.events_delivered.inc_by(events as u64);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.expect("the names and labels of metrics are constants, and right");
    registry.register(Box::new(collector.clone())).expect("every metric has a name of its own");
    collector
}
