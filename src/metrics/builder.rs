//! How metrics are made and registered, and how they are told of.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use super::family::{Counters, Family, Gauges, Histograms};
use super::label::Labels;

/// Seconds, from a local hit to a stuck disk.
pub(super) const LATENCIES: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What a metric is, for its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, each with all its values if they are a closed set of the code.
    pub labels: Vec<(&'static str, Vec<&'static str>)>,
    /// What it says.
    pub help: String,
}

/// Makes metrics and registers them.
pub(super) struct Builder {
    pub(super) registry: Registry,
    pub(super) described: RefCell<Vec<Described>>,
}

const VALID: &str = "names and labels of metrics are fixed here, and a test makes them all";

impl Builder {
    pub(super) fn new() -> Self {
        Self { registry: Registry::new(), described: RefCell::default() }
    }

    fn add<C: Collector + Clone + 'static>(
        &self,
        kind: &'static str,
        labels: Vec<(&'static str, Vec<&'static str>)>,
        collector: C,
    ) -> C {
        for desc in collector.desc() {
            let (name, help) = (desc.fq_name.clone(), desc.help.clone());
            self.described.borrow_mut().push(Described {
                name,
                kind,
                labels: labels.clone(),
                help,
            });
        }
        self.registry.register(Box::new(collector.clone())).expect(VALID);
        collector
    }

    pub(super) fn build_info(&self) {
        let opts = Opts::new("natter_build_info", "The version that runs; the value is always 1.");
        let opts = opts.const_label("version", env!("CARGO_PKG_VERSION"));
        let info = IntGauge::with_opts(opts).expect(VALID);
        self.add("gauge", vec![("version", Vec::new())], info).set(1);
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add("counter", Vec::new(), IntCounter::new(name, help).expect(VALID))
    }

    /// A counter of what comes in parts, such as seconds.
    pub(super) fn sum(&self, name: &str, help: &str) -> Counter {
        self.add("counter", Vec::new(), Counter::new(name, help).expect(VALID))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add("gauge", Vec::new(), IntGauge::new(name, help).expect(VALID))
    }

    pub(super) fn fraction(&self, name: &str, help: &str) -> Gauge {
        self.add("gauge", Vec::new(), Gauge::new(name, help).expect(VALID))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add("histogram", Vec::new(), Histogram::with_opts(opts).expect(VALID))
    }

    pub(super) fn counters<L: Labels>(&self, name: &str, help: &str) -> Counters<L> {
        let counters = IntCounterVec::new(Opts::new(name, help), &L::names()).expect(VALID);
        let counters = self.add("counter", closed::<L>(), counters);
        Family::new(|values| counters.with_label_values(values))
    }

    pub(super) fn gauges<L: Labels>(&self, name: &str, help: &str) -> Gauges<L> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &L::names()).expect(VALID);
        let gauges = self.add("gauge", closed::<L>(), gauges);
        Family::new(|values| gauges.with_label_values(values))
    }

    pub(super) fn histograms<L: Labels>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Histograms<L> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let histograms = HistogramVec::new(opts, &L::names()).expect(VALID);
        let histograms = self.add("histogram", closed::<L>(), histograms);
        Family::new(|values| histograms.with_label_values(values))
    }

    /// Counters by labels whose values the routes of a node decide: a closed set, but not one of the types.
    pub(super) fn open_counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
    ) -> IntCounterVec {
        let counters = IntCounterVec::new(Opts::new(name, help), labels).expect(VALID);
        self.add("counter", open(labels), counters)
    }

    /// The same for histograms of seconds.
    pub(super) fn open_histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
    ) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).buckets(LATENCIES.to_vec());
        self.add("histogram", open(labels), HistogramVec::new(opts, labels).expect(VALID))
    }
}

fn open(labels: &[&'static str]) -> Vec<(&'static str, Vec<&'static str>)> {
    labels.iter().map(|name| (*name, Vec::new())).collect()
}

fn closed<L: Labels>() -> Vec<(&'static str, Vec<&'static str>)> {
    let all: Vec<_> = L::all().into_iter().map(L::values).collect();
    let column = |(place, name)| {
        let mut values: Vec<&'static str> = Vec::new();
        for one in &all {
            if !values.contains(&one[place]) {
                values.push(one[place]);
            }
        }
        (name, values)
    };
    L::names().into_iter().enumerate().map(column).collect()
}
