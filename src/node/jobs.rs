//! Runs what a node does by the clock.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::Timestamp;
use crate::http::trace::chain;
use crate::jobs::stays::{self, Stays};
use crate::jobs::{deletions, erasures, media_gc, retention, revocations};
use crate::service::spending;

/// How often it is looked whether the store was restored.
const EPOCH: Duration = Duration::from_secs(5);

/// Starts every job. They end with `stop`, between two runs or, as each is safe to run twice, in
/// the middle of one.
pub(crate) fn start(app: App, stop: CancellationToken) {
    tokio::spawn(stop.clone().run_until_cancelled_owned(follow_revocations(app.clone())));
    if app.bus.reaches_others() {
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow_stays(app.clone())));
        tokio::spawn(stop.clone().run_until_cancelled_owned(spending::follow(app.clone())));
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow_epoch(app.clone())));
    }
    tokio::spawn(stop.clone().run_until_cancelled_owned(finish_deletions(app.clone())));
    tokio::spawn(stop.clone().run_until_cancelled_owned(erase(app.clone())));
    tokio::spawn(stop.clone().run_until_cancelled_owned(trim_logs(app.clone())));
    tokio::spawn(stop.run_until_cancelled_owned(collect_media(app)));
}

async fn follow_revocations(app: App) {
    let (mut since, mut answered) = (Timestamp::now(), Instant::now());
    let mut ticks = tokio::time::interval(revocations::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let run = revocations::run_once(&app, since, Timestamp::now());
        match timeout(revocations::PATIENCE, run).await {
            Ok(Ok(seen)) => (since, answered) = (seen, Instant::now()),
            Ok(Err(error)) => tracing::warn!(%error, "revocations are looked for again"),
            Err(elapsed) => tracing::warn!(%elapsed, "revocations are looked for again"),
        }
        app.rooms.set_silent(answered.elapsed() >= revocations::PATIENCE);
    }
}

async fn follow_stays(app: App) {
    let mut stays = Stays::since(Timestamp::now());
    let mut ticks = tokio::time::interval(stays::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = stays.run_once(&app, Timestamp::now()).await {
            tracing::warn!(%error, "changes of memberships are looked for again");
        }
    }
}

/// A node that was stopped for a while, or cut off, may hear nobody who tells it that the store was restored.
async fn follow_epoch(app: App) {
    let mut ticks = tokio::time::interval(EPOCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = app.rooms.check_epoch().await {
            tracing::debug!(%error, "the epoch of the store is looked at again");
        }
    }
}

async fn finish_deletions(app: App) {
    let mut ticks = tokio::time::interval(deletions::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = deletions::run_once(&app).await {
            tracing::warn!(%error, "deleted accounts leave their rooms at the next run");
        }
    }
}

async fn erase(app: App) {
    let mut ticks = tokio::time::interval(erasures::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = erasures::run_once(&app).await {
            tracing::warn!(%error, "people are erased at the next run");
        }
    }
}

async fn trim_logs(app: App) {
    // The first run is a while after the start, as that of the collector, which removes the files.
    let first = Instant::now() + media_gc::INTERVAL;
    let mut ticks = tokio::time::interval_at(first, retention::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = retention::run_once(&app, Timestamp::now()).await {
            tracing::warn!(%error, "old messages are removed by the next run");
        }
    }
}

async fn collect_media(app: App) {
    // Said at once, rather than by the first upload: a node starts without its files all the same.
    if let Err(error) = app.media.check().await {
        let why = chain(&error);
        tracing::warn!(why, "media.url: files are refused until the store of media answers");
    }
    // The first run is an interval after the start: nothing is that urgent, and starts are busy.
    let first = Instant::now() + media_gc::INTERVAL;
    let mut ticks = tokio::time::interval_at(first, media_gc::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match media_gc::run_once(&app, Timestamp::now()).await {
            Ok(removed) => tracing::debug!(?removed, "collected media"),
            Err(error) => tracing::warn!(%error, "media is collected at the next run"),
        }
    }
}
