//! What is to happen once a node has delivered up to a position.
//!
//! Whoever is told a position finds that this node has delivered up to it. The writer of a node delivers before it
//! answers; where another node has appended, the answer may be here before the frame.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::live::Shared;
use crate::domain::Seq;

/// Something that is kept once.
pub(crate) type Promise = Box<dyn FnOnce() + Send>;

/// How long a frame may be late before what it would tell is read from the store.
const PATIENCE: Duration = Duration::from_millis(50);

/// How often it is read before what was promised is kept all the same: it is stored, after all.
const TRIES: u32 = 20;

/// What was promised in a room. Bounded by the commands that wait for an answer.
#[derive(Default)]
pub(crate) struct Promises(Mutex<BTreeMap<Seq, Vec<Promise>>>);

impl Promises {
    /// Makes a promise for `seq`; `true` if it is the only one now.
    pub(super) fn make(&self, seq: Seq, promise: Promise) -> bool {
        let mut promises = self.promises();
        let is_first = promises.is_empty();
        promises.entry(seq).or_default().push(promise);
        is_first
    }

    /// Keeps those for positions up to `delivered`, in their order.
    pub(super) fn keep(&self, delivered: Seq) {
        let kept = {
            let mut promises = self.promises();
            if promises.first_key_value().is_none_or(|(seq, _)| *seq > delivered) {
                return;
            }
            let later = promises.split_off(&delivered.next());
            std::mem::replace(&mut *promises, later)
        };
        kept.into_values().flatten().for_each(|promise| promise());
    }

    /// The last position for which there is one.
    fn last(&self) -> Option<Seq> {
        self.promises().last_key_value().map(|(seq, _)| *seq)
    }

    fn promises(&self) -> MutexGuard<'_, BTreeMap<Seq, Vec<Promise>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees to it that what was promised in a room is kept: reads what the bus does not bring.
pub(super) async fn hasten(room: Arc<Shared>) {
    for _ in 0..TRIES {
        tokio::time::sleep(PATIENCE).await;
        let Some(last) = room.promises.last() else { return };
        room.repair(last).await;
    }
    room.promises.keep(Seq(u64::MAX - 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_kept_in_order_and_once() {
        let (promises, kept) = (Promises::default(), Arc::new(Mutex::new(Vec::new())));
        let note = |nth: u64| -> Promise {
            let kept = Arc::clone(&kept);
            Box::new(move || kept.lock().unwrap().push(nth))
        };
        assert!(promises.make(Seq(7), note(7)));
        assert!(!promises.make(Seq(5), note(5)));
        assert!(!promises.make(Seq(9), note(9)));
        promises.keep(Seq(4));
        assert!(kept.lock().unwrap().is_empty());
        promises.keep(Seq(7));
        promises.keep(Seq(8));
        assert_eq!(*kept.lock().unwrap(), [5, 7]);
        assert_eq!(promises.last(), Some(Seq(9)));
        promises.keep(Seq(u64::MAX - 1));
        assert_eq!(*kept.lock().unwrap(), [5, 7, 9]);
    }
}
