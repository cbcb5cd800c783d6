//! What waits, and how much of it may.

use super::builder::Builder;
use super::family::{Counters, Gauges};
use super::label::labels;

labels! {
    /// A queue that refuses what it has no place for.
    FullQueue("queue") {
        /// Of a room's writer.
        Writer => "writer",
        /// What one client has said.
        Incoming => "incoming",
        /// What waits for the owner of rooms.
        Courier => "courier",
        /// What other nodes bring to this one as an owner.
        Errands => "errands",
    }
    /// A queue whose depth is looked at.
    Depth("queue") {
        /// Commands in one room without an answer.
        Writer => "writer",
        /// Events of one client without an answer.
        Incoming => "incoming",
        /// Commands for one owner without an answer.
        Courier => "courier",
        /// Commands of other nodes without an answer.
        Errands => "errands",
        /// Passwords that wait for bcrypt, or are under it.
        Passwords => "passwords",
        /// Messages for the bus.
        Bus => "bus",
        /// Bytes for one client.
        OutgoingBytes => "outgoing_bytes",
    }
}

/// Metrics of queues.
#[derive(Debug)]
pub struct Queues {
    /// What was refused because one was full.
    pub refused: Counters<FullQueue>,
    depth: Gauges<Depth>,
    limit: Gauges<Depth>,
}

impl Queues {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            refused: new.counters(
                "natter_queue_refusals_total",
                "What was refused because a queue was full.",
            ),
            depth: new.gauges(
                "natter_queue_depth",
                "What waits in a queue; of many of a kind, in the fullest of this node.",
            ),
            limit: new.gauges("natter_queue_limit", "The most that may wait in such a queue."),
        }
    }

    /// Sets how much waits in a queue, or in the fullest of its kind, and how much may.
    pub fn filled(&self, queue: Depth, depth: usize, limit: usize) {
        self.depth.of(queue).set(super::whole(depth));
        self.limit.of(queue).set(super::whole(limit));
    }
}
