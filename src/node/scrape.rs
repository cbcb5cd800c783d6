//! What the operator's own port serves. Nothing of it is on the public one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::App;
use crate::http::probes::Readiness;
use crate::lifecycle::Phase;
use crate::link::Links;
use crate::metrics::{Depth, Metrics};

/// How often it is looked how late the runtime is.
const LOOK: Duration = Duration::from_secs(1);

/// `/metrics` of a node that serves. What is no count but a state is looked at when it is asked for.
pub(super) fn router(app: App, links: Links, readiness: Arc<Readiness>) -> Router {
    let render = move || {
        let (app, links, readiness) = (app.clone(), links.clone(), Arc::clone(&readiness));
        async move {
            look(&app, &links, &readiness).await;
            ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], app.metrics.render())
        }
    };
    Router::new().route("/metrics", get(render))
}

/// The same of a node that waits for its store: most is zero, and so is whether it is ready.
pub(super) fn waiting(metrics: Metrics, links: Links) -> Router {
    let render = move || {
        look_at_process(&metrics, &links);
        let text = metrics.render();
        async move { ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text) }
    };
    Router::new().route("/metrics", get(render))
}

fn look_at_process(metrics: &Metrics, links: &Links) {
    metrics.runtime.look();
    metrics.process.look();
    metrics.http.tcp_connections.set(whole(links.count()));
}

async fn look(app: &App, links: &Links, readiness: &Readiness) {
    let metrics = &app.metrics;
    look_at_process(metrics, links);
    metrics.runtime.ready.set(i64::from(readiness.is_ready().await));
    metrics.runtime.draining.set(i64::from(app.lifecycle.phase() > Phase::Serving));
    metrics.cluster.nodes.set(whole(app.nodes.others().len() + 1));
    app.rooms.take_census();
    let ((passwords, most_passwords), (messages, most)) = (app.passwords.queue(), app.bus.queue());
    metrics.queues.filled(Depth::Passwords, passwords, most_passwords);
    metrics.queues.filled(Depth::Bus, messages, most);
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Measures how late tasks run, until it is dropped.
pub(super) async fn follow_delays(metrics: Metrics) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = ticks.tick().await;
        metrics.runtime.was_late(Instant::now().saturating_duration_since(due));
    }
}
