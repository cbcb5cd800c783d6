//! The time of a run: one clock for everything that is recorded.

use std::time::Instant;

/// A moment: microseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct At(pub(crate) u64);

/// The one clock of a run. Copies are the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The moment.
    pub(crate) fn now(&self) -> At {
        At(u64::try_from(self.0.elapsed().as_micros()).expect("no run takes 500,000 years"))
    }
}
