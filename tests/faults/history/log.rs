//! The final log, as one replica of the store holds it.

use std::collections::BTreeMap;

/// What an event is, as far as the checker cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message with these words.
    Message(String),
    /// A message of which nothing is left.
    Gone,
    /// This user came in.
    Came(String),
    /// This user went.
    Went(String),
    /// Everything else, by its name.
    Other(String),
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its position in its room.
    pub(crate) seq: u64,
    /// Whose it is.
    pub(crate) sender: String,
    /// The key that its sender gave, if any: one that the server made does not count.
    pub(crate) client_id: Option<String>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// The log as one replica holds it: the entries of each room in the order of their positions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replica {
    /// Where it was read.
    pub(crate) name: String,
    /// By room.
    pub(crate) rooms: BTreeMap<String, Vec<Entry>>,
}

impl Replica {
    /// The entries of a room.
    pub(crate) fn room(&self, room: &str) -> &[Entry] {
        self.rooms.get(room).map_or(&[], Vec::as_slice)
    }

    /// The entry at a position.
    pub(crate) fn at(&self, room: &str, seq: u64) -> Option<&Entry> {
        let entries = self.room(room);
        let place = entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        entries.get(place)
    }

    /// The position of the last event of a room.
    pub(crate) fn tail(&self, room: &str) -> u64 {
        self.room(room).last().map_or(0, |entry| entry.seq)
    }

    /// The stays of `user` in a room: first position, and the one that ended it.
    pub(crate) fn stays(&self, room: &str, user: &str) -> Vec<(u64, Option<u64>)> {
        let mut stays: Vec<(u64, Option<u64>)> = Vec::new();
        for entry in self.room(room) {
            match &entry.kind {
                Kind::Came(who) if who == user => stays.push((entry.seq, None)),
                Kind::Went(who) if who == user => {
                    if let Some((_, end @ None)) = stays.last_mut() {
                        *end = Some(entry.seq);
                    }
                }
                _ => {}
            }
        }
        stays
    }

    /// Whether `user` is in the room in the end.
    pub(crate) fn is_member(&self, room: &str, user: &str) -> bool {
        matches!(self.stays(room, user).last(), Some((_, None)))
    }
}
