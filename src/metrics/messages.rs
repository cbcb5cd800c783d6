//! Messages: in, into the log, and out to the connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::{Histogram, IntCounter};

use super::builder::{Builder, LATENCIES};
use super::family::{Counters, Histograms};
use super::label::labels;

labels! {
    /// How a message comes in.
    Entrance("transport") {
        /// By `chat`.
        Socket => "socket",
        /// By a request.
        Http => "http",
    }
    /// What the sender of a message is told.
    Answer("outcome") {
        /// It is stored.
        Stored => "stored",
        /// It was stored before: a retry.
        Repeated => "repeated",
        /// It breaks a rule.
        Invalid => "invalid",
        /// Its sender may not.
        Forbidden => "forbidden",
        /// Its key stands for another message, or its attachment is another's.
        Conflict => "conflict",
        /// Its sender says too much.
        RateLimited => "rate_limited",
        /// A queue is full.
        Overloaded => "overloaded",
        /// The store does not answer.
        Unavailable => "unavailable",
        /// Whether it is stored is not known.
        Unknown => "unknown",
        /// The node is going.
        Draining => "draining",
        /// There is no room for the file in it.
        StorageFull => "storage_full",
        /// A fault of the server.
        Internal => "internal",
    }
    /// What became of an append.
    Commit("outcome") {
        /// All are durable.
        Stored => "stored",
        /// The position of one was taken: another node was first.
        PositionTaken => "position_taken",
        /// The `client_id` of one was taken: a retry.
        ClientIdTaken => "client_id_taken",
        /// Nobody could say.
        Unknown => "unknown",
    }
    /// Where events were stored that are delivered.
    Origin("origin") {
        /// By this node.
        Here => "here",
        /// By another, which told this one.
        Elsewhere => "elsewhere",
    }
}

/// Metrics of messages and of the log.
#[derive(Debug)]
pub struct Messages {
    /// Those that came in.
    pub received: Counters<Entrance>,
    /// What their senders were told.
    pub answers: Counters<Answer>,
    /// Those that this node stored.
    pub stored: IntCounter,
    /// Appends to the log.
    pub commits: Counters<Commit>,
    /// Attempts to append whose outcome was not known at once.
    pub unknown_attempts: IntCounter,
    commit_duration: Histogram,
    commit_events: Histogram,
}

/// Events a commit; 256 is the most that one takes.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

impl Messages {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            received: new.counters(
                "natter_messages_received_total",
                "Messages that clients of this node sent.",
            ),
            answers: new.counters(
                "natter_message_answers_total",
                "What clients of this node were told of the messages that they sent.",
            ),
            stored: new.counter(
                "natter_messages_stored_total",
                "Messages stored by this node, those of other nodes' clients among them.",
            ),
            commits: new.counters("natter_commits_total", "Appends to the log."),
            unknown_attempts: new.counter(
                "natter_commit_unknown_attempts_total",
                "Attempts to append of which nobody could say what became; each is repeated until it is known.",
            ),
            commit_duration: new.histogram(
                "natter_commit_duration_seconds",
                "Time until it was known what became of an append.",
                &LATENCIES,
            ),
            commit_events: new.histogram(
                "natter_commit_events",
                "Events that an append to the log held.",
                &BATCHES,
            ),
        }
    }

    /// Counts an append to the log of `events` events.
    pub fn appended(&self, outcome: Commit, events: usize, elapsed: Duration) {
        self.commits.of(outcome).inc();
        self.commit_duration.observe(elapsed.as_secs_f64());
        self.commit_events.observe(events as f64);
    }
}

/// Metrics of what connections are told.
#[derive(Debug)]
pub struct Delivery {
    /// Lasting events, each once a room.
    pub events: IntCounter,
    /// Lasting events, each once a connection.
    pub handed_over: IntCounter,
    /// From the commit to the socket.
    pub duration: Histograms<Origin>,
    /// How often something was found missing.
    pub gaps: IntCounter,
    /// Events that were read from the store because they had not been heard.
    pub repaired: IntCounter,
    /// How often the tails of all live rooms were looked up, because something may have been lost.
    pub sweeps: IntCounter,
    pace: Pace,
}

impl Delivery {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            events: new.counter(
                "natter_events_delivered_total",
                "Lasting events handed to the connections of this node, each counted once a room.",
            ),
            handed_over: new.counter(
                "natter_deliveries_total",
                "Lasting events handed to connections of this node, each counted once a connection.",
            ),
            duration: new.histograms(
                "natter_delivery_duration_seconds",
                "Time from the commit of events until one of the connections that listen, chosen at random, has written them to its socket. A sample: at most 20 a second. From elsewhere it begins when the other node told of them, by its clock, in milliseconds.",
                &LATENCIES,
            ),
            gaps: new.counter(
                "natter_gap_repairs_total",
                "How often events were found missing before those that came, and read from the store.",
            ),
            repaired: new.counter(
                "natter_repaired_events_total",
                "Events that were read from the store because they had not been heard.",
            ),
            sweeps: new.counter(
                "natter_sweeps_total",
                "Times that the tails of all live rooms were looked up, because something may have been lost.",
            ),
            pace: Pace::new(),
        }
    }

    /// Whether a delivery is to be followed to the socket: not all are, for that costs a task.
    pub(crate) fn is_to_be_followed(&self) -> bool {
        self.pace.is_due()
    }
}

/// Says yes at most once in [`Pace::PAUSE`], to whoever asks first.
#[derive(Debug)]
struct Pace {
    began: Instant,
    /// From when on, in microseconds since then.
    next: AtomicU64,
}

impl Pace {
    const PAUSE: Duration = Duration::from_millis(50);

    fn new() -> Self {
        Self { began: Instant::now(), next: AtomicU64::new(0) }
    }

    fn is_due(&self) -> bool {
        self.is_due_at(self.began.elapsed())
    }

    fn is_due_at(&self, elapsed: Duration) -> bool {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (now, next) = (micros(elapsed), self.next.load(Ordering::Relaxed));
        let then = now.saturating_add(micros(Self::PAUSE));
        now >= next
            && self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_followed_at_a_pace() {
        let pace = Pace::new();
        let due = |millis| pace.is_due_at(Duration::from_millis(millis));
        let asked: Vec<bool> = [0, 1, 49, 50, 51, 500, 510, 550].into_iter().map(due).collect();
        assert_eq!(asked, [true, false, false, true, false, true, false, true]);
    }
}
