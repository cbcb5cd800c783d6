//! What is to be done.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;

/// All of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    /// Where the server is.
    pub(crate) address: SocketAddr,
    /// The processes whose CPU and memory are measured, by what they are called in the result.
    pub(crate) watched: BTreeMap<String, u32>,
    /// How many connections are made at the same time.
    pub(crate) at_once: usize,
    /// The sockets, each in one room.
    pub(crate) sockets: Vec<Member>,
    /// What they do.
    pub(crate) work: Work,
}

/// One socket.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Member {
    /// What lets it in.
    pub(crate) token: String,
    /// Its room.
    pub(crate) room: String,
    /// Whether it speaks.
    #[serde(default)]
    pub(crate) speaks: bool,
}

/// What the sockets do.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Those who speak do so without a pause.
    Chat(Chat),
    /// Nobody speaks; then all are cut off, and come back at once.
    Idle(Idle),
}

/// A closed loop: whoever speaks says the next thing when an earlier one is heard.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Chat {
    /// Messages of each that are under way.
    pub(crate) depth: u64,
    /// Bytes of a message, 16 at least.
    pub(crate) bytes: usize,
    /// How long they speak before it counts.
    pub(crate) warm_seconds: f64,
    /// And while it does.
    pub(crate) seconds: f64,
}

/// Sockets at rest.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Idle {
    /// For how long.
    pub(crate) seconds: f64,
}
