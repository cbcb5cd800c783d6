//! How a node goes: without a lost acknowledgement, and without waiting for anybody forever.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Node;
use crate::lifecycle::Phase;
use crate::room::{Connection, Ended};

/// The share of the grace period that draining may take; the rest is for the platform's own pace.
const SHARE: f64 = 0.7;

/// How long the node goes on as if nothing were, so that balancers notice that it is not ready.
const NOTICE: Duration = Duration::from_secs(5);

/// Between two slices of connections that are closed.
const TICK: Duration = Duration::from_millis(100);

/// A slice is at least this large: so few coming back at once are no crowd anywhere.
const SMALLEST_SLICE: usize = 5;

/// How long one connection may take to write out what it was told.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long what was cut off may take to notice.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Node {
    /// Brings the node to its end, within 0.7 of `drain_grace`.
    ///
    /// First it is only not ready, for 5 s at most; then it refuses new sockets and closes the
    /// open ones spread over a window, so that they do not all come back elsewhere at one
    /// instant; then requests that run are finished, and whatever is left by then is cut off.
    /// Cancelling `hurry` skips the waits, at any time; what was acknowledged is stored either way.
    pub async fn drain(self, hurry: &CancellationToken) {
        let began = Instant::now();
        let budget = self.app.config.drain_grace.mul_f64(SHARE);
        let end = began + budget;

        self.app.lifecycle.advance(Phase::Leaving);
        self.app.nodes.drain();
        tracing::info!(connections = self.app.rooms.connections(), "draining");
        unless(hurry, tokio::time::sleep(NOTICE.min(budget / 4))).await;

        self.app.lifecycle.advance(Phase::Refusing);
        unless(hurry, self.close_connections(end - budget / 5)).await;

        self.app.lifecycle.advance(Phase::Closing);
        self.stop.cancel();
        self.app.tasks.close();
        unless(hurry, tokio::time::timeout_at(end, self.quiet())).await;
        if self.links.count() > 0 {
            tracing::warn!(connections = self.links.count(), "cutting off what is left");
            self.links.kill_all();
        }
        // Also in a hurry: what is being stored is told, or not, but not torn.
        _ = tokio::time::timeout(LAST_WORDS, self.quiet()).await;
        self.app.nodes.leave();
        self.app.bus.close().await;
        if self.has_own_store {
            self.app.store.close().await;
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(duration_ms, "drained");
    }

    /// Waits until nobody is connected and nothing runs.
    async fn quiet(&self) {
        self.links.emptied().await;
        self.app.tasks.wait().await;
        self.app.rooms.finished().await;
    }

    /// Closes every Socket.IO connection by `end`, slice by slice.
    async fn close_connections(&self, end: Instant) {
        let connections = self.app.rooms.all_connections();
        let window = end.saturating_duration_since(Instant::now()).saturating_sub(FAREWELL);
        let slices = (window.as_millis() / TICK.as_millis()).max(1);
        let slices = usize::try_from(slices).unwrap_or(usize::MAX);
        let slice = connections.len().div_ceil(slices).max(SMALLEST_SLICE);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = TaskTracker::new();
        for slice in connections.chunks(slice) {
            ticks.tick().await;
            for connection in slice {
                closing.spawn(close(Arc::clone(connection)));
            }
        }
        closing.close();
        closing.wait().await;
    }
}

/// Takes nothing more from the client, decides and answers what it has said, lets it have what is
/// on its way to it, and ends the connection in the way that makes it come back by itself.
async fn close(connection: Arc<Connection>) {
    connection.questions.close();
    let said_and_sent = async {
        connection.questions.all_answered().await;
        connection.outbox.has_emptied().await;
    };
    _ = tokio::time::timeout(FAREWELL, said_and_sent).await;
    connection.outbox.end(Ended::Draining);
}

/// Waits for `wait`, but no longer than until `hurry`.
async fn unless<T>(hurry: &CancellationToken, wait: impl Future<Output = T>) {
    hurry.run_until_cancelled(wait).await;
}
