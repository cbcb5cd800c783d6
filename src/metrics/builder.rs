//! How metrics are made and registered.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::LATENCIES;

pub(super) fn singles<'a>(values: &[&'a str]) -> Vec<Vec<&'a str>> {
    values.iter().map(|value| vec![*value]).collect()
}

pub(super) fn pairs<'a>(first: &[&'a str], second: &[&'a str]) -> Vec<Vec<&'a str>> {
    first.iter().flat_map(|one| second.iter().map(move |two| vec![*one, *two])).collect()
}

/// Makes metrics and registers them. Series of known labels begin at zero instead of being absent,
/// so that a rate over the first of them is seen.
pub(super) struct Builder(pub(super) Registry);

const VALID: &str = "names and labels of metrics are fixed here, and a test makes them all";

impl Builder {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0.register(Box::new(collector.clone())).expect(VALID);
        collector
    }

    pub(super) fn build_info(&self) {
        let opts = Opts::new("natter_build_info", "The version that runs; the value is always 1.");
        let opts = opts.const_label("version", env!("CARGO_PKG_VERSION"));
        self.register(IntGauge::with_opts(opts).expect(VALID)).set(1);
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect(VALID))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect(VALID))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts).expect(VALID))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).buckets(LATENCIES.to_vec());
        self.register(HistogramVec::new(opts, labels).expect(VALID))
    }

    pub(super) fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        known: impl IntoIterator<Item = Vec<&'a str>>,
    ) -> IntCounterVec {
        let counters = IntCounterVec::new(Opts::new(name, help), labels).expect(VALID);
        for values in known {
            counters.with_label_values(&values).reset();
        }
        self.register(counters)
    }

    pub(super) fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        known: impl IntoIterator<Item = Vec<&'a str>>,
    ) -> IntGaugeVec {
        let gauges = IntGaugeVec::new(Opts::new(name, help), labels).expect(VALID);
        for values in known {
            gauges.with_label_values(&values).set(0);
        }
        self.register(gauges)
    }
}
