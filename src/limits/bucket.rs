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
    /// What was taken here of late and other nodes do not know.
    untold: f64,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Off without a rate. A burst below the rate would never let the rate be reached.
    pub(super) fn new(per_second: Limit, burst: Limit) -> Self {
        let per_second = per_second.get().unwrap_or(0);
        let burst = burst.get().unwrap_or(0).max(per_second);
        Self { per_second: per_second.into(), burst: burst.into(), buckets: Mutex::default() }
    }

    /// Takes a token at `now`, or answers how long to wait for one. With a token comes how many have been taken that the `others`, so many
    /// nodes, are to be told of: so early that together they hand out at most half as many again as one would, and nothing of keys
    /// that take little.
    pub(super) fn take(&self, key: K, now: Instant, others: usize) -> Result<u32, Wait> {
        if self.per_second == 0.0 {
            return Ok(0);
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            self.make_room(&mut buckets, now);
        }
        let full = Bucket { tokens: self.burst, at: now, untold: 0.0 };
        let bucket = buckets.entry(key).or_insert(full);
        let filled = Bucket { tokens: self.tokens(bucket, now), at: now, ..*bucket };
        if filled.tokens < 1.0 {
            *bucket = filled;
            return Err(Wait(Duration::from_secs_f64((1.0 - filled.tokens) / self.per_second)));
        }
        let nodes = others as f64 + 1.0;
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        // Half of the rate, shared by all nodes, is never told.
        let forgotten = passed * self.per_second / (2.0 * nodes);
        let untold = (bucket.untold - forgotten).max(0.0) + 1.0;
        let is_to_be_told = others > 0 && untold >= (self.burst / (2.0 * others as f64)).max(1.0);
        let told = if is_to_be_told { untold.floor() } else { 0.0 };
        *bucket = Bucket { tokens: filled.tokens - 1.0, at: now, untold: untold - told };
        Ok(told as u32)
    }

    /// Takes what another node has handed out: also what is not there, but no more than a burst of it.
    pub(super) fn taken_elsewhere(&self, key: K, count: u32, now: Instant) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.per_second == 0.0 || (buckets.len() >= MAX_KEYS && !buckets.contains_key(&key)) {
            return;
        }
        let full = Bucket { tokens: self.burst, at: now, untold: 0.0 };
        let bucket = buckets.entry(key).or_insert(full);
        let tokens = (self.tokens(bucket, now) - f64::from(count)).max(-self.burst);
        *bucket = Bucket { tokens, at: now, ..*bucket };
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
        let taken = |now| (0..100).filter(|_| buckets.take("a", now, 0).is_ok()).count();
        assert_eq!(taken(start), 20);
        assert_eq!(buckets.take("a", start, 0), Err(Wait(Duration::from_millis(100))));
        assert_eq!(taken(start + Duration::from_millis(1_001)), 10);
        assert_eq!(taken(start + Duration::from_secs(3600)), 20);
        assert_eq!(buckets.take("b", start, 0), Ok(0));
    }

    #[test]
    fn the_table_is_bounded() {
        let buckets = Buckets::new(Limit::new(1), Limit::new(2));
        let now = Instant::now();
        for key in 0..MAX_KEYS + 10 {
            buckets.take(key, now, 0).unwrap();
        }
        assert!(buckets.buckets.lock().unwrap().len() <= MAX_KEYS);
    }

    /// What nodes hand out together to one key that asks them in turns, `every` so often, in `time`.
    fn handed_out(nodes: usize, every: Duration, time: Duration) -> u32 {
        let all: Vec<_> =
            (0..nodes).map(|_| Buckets::new(Limit::new(10), Limit::new(100))).collect();
        let (start, mut passed, mut handed_out) = (Instant::now(), Duration::ZERO, 0);
        for turn in 0.. {
            let asked = turn % nodes;
            if let Ok(told) = all[asked].take("a", start + passed, nodes - 1) {
                handed_out += 1;
                let others = all.iter().enumerate().filter(|(nth, _)| told > 0 && *nth != asked);
                others.for_each(|(_, other)| other.taken_elsewhere("a", told, start + passed));
            }
            passed += every;
            if passed > time {
                break;
            }
        }
        handed_out
    }

    #[test]
    fn nodes_that_tell_each_other_hand_out_half_as_much_again_at_most() {
        let second = Duration::from_secs(1);
        for nodes in [1, 2, 3, 8] {
            let burst = handed_out(nodes, Duration::ZERO + second / 100_000, second / 10);
            assert!((101..=152).contains(&burst), "{nodes}: {burst}");
            let minute = handed_out(nodes, second / 100, 60 * second);
            assert!((650..=1_050).contains(&minute), "{nodes}: {minute}");
        }
    }

    #[test]
    fn nobody_is_told_of_who_takes_little() {
        let buckets = Buckets::new(Limit::new(10), Limit::new(100));
        let start = Instant::now();
        let told = (0..1000)
            .map(|second| buckets.take("a", start + Duration::from_secs(2 * second), 3).unwrap());
        assert_eq!(told.sum::<u32>(), 0);
    }
}
