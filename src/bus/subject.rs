//! Every subject of the bus.

use std::fmt;

use crate::domain::{RoomId, UserId};

/// An address on the bus. Ids are hex, so none can hold what separates or matches the parts of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// What lasts in a room: frames.
    pub fn room_events(room: RoomId) -> Self {
        Self(format!("natter.room.{room}.events"))
    }

    /// What is fleeting in a room: typing, read markers.
    pub fn room_signals(room: RoomId) -> Self {
        Self(format!("natter.room.{room}.signals"))
    }

    /// What concerns the connections of one user.
    pub fn user(user: UserId) -> Self {
        Self(format!("natter.user.{user}"))
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
