//! Takes out of the logs what tells of people who are to be erased.

use std::time::Duration;

use crate::app::App;
use crate::service::{Result, erasure};

/// How often the job is meant to run: so long it takes until an erasure begins.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// Erases whoever is to be erased. Safe to run twice, on two nodes at once, and after one that ended in the middle.
///
/// # Errors
///
/// If the store does not answer; what is left is done by the next run.
pub async fn run_once(app: &App) -> Result<()> {
    erasure::finish_all(app).await
}
