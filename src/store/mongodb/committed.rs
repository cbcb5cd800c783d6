//! Up to where this node knows logs to be committed, so that an append need not look.
//!
//! Only a hint that saves reads: what is not here is read from the log. What is here was told by a clean answer or
//! a majority, so it never becomes wrong, only old.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::{RoomId, Seq};

/// Logs that are remembered: some 4 MB.
const LOGS: usize = 65_536;

/// A committed position, and whether the log ends with it for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) seq: Seq,
    pub(super) ended: bool,
}

/// The furthest position that is known of each log.
#[derive(Default)]
pub(super) struct Committed(Mutex<HashMap<RoomId, Known>>);

impl Committed {
    pub(super) fn get(&self, room: RoomId) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&room).copied()
    }

    /// Notes that the log of `room` is committed up to `known`.
    pub(super) fn note(&self, room: RoomId, known: Known) {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logs.len() >= LOGS && !logs.contains_key(&room) {
            logs.clear(); // Each costs one read to be known again.
        }
        let log = logs.entry(room).or_insert(known);
        if known.seq > log.seq {
            *log = known;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_never_known_to_be_shorter_than_before() {
        let (committed, room) = (Committed::default(), RoomId::new(1, 1));
        let known = |seq, ended| Known { seq: Seq(seq), ended };
        assert_eq!(committed.get(room), None);
        for (noted, then) in [
            (known(3, false), known(3, false)),
            (known(2, false), known(3, false)),
            (known(4, true), known(4, true)),
            (known(3, false), known(4, true)),
        ] {
            committed.note(room, noted);
            assert_eq!(committed.get(room), Some(then));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let committed = Committed::default();
        for n in 0..LOGS as u64 + 10 {
            committed.note(RoomId::new(n, 0), Known { seq: Seq(1), ended: false });
        }
        assert!(committed.0.lock().unwrap().len() <= LOGS);
    }
}
