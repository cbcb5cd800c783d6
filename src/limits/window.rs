//! So many attempts within a while, counted from the first one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{MAX_KEYS, Wait};
use crate::config::Limit;

/// Attempts by key. A key's window begins with its first attempt and is forgotten after its end.
#[derive(Debug)]
pub(super) struct Windows<K> {
    limit: Limit,
    length: Duration,
    open: Mutex<HashMap<K, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    attempts: u32,
}

impl<K: Eq + Hash> Windows<K> {
    pub(super) fn new(limit: Limit, length: Duration) -> Self {
        Self { limit, length, open: Mutex::default() }
    }

    /// Counts an attempt at `now`, or answers how long to wait for the next window.
    pub(super) fn count(&self, key: K, now: Instant) -> Result<(), Wait> {
        let Some(limit) = self.limit.get() else { return Ok(()) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_KEYS && !open.contains_key(&key) {
            self.make_room(&mut open, limit, now);
        }
        let window = open.entry(key).or_insert(Window { began: now, attempts: 0 });
        let age = now.saturating_duration_since(window.began);
        if age >= self.length {
            *window = Window { began: now, attempts: 0 };
        }
        if window.attempts >= limit {
            return Err(Wait(self.length.saturating_sub(age)));
        }
        window.attempts += 1;
        Ok(())
    }

    /// Forgets windows that have ended; if that is nothing, those below the limit, which nobody needs so much
    /// as those at it; and when even these fill the table, all.
    fn make_room(&self, open: &mut HashMap<K, Window>, limit: u32, now: Instant) {
        open.retain(|_, window| now.saturating_duration_since(window.began) < self.length);
        if open.len() >= MAX_KEYS {
            open.retain(|_, window| window.attempts >= limit);
        }
        if open.len() >= MAX_KEYS {
            open.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_ends_a_minute_after_its_first_attempt() {
        let windows = Windows::new(Limit::new(2), MINUTE);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(windows.count("a", at(0)), Ok(()));
        assert_eq!(windows.count("a", at(30)), Ok(()));
        assert_eq!(windows.count("a", at(45)), Err(Wait(Duration::from_secs(15))));
        assert_eq!(windows.count("a", at(60)), Ok(()));
    }

    #[test]
    fn made_up_keys_neither_grow_the_table_nor_free_who_is_over_the_limit() {
        let windows = Windows::new(Limit::new(1), MINUTE);
        let now = Instant::now();
        windows.count(u32::MAX, now).unwrap();
        assert!(windows.count(u32::MAX, now).is_err());
        let limited = Windows::new(Limit::new(2), MINUTE);
        limited.count(u32::MAX, now).unwrap();
        limited.count(u32::MAX, now).unwrap();
        for key in 0..MAX_KEYS as u32 + 10 {
            limited.count(key, now).unwrap();
        }
        assert!(limited.open.lock().unwrap().len() <= MAX_KEYS);
        assert!(limited.count(u32::MAX, now).is_err());
    }
}
