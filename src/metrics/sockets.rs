//! Connections of clients.

use prometheus::IntGauge;

use super::builder::Builder;
use super::family::{Counters, Gauges};
use super::label::labels;

labels! {
    /// How a client is connected.
    Transport("transport") {
        /// Long polling.
        Polling => "polling",
        /// A WebSocket.
        Websocket => "websocket",
    }
    /// What a connection serves.
    SocketKind("kind") {
        /// One room.
        Room => "room",
        /// All rooms of its user.
        Session => "session",
    }
    /// Why a connection has ended.
    EndReason("reason") {
        /// The client said so.
        Client => "client",
        /// Its transport went.
        Transport => "transport",
        /// It stopped answering pings.
        Heartbeat => "heartbeat",
        /// It did not take what it was sent.
        Lagged => "lagged",
        /// It lost its right to be here.
        Revoked => "revoked",
        /// It broke the protocol.
        Malformed => "malformed",
        /// The node is going.
        Draining => "draining",
        /// The node cannot serve it now.
        Unavailable => "unavailable",
    }
    /// Why a client was not let in.
    Refusal("reason") {
        /// No token, or none that counts.
        Unauthorized => "unauthorized",
        /// The room is none of its user's.
        NoMember => "no_member",
        /// What it says of itself breaks rules.
        Invalid => "invalid",
        /// Too many from its address or of its user.
        RateLimited => "rate_limited",
        /// The store does not answer, or a queue is full: it comes back.
        Unavailable => "unavailable",
        /// The node is going.
        Draining => "draining",
    }
}

/// Metrics of Socket.IO connections.
#[derive(Debug)]
pub struct Sockets {
    /// Open ones.
    pub open: Gauges<(Transport, SocketKind)>,
    /// Those that were let in.
    pub connects: Counters<(Transport, SocketKind)>,
    /// Those that were not.
    pub refused: Counters<Refusal>,
    /// Those that ended.
    pub disconnects: Counters<EndReason>,
    /// Users with at least one.
    pub users: IntGauge,
}

impl Sockets {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            open: new.gauges(
                "natter_connections",
                "Open Socket.IO connections, by the transport that they have now.",
            ),
            connects: new.counters(
                "natter_connects_total",
                "Socket.IO connections that were let in, by the transport that they began with.",
            ),
            refused: new.counters(
                "natter_connects_refused_total",
                "Handshakes of Socket.IO that were refused.",
            ),
            disconnects: new
                .counters("natter_disconnects_total", "Socket.IO connections that ended."),
            users: new.gauge("natter_connected_users", "Users with a connection to this node."),
        }
    }
}
