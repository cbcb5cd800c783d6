//! So many a second in the long run, with a burst after a pause.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{MAX_KEYS, Wait};
use crate::config::Limit;

/// A bucket of tokens for each key: full at first, filled with so many a second, one taken each time.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Off without a rate. A burst below the rate would never let the rate be reached.
    pub(super) fn new(per_second: Limit, burst: Limit) -> Self {
        let per_second = per_second.get().unwrap_or(0);
        let burst = burst.get().unwrap_or(0).max(per_second);
        Self { per_second: per_second.into(), burst: burst.into(), buckets: Mutex::default() }
    }

    /// Takes a token at `now`, or answers how long to wait for one.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Wait> {
        if self.per_second == 0.0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            self.make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.burst, at: now });
        let filled = Bucket { tokens: self.tokens(bucket, now), at: now };
        if filled.tokens < 1.0 {
            *bucket = filled;
            return Err(Wait(Duration::from_secs_f64((1.0 - filled.tokens) / self.per_second)));
        }
        *bucket = Bucket { tokens: filled.tokens - 1.0, ..filled };
        Ok(())
    }

    fn tokens(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + passed * self.per_second).min(self.burst)
    }

    /// Forgets full buckets, which are as good as none; if that is nothing, those that hold a token; and when
    /// even these fill the table, all.
    fn make_room(&self, buckets: &mut HashMap<K, Bucket>, now: Instant) {
        buckets.retain(|_, bucket| self.tokens(bucket, now) < self.burst);
        if buckets.len() >= MAX_KEYS {
            buckets.retain(|_, bucket| self.tokens(bucket, now) < 1.0);
        }
        if buckets.len() >= MAX_KEYS {
            buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_burst_the_rate_holds() {
        let buckets = Buckets::new(Limit::new(10), Limit::new(20));
        let start = Instant::now();
        let taken = |now| (0..100).filter(|_| buckets.take("a", now).is_ok()).count();
        assert_eq!(taken(start), 20);
        assert_eq!(buckets.take("a", start), Err(Wait(Duration::from_millis(100))));
        assert_eq!(taken(start + Duration::from_millis(1_001)), 10);
        assert_eq!(taken(start + Duration::from_secs(3600)), 20);
        assert_eq!(buckets.take("b", start), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let buckets = Buckets::new(Limit::new(1), Limit::new(2));
        let now = Instant::now();
        for key in 0..MAX_KEYS + 10 {
            buckets.take(key, now).unwrap();
        }
        assert!(buckets.buckets.lock().unwrap().len() <= MAX_KEYS);
    }
}
