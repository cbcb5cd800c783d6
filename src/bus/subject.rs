//! Every subject of the bus.

use std::fmt;

use crate::domain::{BootId, RoomId, UserId};

/// An address on the bus. Ids are hex, so none can hold what separates or matches the parts of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// What lasts in a room: frames, and how far its log goes.
    pub fn room_events(room: RoomId) -> Self {
        Self(format!("natter.room.{room}.events"))
    }

    /// What is fleeting in a room: typing, read markers, presence.
    pub fn room_signals(room: RoomId) -> Self {
        Self(format!("natter.room.{room}.signals"))
    }

    /// What concerns the connections of one user.
    pub fn user(user: UserId) -> Self {
        Self(format!("natter.user.{user}"))
    }

    /// What one node is asked by others.
    pub fn node(node: BootId) -> Self {
        Self(format!("natter.node.{node}"))
    }

    /// What answers to one node are sealed for. They travel to an address of each request's own, which is not known
    /// beforehand, so nothing is published here.
    pub fn answers(node: BootId) -> Self {
        Self(format!("natter.node.{node}.answers"))
    }

    /// Heartbeats of all nodes, and nothing else.
    pub fn nodes() -> Self {
        Self("natter.nodes".to_owned())
    }

    /// What every node tells every other, seldom: what users have used up of their limits.
    pub fn limits() -> Self {
        Self("natter.limits".to_owned())
    }

    /// Where the answers to the request number `number` of one process go, within that process.
    pub(crate) fn inbox(number: u64) -> Self {
        Self(format!("natter.inbox.{number}"))
    }

    /// Whether answers may go there: a request of a foreign client could name any subject.
    pub fn is_inbox(&self) -> bool {
        self.0.starts_with("natter.inbox.") && !self.0.contains(['*', '>', ' '])
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
