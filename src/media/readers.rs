//! Remembers for a moment who may load the files of which room.
//!
//! A page of pictures asks the same question twenty times at once. An answer that is remembered may
//! be late by [`REMEMBERED`]; only a yes is, so that who comes into a room sees its files at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{RoomId, UserId};

/// How long a yes counts.
const REMEMBERED: Duration = Duration::from_secs(2);

/// The most answers that are kept, about 1 MiB. When full, those that are over go; if none is, all do.
const CAPACITY: usize = 16 * 1024;

/// The answers. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readers {
    until: Arc<Mutex<HashMap<(RoomId, UserId), Instant>>>,
}

impl Readers {
    /// Whether `user` was known to be allowed the files of `room` a moment before `now`.
    pub fn knows(&self, room: RoomId, user: UserId, now: Instant) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&(room, user)).is_some_and(|&until| now < until)
    }

    /// Notes that `user` was allowed the files of `room` at `now`.
    pub fn note(&self, room: RoomId, user: UserId, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= CAPACITY {
            until.retain(|_, end| now < *end);
        }
        if until.len() >= CAPACITY {
            until.clear();
        }
        until.insert((room, user), now + REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_remembered_for_two_seconds_and_for_that_room_only() {
        let readers = Readers::default();
        let (room, other, user) = (RoomId::new(1, 1), RoomId::new(1, 2), UserId::new(1, 3));
        let now = Instant::now();
        assert!(!readers.knows(room, user, now));
        readers.note(room, user, now);
        let late = now + REMEMBERED - Duration::from_millis(1);
        assert!(readers.knows(room, user, late));
        assert!(!readers.knows(other, user, late));
        assert!(!readers.knows(room, user, now + REMEMBERED));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (readers, now) = (Readers::default(), Instant::now());
        let room = RoomId::new(1, 1);
        for user in 0..=CAPACITY as u64 {
            readers.note(room, UserId::new(1, user), now);
        }
        assert!(readers.until.lock().unwrap().len() <= CAPACITY);
        assert!(readers.knows(room, UserId::new(1, CAPACITY as u64), now));
    }
}
