//! Takes deleted accounts out of the rooms that they are still in, because the node that deleted them stopped
//! in the middle or its store was away.

use std::time::Duration;

use crate::app::App;
use crate::service::{Result, memberships};

/// How often the job is meant to run: so long a deleted account may still be a member of rooms. The first run
/// is at the start.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// Ends the memberships of deleted accounts. Safe to run twice, also beside a deletion.
///
/// # Errors
///
/// If the store does not answer; what is left is done by the next run.
pub async fn run_once(app: &App) -> Result<()> {
    memberships::finish_deletions(app).await
}
