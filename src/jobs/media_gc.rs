//! Removes files that no message has: those never sent, those of messages that are gone, and what a
//! crash left behind.

use std::time::Duration;

use crate::app::App;
use crate::domain::{AttachmentId, Timestamp};
use crate::media::SHARDS;
use crate::service::Result;

/// How long an upload waits for its message, and bytes for their upload.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many are claimed, or looked at, at a time.
const BATCH: u32 = 500;

/// How often the job is meant to run: a round of sweeps is then done in 21 hours.
pub const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What a run removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Uploads, with their bytes.
    pub uploads: usize,
    /// Bytes that belonged to no upload.
    pub orphans: usize,
    /// Files that were never completed.
    pub abandoned: usize,
}

/// Removes what is due at `now`. Safe to run twice, and on two nodes: an upload is claimed before its
/// bytes go, and no message can have it from then on.
///
/// # Errors
///
/// [`crate::service::Error::Unavailable`] if the store or the media store does not answer; the next
/// run goes on.
pub async fn run_once(app: &App, now: Timestamp) -> Result<Removed> {
    let before = now.minus(KEPT);
    let uploads = remove_uploads(app, before).await?;
    let shard = shard_of(now);
    let orphans = remove_orphans(app, shard, before).await?;
    let abandoned = app.media.remove_abandoned(shard, before).await?;
    Ok(Removed { uploads, orphans, abandoned })
}

/// Which part of the files a run at `now` sweeps: another one each [`INTERVAL`].
fn shard_of(now: Timestamp) -> u64 {
    now.as_millis() / 1000 / INTERVAL.as_secs() % SHARDS
}

async fn remove_uploads(app: &App, before: Timestamp) -> Result<usize> {
    let mut removed = 0;
    loop {
        let claimed = app.store.claim_uploads(before, BATCH).await?;
        let (mut gone, mut failure) = (0, None);
        for &id in &claimed {
            match remove_upload(app, id).await {
                Ok(()) => gone += 1,
                Err(error) => failure = Some(error),
            }
        }
        removed += gone;
        match failure {
            // One file that cannot be removed keeps none of the others.
            Some(error) if gone == 0 => return Err(error),
            None if claimed.len() < BATCH as usize => return Ok(removed),
            _ => {}
        }
    }
}

/// The bytes first: a claimed upload whose bytes could not be removed is claimed again.
async fn remove_upload(app: &App, id: AttachmentId) -> Result<()> {
    app.media.remove(id).await?;
    Ok(app.store.remove_upload(id).await?)
}

/// Bytes are stored before their upload is, and a crash may come between. An upload that is being
/// stored now is not old enough.
async fn remove_orphans(app: &App, shard: u64, before: Timestamp) -> Result<usize> {
    let mut removed = 0;
    for id in app.media.list(shard, before, usize::MAX).await? {
        if is_orphan(app, id).await? {
            app.media.remove(id).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn is_orphan(app: &App, id: AttachmentId) -> Result<bool> {
    Ok(app.store.upload(id).await?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_turn_within_a_day() {
        let start = Timestamp(1_700_000_000_000);
        let turns = (0..SHARDS).map(|run| shard_of(start.plus(INTERVAL * run as u32)));
        let mut seen: Vec<u64> = turns.collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..SHARDS).collect::<Vec<_>>());
        assert!(INTERVAL * SHARDS as u32 <= KEPT);
    }
}
