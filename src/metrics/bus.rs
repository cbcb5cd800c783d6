//! The bus between the nodes.

use prometheus::{IntCounter, IntGauge};

use super::builder::Builder;
use super::family::Counters;
use super::label::labels;

labels! {
    /// Which way a message of the bus goes.
    Direction("direction") {
        /// Somebody here listens to it.
        In => "in",
        /// This node published it.
        Out => "out",
    }
    /// Why a message did not reach the bus, or not whoever listens here.
    Drop("reason") {
        /// The bus was away.
        Down => "down",
        /// The queue to it was full.
        Full => "full",
        /// The queue of a listener was full.
        Slow => "slow",
        /// The message was too large.
        TooLarge => "too_large",
    }
    /// Why a message of the bus is not believed.
    BusRefusal("reason") {
        /// It is of no form that is known.
        Malformed => "malformed",
        /// No node of this cluster said it.
        Forged => "forged",
        /// It is too old, or was said before.
        Stale => "stale",
    }
}

/// Metrics of the bus.
#[derive(Debug)]
pub struct Bus {
    /// 1 while this node hears itself over the bus, or needs none.
    pub up: IntGauge,
    /// How often it was connected.
    pub connects: IntCounter,
    messages: Counters<Direction>,
    bytes: Counters<Direction>,
    /// Messages that were dropped on this node.
    pub dropped: Counters<Drop>,
    /// Messages that were not believed.
    pub refused: Counters<BusRefusal>,
    /// How often messages may have been lost.
    pub losses: IntCounter,
}

impl Bus {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            up: new.gauge(
                "natter_bus_up",
                "1 while the node hears itself over the bus, or is one that needs none; else 0.",
            ),
            connects: new.counter(
                "natter_bus_connects_total",
                "Connections made to the bus; all but the first are reconnects.",
            ),
            messages: new.counters(
                "natter_bus_messages_total",
                "Messages of the bus that this node published, or that somebody here listened to.",
            ),
            bytes: new.counters(
                "natter_bus_payload_bytes_total",
                "Bytes of the payloads of these messages.",
            ),
            dropped: new.counters(
                "natter_bus_dropped_messages_total",
                "Messages of the bus that were dropped on this node.",
            ),
            refused: new.counters(
                "natter_bus_refused_messages_total",
                "Messages of the bus that were not believed.",
            ),
            losses: new.counter(
                "natter_bus_losses_total",
                "How often messages of the bus may have been lost: the store is looked into.",
            ),
        }
    }

    /// Counts a message with a payload of `bytes`.
    pub fn carried(&self, direction: Direction, bytes: usize) {
        self.messages.of(direction).inc();
        self.bytes.of(direction).inc_by(bytes as u64);
    }
}
