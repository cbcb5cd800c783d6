//! How a node goes: without a lost acknowledgement, and without waiting for anybody forever.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::lifecycle::Phase;

/// The share of the grace period that draining may take; the rest is for the platform's own pace.
const SHARE: f64 = 0.7;

/// How long the node goes on as if nothing were, so that balancers notice that it is not ready.
const NOTICE: Duration = Duration::from_secs(5);

impl Node {
    /// Brings the node to its end, within 0.7 of `drain_grace`.
    ///
    /// First it is only not ready, for 5 s at most; then it refuses new sockets and closes the
    /// open ones spread over a window, so that they do not all come back elsewhere at one
    /// instant; then requests that run are finished, and whatever is left by then is cut off.
    /// Cancelling `hurry` skips the waits, at any time.
    pub async fn drain(self, hurry: &CancellationToken) {
        let began = Instant::now();
        let budget = self.config.drain_grace.mul_f64(SHARE);
        let end = began + budget;
        tracing::info!(connections = self.links.count(), "draining");

        self.lifecycle.advance(Phase::Leaving);
        let notice = NOTICE.min(budget / 4);
        _ = hurry.run_until_cancelled(tokio::time::sleep(notice)).await;

        self.lifecycle.advance(Phase::Refusing);

        self.lifecycle.advance(Phase::Closing);
        self.stop.cancel();
        let quiet = hurry.run_until_cancelled(tokio::time::timeout_at(end, self.links.emptied()));
        if !matches!(quiet.await, Some(Ok(()))) {
            tracing::warn!(connections = self.links.count(), "cutting off what is left");
            self.links.kill_all();
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(duration_ms, "drained");
    }
}
