//! Removes what rooms no longer keep. The files of messages that go are `media_gc`'s, by its next run.

use std::time::Duration;

use crate::app::App;
use crate::domain::{Page, Timestamp};
use crate::service::Result;

/// How often the job is meant to run: days are counted, so hours do.
pub const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Rooms that are looked at together.
const BATCH: u32 = 500;

/// Removes what is over at `now`, of the rooms that this node owns: the others are for their owners. Safe to run twice, and on two
/// nodes that both believe to own a room.
///
/// # Errors
///
/// [`crate::service::Error::Unavailable`] if the store does not answer; the next run goes on.
pub async fn run_once(app: &App, now: Timestamp) -> Result<()> {
    let mut page = Page::first(BATCH);
    loop {
        let rooms = app.store.retentions(page).await?;
        for (room, own) in &rooms {
            let Some(since) = own.unwrap_or(app.config.retention).since(now) else { continue };
            if app.nodes.owner_of(room.as_bytes()).is_some() {
                continue;
            }
            // A piece at a time, so that nothing else waits long.
            while app.store.trim(*room, since).await? {}
        }
        let Some((last, _)) = rooms.last() else { return Ok(()) };
        page.after = Some(*last);
    }
}
