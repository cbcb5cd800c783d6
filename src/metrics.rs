//! What a node tells its operator in numbers: one struct, one registry per node.
//!
//! Names are `natter_<what>_<unit>[_total]` in base units. Labels come from closed sets, so the
//! number of series does not grow with users or rooms: never an id, a name, or a path as the
//! client wrote it.

mod builder;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use self::builder::{Builder, pairs, singles};

/// Values of the label `transport`.
pub const TRANSPORTS: [&str; 2] = ["polling", "websocket"];
/// Values of the label `kind` of connections.
pub const SOCKET_KINDS: [&str; 2] = ["room", "session"];
/// Values of the label `reason` of ended connections: the client said so, its transport went, it
/// stopped answering pings, did not take what it was sent, lost its right to be here, broke the
/// protocol, the node is going, or cannot serve it now.
pub const DISCONNECT_REASONS: [&str; 8] = [
    "client",
    "transport",
    "heartbeat",
    "lagged",
    "revoked",
    "malformed",
    "draining",
    "unavailable",
];
/// Values of the label `outcome` of appends: all are durable, the position or the `client_id` of one
/// was taken, or nobody could say.
pub const COMMIT_OUTCOMES: [&str; 4] = ["stored", "position_taken", "client_id_taken", "unknown"];
/// Values of the label `queue` of refusals: a room's writer, what one client has said, what waits for the owner of a room, and
/// what other nodes bring to this one as an owner.
pub const QUEUES: [&str; 4] = ["writer", "incoming", "courier", "errands"];
/// Values of the label `reason` of commands that this node appends in a room that another owns: the bus is not there; nobody
/// listens at the owner's address; the owner has not said that it got the command, what became of it, or does not take it; it
/// has just failed in one of these ways; the command is larger than what travels.
pub const DIRECT_REASONS: [&str; 7] =
    ["link_down", "no_responders", "no_receipt", "no_result", "bounced", "in_doubt", "too_large"];
/// Values of the label `reason` of messages that did not reach the bus, or not whoever listens here: the bus was
/// away, the queue to it or of a listener full, the message too large.
pub const BUS_DROPS: [&str; 4] = ["down", "full", "slow", "too_large"];
/// Values of the label `reason` of messages of the bus that nobody here believes: of no form that is known, not said by a node
/// of this cluster, too old or said before.
pub const BUS_REFUSALS: [&str; 3] = ["malformed", "forged", "stale"];
/// Values of the label `direction` of messages of the bus.
pub const DIRECTIONS: [&str; 2] = ["in", "out"];
/// Values of the label `node` of presence: through this node, or only through others.
pub const PRESENT_THROUGH: [&str; 2] = ["here", "elsewhere"];
/// Values of the label `reason` of failed logins: a wrong name or password, too many attempts by one
/// party, too many by all.
pub const LOGIN_FAILURES: [&str; 3] = ["credentials", "rate_limited", "overloaded"];
/// Values of the label `outcome` of requests handed on to the node that holds their session: it answered, made a
/// WebSocket of it, is not or no more among the nodes, did not answer, takes nothing of this node; or
/// the client left before.
pub const FORWARD_OUTCOMES: [&str; 6] =
    ["answered", "upgraded", "unknown_node", "failed", "refused", "left"];
/// Values of the label `reason` of refusals on the internal listener.
pub const INTERNAL_REFUSALS: [&str; 6] =
    ["unsigned", "malformed", "forged", "stale", "repeated", "crowded"];

/// Seconds, from a local hit to a stuck disk.
const LATENCIES: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Events a commit; 256 is the most that one takes.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The metrics of one node. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Families>);

/// Every metric of a node. They can be used from anywhere without locking.
#[derive(Debug)]
pub struct Families {
    registry: Registry,
    /// Requests answered, by `method`, `route` (as registered) and `status`.
    pub http_requests: IntCounterVec,
    /// Seconds until a request's answer began, by `method` and `route`.
    pub http_request_duration: HistogramVec,
    /// Open TCP connections, HTTP and upgraded.
    pub tcp_connections: IntGauge,
    /// Open Socket.IO connections, by `transport` and `kind`.
    pub connections: IntGaugeVec,
    /// Socket.IO connections that were let in, by `transport` and `kind`.
    pub connects: IntCounterVec,
    /// Socket.IO connections that ended, by `reason`.
    pub disconnects: IntCounterVec,
    /// Appends to the log, by `outcome`.
    pub commits: IntCounterVec,
    /// Messages stored.
    pub messages_stored: IntCounter,
    /// Seconds a commit of the log took.
    pub commit_duration: Histogram,
    /// Events a commit of the log held.
    pub commit_events: Histogram,
    /// Lasting events handed to the connections of this node, each counted once a room.
    pub events_delivered: IntCounter,
    /// What was refused because a queue was full, by `queue`.
    pub queue_refusals: IntCounterVec,
    /// Logins that failed, by `reason`.
    pub login_failures: IntCounterVec,
    /// 1 while this node hears itself over the bus.
    pub bus_up: IntGauge,
    /// Messages of the bus, by `direction`.
    pub bus_messages: IntCounterVec,
    /// Messages that were dropped on this node, by `reason`.
    pub bus_drops: IntCounterVec,
    /// Messages of the bus that were not believed, by `reason`.
    pub bus_refusals: IntCounterVec,
    /// How often messages of the bus may have been lost.
    pub bus_losses: IntCounter,
    /// Who is present in a room, by `node`, each counted once a room.
    pub presence: IntGaugeVec,
    /// How often the tails of all live rooms were looked up, because something may have been lost.
    pub sweeps: IntCounter,
    /// Events that were read from the store because they had not been heard.
    pub repaired_events: IntCounter,
    /// How often other nodes were asked who is present in a room, because something that they had said was missed.
    pub presence_repairs: IntCounter,
    /// Commands that were brought to the owners of their rooms.
    pub forwarded_commands: IntCounter,
    /// Commands that this node appends in rooms that others own, by `reason`.
    pub direct_commands: IntCounterVec,
    /// Commands of other nodes that this one does not take.
    pub bounced_commands: IntCounter,
    /// Requests handed on to other nodes, by `outcome`.
    pub forwarded_requests: IntCounterVec,
    /// Open WebSockets of sessions that other nodes hold.
    pub forwarded_sockets: IntGauge,
    /// Requests that the internal listener refused, by `reason`.
    pub internal_refusals: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    pub fn new() -> Self {
        let new = Builder(Registry::new());
        new.build_info();
        Self(Arc::new(Families::new(new)))
    }
    /// Counts one answered request. `method` and `route` are the caller's to keep to closed sets.
    pub(crate) fn request_answered(
        &self,
        method: &str,
        route: &str,
        status: u16,
        duration: Duration,
    ) {
        let mut digits = [0; 5];
        let status = decimal(status, &mut digits);
        self.http_requests.with_label_values(&[method, route, status]).inc();
        let seconds = duration.as_secs_f64();
        self.http_request_duration.with_label_values(&[method, route]).observe(seconds);
    }

    /// Counts an append to the log of `events` events; `outcome` is one of [`COMMIT_OUTCOMES`].
    pub fn appended(&self, outcome: &'static str, events: usize, elapsed: Duration) {
        self.commits.with_label_values(&[outcome]).inc();
        self.commit_duration.observe(elapsed.as_secs_f64());
        self.commit_events.observe(events as f64);
    }

    /// Counts lasting events that went to a room's connections here.
    pub fn delivered(&self, events: usize) {
        self.events_delivered.inc_by(events as u64);
    }

    /// Counts what was refused because a queue was full; `queue` is one of [`QUEUES`].
    pub fn queue_refused(&self, queue: &'static str) {
        self.queue_refusals.with_label_values(&[queue]).inc();
    }

    /// Counts commands that another node got from this one, to append them as the owner of their rooms.
    pub fn forwarded(&self, commands: usize) {
        self.forwarded_commands.inc_by(commands as u64);
    }

    /// Counts a command that this node appends in a room that another owns; `reason` is one of [`DIRECT_REASONS`].
    pub fn went_direct(&self, reason: &'static str) {
        self.direct_commands.with_label_values(&[reason]).inc();
    }

    /// Counts commands of another node that this one does not take.
    pub fn bounced(&self, commands: usize) {
        self.bounced_commands.inc_by(commands as u64);
    }

    /// Counts a failed login; `reason` is one of [`LOGIN_FAILURES`].
    pub fn login_failed(&self, reason: &'static str) {
        self.login_failures.with_label_values(&[reason]).inc();
    }

    /// Counts a message that was published to the bus.
    pub fn bus_sent(&self) {
        self.bus_messages.with_label_values(&["out"]).inc();
    }

    /// Counts a message that somebody here was given by the bus.
    pub fn bus_received(&self) {
        self.bus_messages.with_label_values(&["in"]).inc();
    }

    /// Counts a message that was not believed; `reason` is one of [`BUS_REFUSALS`].
    pub fn bus_refused(&self, reason: &'static str) {
        self.bus_refusals.with_label_values(&[reason]).inc();
    }

    /// Counts messages that were dropped; `reason` is one of [`BUS_DROPS`].
    pub fn bus_dropped(&self, reason: &'static str, messages: usize) {
        self.bus_drops.with_label_values(&[reason]).inc_by(messages as u64);
    }

    /// Sets how many are present through this node, and only through others.
    pub fn present(&self, here: usize, elsewhere: usize) {
        for (label, count) in PRESENT_THROUGH.into_iter().zip([here, elsewhere]) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.presence.with_label_values(&[label]).set(count);
        }
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

impl Families {
    #[expect(clippy::too_many_lines, reason = "a list, one entry a metric")]
    fn new(new: Builder) -> Self {
        Self {
            http_requests: new.counters(
                "natter_http_requests_total",
                "Requests answered. Status 499 is a client that left before its answer.",
                &["method", "route", "status"],
                [],
            ),
            http_request_duration: new.histograms(
                "natter_http_request_duration_seconds",
                "Time until the answer to a request began.",
                &["method", "route"],
            ),
            tcp_connections: new
                .gauge("natter_tcp_connections", "Open TCP connections on the public port."),
            connections: new.gauges(
                "natter_connections",
                "Open Socket.IO connections.",
                &["transport", "kind"],
                pairs(&TRANSPORTS, &SOCKET_KINDS),
            ),
            connects: new.counters(
                "natter_connects_total",
                "Socket.IO connections that were let in.",
                &["transport", "kind"],
                pairs(&TRANSPORTS, &SOCKET_KINDS),
            ),
            disconnects: new.counters(
                "natter_disconnects_total",
                "Socket.IO connections that ended.",
                &["reason"],
                singles(&DISCONNECT_REASONS),
            ),
            commits: new.counters(
                "natter_commits_total",
                "Appends to the log.",
                &["outcome"],
                singles(&COMMIT_OUTCOMES),
            ),
            messages_stored: new.counter("natter_messages_stored_total", "Messages stored."),
            commit_duration: new.histogram(
                "natter_commit_duration_seconds",
                "Time a commit of the log took.",
                &LATENCIES,
            ),
            commit_events: new.histogram(
                "natter_commit_events",
                "Events that a commit of the log held.",
                &BATCHES,
            ),
            events_delivered: new.counter(
                "natter_events_delivered_total",
                "Lasting events handed to the connections of this node, each counted once a room.",
            ),
            queue_refusals: new.counters(
                "natter_queue_refusals_total",
                "What was refused because a queue was full.",
                &["queue"],
                singles(&QUEUES),
            ),
            login_failures: new.counters(
                "natter_login_failures_total",
                "Logins that failed.",
                &["reason"],
                singles(&LOGIN_FAILURES),
            ),
            bus_up: new
                .gauge("natter_bus_up", "1 while the node hears itself over the bus, else 0."),
            bus_messages: new.counters(
                "natter_bus_messages_total",
                "Messages of the bus that this node published, or that somebody here listened to.",
                &["direction"],
                singles(&DIRECTIONS),
            ),
            bus_drops: new.counters(
                "natter_bus_dropped_messages_total",
                "Messages of the bus that were dropped on this node.",
                &["reason"],
                singles(&BUS_DROPS),
            ),
            bus_refusals: new.counters(
                "natter_bus_refused_messages_total",
                "Messages of the bus that were not believed.",
                &["reason"],
                singles(&BUS_REFUSALS),
            ),
            bus_losses: new.counter(
                "natter_bus_losses_total",
                "How often messages of the bus may have been lost: the store is looked into.",
            ),
            presence: new.gauges(
                "natter_presence_entries",
                "People present in rooms that this node serves, each counted once a room.",
                &["node"],
                singles(&PRESENT_THROUGH),
            ),
            sweeps: new.counter(
                "natter_sweeps_total",
                "Times that the tails of all live rooms were looked up, because something may have been lost.",
            ),
            repaired_events: new.counter(
                "natter_repaired_events_total",
                "Events that were read from the store because they had not been heard.",
            ),
            presence_repairs: new.counter(
                "natter_presence_repairs_total",
                "Questions to other nodes who is present in a room, because something was missed.",
            ),
            forwarded_commands: new.counter(
                "natter_forwarded_commands_total",
                "Commands that were brought to the nodes that own their rooms.",
            ),
            direct_commands: new.counters(
                "natter_direct_commands_total",
                "Commands that this node appended in rooms that others own.",
                &["reason"],
                singles(&DIRECT_REASONS),
            ),
            bounced_commands: new.counter(
                "natter_bounced_commands_total",
                "Commands of other nodes for rooms that this one does not own.",
            ),
            forwarded_requests: new.counters(
                "natter_forwarded_requests_total",
                "Requests handed on to the node that holds their session.",
                &["outcome"],
                singles(&FORWARD_OUTCOMES),
            ),
            forwarded_sockets: new.gauge(
                "natter_forwarded_sockets",
                "Open WebSockets of sessions that other nodes hold.",
            ),
            internal_refusals: new.counters(
                "natter_internal_requests_refused_total",
                "Requests that the internal listener refused, for no node of the cluster had signed them as they were.",
                &["reason"],
                singles(&INTERNAL_REFUSALS),
            ),
            registry: new.0,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a number without allocating: this is on the way of every request.
fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &str {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).expect("a digit is below ten");
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[start..]).expect("digits are ASCII");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_rendered_with_help_under_the_naming_rule() {
        let metrics = Metrics::new();
        metrics.request_answered("GET", "/users/me", 200, Duration::from_millis(3));
        let text = metrics.render();
        let types: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(types.len(), 29, "{types:?}");
        for line in types {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(name.starts_with("natter_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
        assert!(text.contains(
            "natter_http_requests_total{method=\"GET\",route=\"/users/me\",status=\"200\"} 1"
        ));
        assert!(text.contains("natter_connections{kind=\"room\",transport=\"websocket\"} 0"));
    }

    #[test]
    fn two_nodes_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.messages_stored.inc();
        assert!(one.render().contains("natter_messages_stored_total 1"));
        assert!(other.render().contains("natter_messages_stored_total 0"));
    }

    #[test]
    fn a_status_is_written_in_decimals() {
        for number in [0, 7, 200, 499, u16::MAX] {
            assert_eq!(decimal(number, &mut [0; 5]), number.to_string());
        }
    }
}
