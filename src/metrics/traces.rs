//! What became of the steps of traces.

use super::builder::Builder;
use super::family::Counters;
use super::label::labels;

labels! {
    /// What became of a step of a trace.
    SpanOutcome("outcome") {
        /// The collector has it.
        Exported => "exported",
        /// The collector did not take it.
        Failed => "failed",
        /// Too many waited.
        Dropped => "dropped",
    }
}

/// Metrics of traces.
#[derive(Debug)]
pub struct Traces {
    /// Steps.
    pub spans: Counters<SpanOutcome>,
}

impl Traces {
    pub(super) fn new(new: &Builder) -> Self {
        let about = "Steps of traces: told to the collector, not taken by it, or dropped because too many waited.";
        Self { spans: new.counters("natter_trace_spans_total", about) }
    }
}
