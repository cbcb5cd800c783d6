//! Traces: what one message does on its way through the nodes, told over OTLP to whoever the operator names.
//!
//! Off unless `telemetry.otlp_url` is set, and then one message in so many. A trace begins where the message comes in
//! (`chat`, `post_message`), and goes on through the append (`commit`) and the bus (`publish`) to every node that has
//! listeners (`deliver`). What travels between is a [`Trace`], in the form of W3C's `traceparent`; a node that does not
//! know it ignores it. No text of a message and no name is in a span: ids, counts and outcomes are.
//!
//! A trace always begins here: a `traceparent` that a client sends is ignored. Whoever may send a message could
//! otherwise have all of theirs traced, whatever `telemetry.one_in` says, and put steps into traces of others.
//!
//! A collector that is away, slow or full holds nobody up: steps wait in a queue that is bounded ([`queue`]), a thread
//! of the SDK tells them a batch at a time, and what cannot be told is dropped and counted.

mod client;
mod queue;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use self::client::Client;
use self::queue::Queue;
use crate::config::TelemetryConfig;
use crate::domain::{BootId, Seq};
use crate::metrics::Metrics;

/// How long a collector may take to answer; a batch is given up by then, whether it was tried once or more often.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why no traces can be told.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_url: {0}")]
pub struct TelemetryError(String);

/// Where a node's traces go. Clones are the same.
#[derive(Clone, Default)]
pub struct Telemetry(Option<Arc<Exporting>>);

struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Drop for Exporting {
    fn drop(&mut self) {
        // The SDK would wait for the collector, on whichever thread this is: who wants the last to be told calls `close`.
        _ = self.provider.shutdown_with_timeout(Duration::ZERO);
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Telemetry({})", if self.0.is_some() { "on" } else { "off" })
    }
}

impl Telemetry {
    /// Tells the traces of the node `boot` to the collector that `config` names, if it names one, and counts in `metrics` what
    /// became of them. The collector may be away: then what it is not there for is lost.
    ///
    /// # Errors
    ///
    /// If what is configured can never work.
    pub fn connect(
        config: &TelemetryConfig,
        boot: BootId,
        metrics: &Metrics,
    ) -> Result<Self, TelemetryError> {
        let Some(url) = &config.otlp_url else { return Ok(Self::default()) };
        let wrong = |error: &dyn fmt::Display| TelemetryError(error.to_string());
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{url}/v1/traces"))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(ANSWER_WITHIN)
            .with_http_client(Client::new(ANSWER_WITHIN).map_err(|error| wrong(&error))?)
            .build()
            .map_err(|error| wrong(&error))?;
        let resource = Resource::builder()
            .with_service_name("natter")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", boot.to_string()))
            .build();
        let share = 1.0 / f64::from(config.one_in);
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue::to(exporter, metrics))
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        let tracer = provider.tracer("natter");
        Ok(Self(Some(Arc::new(Exporting { provider, tracer }))))
    }

    /// Begins a trace where something comes in from outside; none if it is not one of those that are told.
    pub(crate) fn begin(&self, name: &'static str) -> Span {
        let Some(exporting) = &self.0 else { return Span(None) };
        let builder = exporting.tracer.span_builder(name).with_kind(SpanKind::Server);
        Span::of(exporting.tracer.build_with_context(builder, &Context::new()))
    }

    /// Goes on with a trace, if there is one.
    pub(crate) fn go_on(&self, name: &'static str, kind: Kind, trace: Option<Trace>) -> Span {
        let (Some(exporting), Some(trace)) = (&self.0, trace) else { return Span(None) };
        let kind = match kind {
            Kind::Within => SpanKind::Internal,
            Kind::Says => SpanKind::Producer,
            Kind::Hears => SpanKind::Consumer,
        };
        let context = Context::new().with_remote_span_context(trace.context());
        let builder = exporting.tracer.span_builder(name).with_kind(kind);
        Span::of(exporting.tracer.build_with_context(builder, &context))
    }

    /// Tells what has not been told yet, `within` at most, and ends.
    pub async fn close(&self, within: Duration) {
        let Some(exporting) = self.0.clone() else { return };
        let close = move || exporting.provider.shutdown_with_timeout(within);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(close).await {
            tracing::warn!(%error, "the last traces are not told");
        }
    }
}

/// What part in a trace something has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It goes on within the node.
    Within,
    /// It tells other nodes.
    Says,
    /// It was told by another node.
    Hears,
}

/// A step of a trace; it ends when it is dropped. Nothing if it is not told, and then no larger than a pointer.
pub(crate) struct Span(Option<Box<opentelemetry_sdk::trace::Span>>);

impl Span {
    fn of(span: opentelemetry_sdk::trace::Span) -> Self {
        Self(span.span_context().is_sampled().then(|| Box::new(span)))
    }

    /// Where it is, for what follows from it.
    pub(crate) fn place(&self) -> Option<Trace> {
        self.0.as_ref().map(|span| Trace::of(span.span_context()))
    }

    /// Notes a number about it.
    pub(crate) fn count(&mut self, key: &'static str, count: u64) {
        self.note(key, || i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes something about it; `value` is only asked for if it is told.
    pub(crate) fn note<V: Into<opentelemetry::Value>>(
        &mut self,
        key: &'static str,
        value: impl FnOnce() -> V,
    ) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }
}

/// A place in a trace that is told: which trace, and the step that what comes next follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    trace: TraceId,
    span: SpanId,
}

impl Trace {
    fn of(context: &SpanContext) -> Self {
        Self { trace: context.trace_id(), span: context.span_id() }
    }

    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, true, TraceState::NONE)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span } = self;
        write!(f, "00-{trace}-{span}-01")
    }
}

/// Events of a room by their positions, each with the step of its trace that what comes next follows from.
pub(crate) type Steps = Vec<(Seq, Trace)>;

/// What is no place in a trace.
#[derive(Debug, thiserror::Error)]
#[error("is no traceparent of a trace that is told")]
pub(crate) struct NoTrace;

impl FromStr for Trace {
    type Err = NoTrace;

    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let mut parts = text.split('-');
        let (Some("00"), Some(trace), Some(span), Some("01"), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoTrace);
        };
        if (trace.len(), span.len()) != (32, 16) {
            return Err(NoTrace);
        }
        let trace = TraceId::from_hex(trace).map_err(|_not_hex| NoTrace)?;
        let span = SpanId::from_hex(span).map_err(|_not_hex| NoTrace)?;
        match trace == TraceId::INVALID || span == SpanId::INVALID {
            true => Err(NoTrace),
            false => Ok(Self { trace, span }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::metrics::SpanOutcome;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_place_is_written_as_w3c_has_it_and_read_back() {
        let trace: Trace = PARENT.parse().unwrap();
        assert_eq!(trace.to_string(), PARENT);
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bx-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert!(wrong.parse::<Trace>().is_err(), "{wrong}");
        }
    }

    /// A collector that takes connections and never says anything: its backlog.
    async fn silent(one_in: u32) -> (Telemetry, Metrics, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = TelemetryConfig { otlp_url: Some(Origin::parse(&url).unwrap()), one_in };
        let metrics = Metrics::new();
        let telemetry = Telemetry::connect(&config, BootId::new(1, 1), &metrics).unwrap();
        (telemetry, metrics, listener)
    }

    #[tokio::test]
    async fn what_a_silent_collector_leaves_waiting_is_bounded_and_the_rest_is_dropped() {
        let (telemetry, metrics, _listener) = silent(1).await;
        // So many that even a batch that was given up in the middle makes no room for all.
        for _ in 0..2 * queue::MOST {
            drop(telemetry.begin("chat"));
        }
        assert!(metrics.traces.spans.of(SpanOutcome::Dropped).get() > 0);
        assert_eq!(metrics.traces.spans.of(SpanOutcome::Exported).get(), 0);
    }

    #[tokio::test]
    async fn of_so_many_messages_one_is_traced() {
        let (telemetry, ..) = silent(2).await;
        let begun = (0..1000).filter(|_| telemetry.begin("chat").place().is_some()).count();
        assert!((300..700).contains(&begun), "{begun}");
        let Some(place) = PARENT.parse().ok() else { panic!("no parent") };
        let goes_on =
            |_: &i32| telemetry.go_on("commit", Kind::Within, Some(place)).place().is_some();
        assert_eq!((0..100).filter(goes_on).count(), 100, "what is begun is told to its end");
    }

    #[test]
    fn nothing_is_begun_and_nothing_goes_on_while_it_is_off() {
        let telemetry = Telemetry::default();
        assert_eq!(telemetry.begin("chat").place(), None);
        assert_eq!(telemetry.go_on("commit", Kind::Within, PARENT.parse().ok()).place(), None);
    }
}
