//! Metrics with labels, one series for each value from the start.
//!
//! The series stand in a table by the place of their labels: counting costs no search, and a rate over the first of them is
//! seen, for they begin at zero instead of being absent.

use std::marker::PhantomData;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::label::Labels;

/// One metric for each value of the labels `L`.
#[derive(Debug)]
pub struct Family<L, M> {
    each: Box<[M]>,
    labels: PhantomData<fn(L)>,
}

/// Counters by the labels `L`.
pub type Counters<L> = Family<L, IntCounter>;
/// Gauges by the labels `L`.
pub type Gauges<L> = Family<L, IntGauge>;
/// Histograms by the labels `L`.
pub type Histograms<L> = Family<L, Histogram>;

impl<L: Labels, M> Family<L, M> {
    /// The metrics that `make` gives for each value.
    pub(super) fn new(mut make: impl FnMut(&[&str]) -> M) -> Self {
        let each = L::all().into_iter().map(|labels| make(&labels.values())).collect();
        Self { each, labels: PhantomData }
    }

    /// The metric of these labels.
    pub fn of(&self, labels: L) -> &M {
        &self.each[labels.index()]
    }
}
