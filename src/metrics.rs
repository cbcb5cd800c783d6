//! What a node tells its operator in numbers: one struct, one registry per node.
//!
//! Names are `natter_<what>_<unit>[_total]` in base units; `process_<what>` are the names that every exporter gives
//! these. Labels come from closed sets, which are types, so the number of series does not grow with users or rooms:
//! never an id, a name, or a path as the client wrote it. `docs/METRICS.md` is made from what is registered here.

mod accounts;
mod builder;
mod bus;
mod cluster;
mod document;
mod family;
mod http;
mod label;
mod messages;
mod process;
mod queues;
mod runtime;
mod sockets;
mod store;
mod traces;

use std::ops::Deref;
use std::sync::Arc;

use prometheus::{Registry, TextEncoder};

pub use self::accounts::{Accounts, LoginFailure};
use self::builder::Builder;
pub use self::builder::Described;
pub use self::bus::{Bus, BusRefusal, Direction, Drop};
pub use self::cluster::{Cluster, DirectReason, Forwarded, InternalRefusal, Through};
pub use self::document::document;
pub use self::family::{Counters, Family, Gauges, Histograms};
pub use self::http::{AnswerClass, Http};
pub use self::label::Labels;
pub use self::messages::{Answer, Commit, Delivery, Entrance, Messages, Origin};
pub use self::process::Process;
pub use self::queues::{Depth, FullQueue, Queues};
pub use self::runtime::Runtime;
pub use self::sockets::{EndReason, Refusal, SocketKind, Sockets, Transport};
pub use self::store::{Media, MediaOperation, Store, StoreFailure, StoreOperation};
pub use self::traces::{SpanOutcome, Traces};

/// The metrics of one node. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Families>);

/// Every metric of a node. They can be used from anywhere without locking.
#[derive(Debug)]
pub struct Families {
    registry: Registry,
    described: Vec<Described>,
    /// Requests.
    pub http: Http,
    /// Connections of clients.
    pub sockets: Sockets,
    /// Messages and the log.
    pub messages: Messages,
    /// What connections are told.
    pub delivery: Delivery,
    /// Live rooms, presence, and what nodes do for each other.
    pub cluster: Cluster,
    /// The bus.
    pub bus: Bus,
    /// The store.
    pub store: Store,
    /// The media store.
    pub media: Media,
    /// Who signs in.
    pub accounts: Accounts,
    /// What waits.
    pub queues: Queues,
    /// Traces.
    pub traces: Traces,
    /// The runtime, and the node's life.
    pub runtime: Runtime,
    /// The process.
    pub process: Process,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    pub fn new() -> Self {
        let new = Builder::new();
        new.build_info();
        Self(Arc::new(Families {
            http: Http::new(&new),
            sockets: Sockets::new(&new),
            messages: Messages::new(&new),
            delivery: Delivery::new(&new),
            cluster: Cluster::new(&new),
            bus: Bus::new(&new),
            store: Store::new(&new),
            media: Media::new(&new),
            accounts: Accounts::new(&new),
            queues: Queues::new(&new),
            traces: Traces::new(&new),
            runtime: Runtime::new(&new),
            process: Process::new(&new),
            registry: new.registry,
            described: new.described.into_inner(),
        }))
    }

    /// What every metric is, in the order in which they were registered.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// All metrics in the text form that Prometheus reads.
    pub fn render(&self) -> String {
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .expect("the registry has checked every name and label")
    }
}

impl Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A number of things, for a gauge.
fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_metric_is_rendered_with_help_under_the_naming_rule() {
        let metrics = Metrics::new();
        metrics.http.answered("GET", "/users/me", 200, Duration::from_millis(3));
        let text = metrics.render();
        let types: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(types.len(), metrics.described().len(), "{types:?}");
        for described in metrics.described() {
            let Described { name, kind, help, .. } = described;
            assert!(types.contains(&format!("{name} {kind}").as_str()), "{name} is no {kind}");
            assert!(name.starts_with("natter_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name} is a {kind}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            assert!(help.ends_with('.') && !help.contains(['|', '\n']), "{name}: {help}");
        }
        assert!(text.contains(
            "natter_http_requests_total{method=\"GET\",route=\"/users/me\",status=\"200\"} 1"
        ));
    }

    #[test]
    fn every_series_of_a_closed_set_is_there_from_the_start() {
        let metrics = Metrics::new();
        let text = metrics.render();
        for Described { name, kind, labels, .. } in metrics.described() {
            let known: usize = labels.iter().map(|(_, values)| values.len()).product();
            let suffix = if *kind == "histogram" { "_count" } else { "" };
            let begin = format!("{name}{suffix}{{");
            let series = text.lines().filter(|line| line.starts_with(&begin)).count();
            if !labels.is_empty() && name != "natter_build_info" {
                assert_eq!(series, known, "{name}");
            }
        }
        assert!(text.contains("natter_connections{kind=\"room\",transport=\"websocket\"} 0"));
    }

    #[test]
    fn two_nodes_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.messages.stored.inc();
        assert!(one.render().contains("natter_messages_stored_total 1"));
        assert!(other.render().contains("natter_messages_stored_total 0"));
    }
}
