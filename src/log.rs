//! Log lines: for people on a terminal, JSON otherwise, on standard error.

use std::io::IsTerminal;
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogConfig, LogFormat};

/// Libraries that would log what they carry, tokens and messages among it, below `info`.
const CAPPED: [&str; 5] = ["tungstenite", "tokio_tungstenite", "hyper", "rustls", "async_nats"];

/// Libraries that log what they carry as well, and as errors what single clients do wrong: a line for each packet, as often as
/// a client likes. What matters of it natter tells itself.
const SILENT: [&str; 2] = ["socketioxide", "engineioxide"];

/// Starts logging for the whole process, panics included. Once; a second call changes nothing.
pub fn init(config: &LogConfig) {
    let is_terminal = std::io::stderr().is_terminal();
    let in_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let is_human = match config.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => is_terminal,
    };
    let filtered = tracing_subscriber::registry()
        .with(EnvFilter::try_new(&config.filter).unwrap_or_else(|_checked| EnvFilter::new("info")))
        .with(filter_fn(is_discreet));
    let started = match is_human {
        true => filtered.with(human(std::io::stderr).with_ansi(in_colour)).try_init(),
        false => filtered.with(json(std::io::stderr)).try_init(),
    };
    if started.is_ok() {
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let why = panic.payload_as_str().unwrap_or("of no text");
            tracing::error!(panic.place = place, panic.message = why, "a task panicked");
        }));
    }
}

/// Whether a line may be written whatever the filter says.
fn is_discreet(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    let is_of = |libraries: &[&str]| libraries.iter().any(|one| library.starts_with(one));
    !is_of(&SILENT) && (!is_of(&CAPPED) || *line.level() <= LevelFilter::INFO)
}

type Format<S, F, W> =
    tracing_subscriber::fmt::Layer<S, tracing_subscriber::fmt::format::DefaultFields, F, W>;

fn human<S, W>(writer: W) -> Format<S, tracing_subscriber::fmt::format::Format, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).with_target(false)
}

/// One object a line: the event's fields at the top, those of the request under `span`.
fn json<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_holds_the_fields_of_its_event_and_request() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(json(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span =
                tracing::info_span!("request", request.id = "r1", user.id = tracing::field::Empty);
            span.record("user.id", "u1");
            let _entered = span.enter();
            tracing::info!(duration_ms = 3, "answered");
        });
        let bytes = lines.0.lock().unwrap().clone();
        let line: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["message"], "answered");
        assert_eq!(line["duration_ms"], 3);
        assert_eq!(line["span"]["request.id"], "r1");
        assert_eq!(line["span"]["user.id"], "u1");
    }

    #[test]
    fn libraries_that_carry_messages_stay_silent() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new("trace,socketioxide::socket=trace"))
            .with(filter_fn(is_discreet))
            .with(json(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "socketioxide::socket", "a message's text");
            tracing::trace!(target: "engineioxide_core", "a token");
            tracing::error!(target: "socketioxide::client", "what a client did wrong");
            tracing::debug!(target: "hyper::proto", "a head");
            tracing::info!(target: "hyper::proto", "kept");
            tracing::debug!(target: "natter::room", "kept too");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
