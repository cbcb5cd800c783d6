//! What one reader heard, over all of its connections.

use super::{At, Kind};

/// One reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    /// What the run calls it.
    pub(crate) name: String,
    /// The id of its user.
    pub(crate) user: String,
    /// What it heard, in order.
    pub(crate) heard: Vec<Heard>,
}

/// One thing that a reader heard of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// When.
    pub(crate) at: At,
    /// The room.
    pub(crate) room: String,
    /// What.
    pub(crate) said: Said,
}

/// What was said of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The reader is live in the room from behind this position on: it had none before.
    From(u64),
    /// Instead of a replay, it is live from behind this position on.
    Cut(u64),
    /// The event at this position.
    Event(u64, Kind),
    /// The reader knows that it is not in the room any more, and has forgotten its position.
    Left,
}

impl Said {
    /// The words, if it is a message.
    pub(crate) fn message(&self) -> Option<&String> {
        match self {
            Self::Event(_, Kind::Message(words)) => Some(words),
            _ => None,
        }
    }
}
