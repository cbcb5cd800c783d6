//! How a node goes: without a lost acknowledgement, and without waiting for anybody forever.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Node;
use crate::lifecycle::Phase;
use crate::room::Connection;
use crate::socket::Sockets;

/// The share of the grace period that draining may take; the rest is for the platform's own pace.
const SHARE: f64 = 0.7;

/// How long the node goes on as if nothing were, so that balancers notice that it is not ready.
const NOTICE: Duration = Duration::from_secs(5);

/// Between two slices of connections that are closed.
const TICK: Duration = Duration::from_millis(100);

/// In how many slices the clients of other nodes go: within some five seconds.
const RELEASES: usize = 50;

/// A slice is at least this large: so few coming back at once are no crowd anywhere.
const SMALLEST_SLICE: usize = 5;

/// How long what was cut off may take to notice.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a collector may take for the last traces, if there is as much time left.
const LAST_TRACES: Duration = Duration::from_secs(2);

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
        let released =
            tokio_util::task::AbortOnDropHandle::new(tokio::spawn(release(self.sockets.clone())));
        unless(hurry, self.close_connections(end - budget / 5)).await;

        self.app.lifecycle.advance(Phase::Closing);
        self.stop.cancel();
        self.app.tasks.close();
        unless(hurry, tokio::time::timeout_at(end, self.quiet())).await;
        drop(released);
        let left = self.links.count() + self.internal_links.count();
        if left > 0 {
            tracing::warn!(connections = left, "cutting off what is left");
            self.links.kill_all();
            self.internal_links.kill_all();
        }
        // Also in a hurry: what is being stored is told, or not, but not torn.
        _ = tokio::time::timeout(LAST_WORDS, self.quiet()).await;
        self.app.nodes.leave();
        self.app.bus.close().await;
        if self.has_own_store {
            self.app.store.close().await;
        }
        let left = end.saturating_duration_since(Instant::now());
        self.app.telemetry.close(left.clamp(LAST_WORDS, LAST_TRACES)).await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(duration_ms, "drained");
    }

    /// Waits until nobody is connected and nothing runs.
    async fn quiet(&self) {
        self.links.emptied().await;
        self.internal_links.emptied().await;
        self.app.tasks.wait().await;
        self.app.rooms.finished().await;
    }

    /// Closes every Socket.IO connection by `end`, slice by slice.
    async fn close_connections(&self, end: Instant) {
        let connections = self.app.rooms.all_connections();
        let window =
            end.saturating_duration_since(Instant::now()).saturating_sub(Connection::LAST_WORDS);
        let slices = (window.as_millis() / TICK.as_millis()).max(1);
        let slices = usize::try_from(slices).unwrap_or(usize::MAX);
        let slice = connections.len().div_ceil(slices).max(SMALLEST_SLICE);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = TaskTracker::new();
        for slice in connections.chunks(slice) {
            ticks.tick().await;
            for connection in slice {
                let connection = Arc::clone(connection);
                closing.spawn(async move { connection.let_go().await });
            }
        }
        closing.close();
        closing.wait().await;
    }
}

/// Sends away, slice by slice, the clients whose sessions other nodes hold. Those that still come are sent away as well.
async fn release(sockets: Sockets) {
    let slice = (sockets.handed_on() / RELEASES).max(SMALLEST_SLICE);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sockets.release(slice).await;
    }
}

/// Waits for `wait`, but no longer than until `hurry`.
async fn unless<T>(hurry: &CancellationToken, wait: impl Future<Output = T>) {
    hurry.run_until_cancelled(wait).await;
}
