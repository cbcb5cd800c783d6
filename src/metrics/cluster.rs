//! Live rooms, who is there, and what the nodes of a cluster do for each other.

use prometheus::{IntCounter, IntGauge};

use super::builder::Builder;
use super::family::{Counters, Gauges};
use super::label::labels;

labels! {
    /// Through which node somebody is present.
    Through("node") {
        /// Through this one.
        Here => "here",
        /// Only through others.
        Elsewhere => "elsewhere",
    }
    /// Why this node appends in a room that another owns.
    DirectReason("reason") {
        /// The bus is not there.
        LinkDown => "link_down",
        /// Nobody listens where the owner should.
        NoResponders => "no_responders",
        /// The owner has not confirmed that it got the command.
        NoReceipt => "no_receipt",
        /// It has, and then never said what became of it.
        NoResult => "no_result",
        /// It does not take it.
        Bounced => "bounced",
        /// It has just failed in one of these ways.
        InDoubt => "in_doubt",
        /// The command is larger than what travels.
        TooLarge => "too_large",
    }
    /// What became of a request that was handed on to the node that holds its session.
    Forwarded("outcome") {
        /// It answered.
        Answered => "answered",
        /// It made a WebSocket of it.
        Upgraded => "upgraded",
        /// It is not, or no more, among the nodes.
        UnknownNode => "unknown_node",
        /// It did not answer.
        Failed => "failed",
        /// It takes nothing of this node.
        Refused => "refused",
        /// The client left before.
        Left => "left",
    }
    /// Why the internal listener refused a request.
    InternalRefusal("reason") {
        /// Nobody signed it.
        Unsigned => "unsigned",
        /// What signs it cannot be read.
        Malformed => "malformed",
        /// No node of this cluster signed it as it is.
        Forged => "forged",
        /// It is too old.
        Stale => "stale",
        /// It was here before.
        Repeated => "repeated",
        /// More come than can be kept in mind.
        Crowded => "crowded",
    }
}

/// Metrics of live rooms and of the nodes' doings for each other.
#[derive(Debug)]
pub struct Cluster {
    /// Nodes that are known, this one included.
    pub nodes: IntGauge,
    /// Rooms that are live here.
    pub live_rooms: IntGauge,
    /// Who is present in a room, each once a room.
    pub present: Gauges<Through>,
    /// How often other nodes were asked who is present, because something that they had said was missed.
    pub presence_repairs: IntCounter,
    /// Commands that were brought to the owners of their rooms.
    pub forwarded_commands: IntCounter,
    /// Commands that this node appends in rooms that others own.
    pub direct_commands: Counters<DirectReason>,
    /// Commands of other nodes that this one does not take.
    pub bounced_commands: IntCounter,
    /// Requests handed on to other nodes.
    pub forwarded_requests: Counters<Forwarded>,
    /// Open WebSockets of sessions that other nodes hold.
    pub forwarded_sockets: IntGauge,
    /// Requests that the internal listener refused.
    pub internal_refusals: Counters<InternalRefusal>,
}

impl Cluster {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            nodes: new.gauge(
                "natter_cluster_nodes",
                "Nodes of the cluster that this one hears, itself included.",
            ),
            live_rooms: new.gauge(
                "natter_live_rooms",
                "Rooms that somebody on this node listens to or writes in, or did within the last minute.",
            ),
            present: new.gauges(
                "natter_presence_entries",
                "People present in rooms that this node serves, each counted once a room: through this node, or only through others.",
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
            ),
            bounced_commands: new.counter(
                "natter_bounced_commands_total",
                "Commands of other nodes for rooms that this one does not own.",
            ),
            forwarded_requests: new.counters(
                "natter_forwarded_requests_total",
                "Requests handed on to the node that holds their session.",
            ),
            forwarded_sockets: new.gauge(
                "natter_forwarded_sockets",
                "Open WebSockets of sessions that other nodes hold.",
            ),
            internal_refusals: new.counters(
                "natter_internal_requests_refused_total",
                "Requests that the internal listener refused, for no node of the cluster had signed them as they were.",
            ),
        }
    }
}
