//! What waits to be told to the collector, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::metrics::{Metrics, SpanOutcome};

/// Steps that may wait, those that are being told among them: some 2 MB. What is beyond is dropped, and counted.
pub(super) const MOST: usize = 2048;

/// Steps that are told at once.
const BATCH: usize = 512;

/// How long a step waits for others to be told with it.
const EVERY: Duration = Duration::from_secs(1);

/// The steps that wait. Adding one never waits.
#[derive(Debug)]
pub(super) struct Queue {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Queue {
    /// A queue to `exporter`, with a thread that empties it.
    pub(super) fn to(exporter: Otlp, metrics: &Metrics) -> Self {
        let waiting = Arc::<AtomicUsize>::default();
        let way = Way { exporter, waiting: Arc::clone(&waiting), metrics: metrics.clone() };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(MOST)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EVERY);
        let batches = BatchSpanProcessor::builder(way).with_batch_config(config.build()).build();
        Self { batches, waiting, metrics: metrics.clone() }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // The SDK's own queue is as long, so it has room whenever this count has; but it would drop without a word.
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MOST {
            return self.batches.on_end(span);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.metrics.traces.spans.of(SpanOutcome::Dropped).inc();
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// The way of a batch to the collector.
#[derive(Debug)]
struct Way {
    exporter: Otlp,
    waiting: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl SpanExporter for Way {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let exported = self.exporter.export(batch).await;
        let outcome = match &exported {
            Ok(()) => SpanOutcome::Exported,
            Err(_) => SpanOutcome::Failed,
        };
        self.metrics.traces.spans.of(outcome).inc_by(count as u64);
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
