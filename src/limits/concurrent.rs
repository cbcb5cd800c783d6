//! So many at the same time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Limit;

/// What is held now, by key. It holds no more keys than there are guards.
#[derive(Debug)]
pub(super) struct Concurrent<K> {
    limit: Limit,
    held: Arc<Counts<K>>,
}

#[derive(Debug)]
struct Counts<K>(Mutex<HashMap<K, u32>>);

impl<K> Counts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as one until it is dropped.
#[must_use = "dropping it is letting go"]
pub struct Held {
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(..)")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl<K: Copy + Eq + Hash + Send + Sync + 'static> Concurrent<K> {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, held: Arc::new(Counts(Mutex::default())) }
    }

    /// Holds one more for `key`, unless as many as are allowed are held already.
    pub(super) fn hold(&self, key: K) -> Option<Held> {
        if self.limit == Limit::OFF {
            return Some(Held { release: None });
        }
        let mut held = self.held.lock();
        let count = held.get(&key).copied().unwrap_or(0);
        if !self.limit.allows_another(count) {
            return None;
        }
        held.insert(key, count + 1);
        drop(held);
        let counts = Arc::clone(&self.held);
        Some(Held { release: Some(Box::new(move || counts.release(&key))) })
    }
}

impl<K: Eq + Hash> Counts<K> {
    fn release(&self, key: &K) {
        let mut held = self.lock();
        if let Some(count) = held.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                held.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_is_free_again_and_leaves_no_trace() {
        let concurrent = Concurrent::new(Limit::new(2));
        let first = concurrent.hold("a").unwrap();
        let second = concurrent.hold("a").unwrap();
        assert!(concurrent.hold("a").is_none());
        assert!(concurrent.hold("b").is_some());
        drop(first);
        let third = concurrent.hold("a").unwrap();
        drop((second, third));
        assert!(concurrent.held.lock().is_empty());
    }
}
