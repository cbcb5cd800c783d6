//! Closes the sockets of users whose sessions were revoked by another process: a command beside this
//! node, or another node. What this node revokes itself closes at once.

use std::time::Duration;

use crate::app::App;
use crate::domain::Timestamp;
use crate::service::Result;

/// How often the job is meant to run: with it, a revocation has closed every socket within 2 s.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How long messages are taken while nobody can tell whose session was revoked. Also the longest that one run may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How much is looked at twice: for a revocation that was stored a little after its time was taken,
/// and for clocks that differ.
const OVERLAP: Duration = Duration::from_secs(5);

/// Ends what was revoked since `since`, and answers from when on the next run is to look. Safe to run
/// twice: a connection made after a revocation is not its.
///
/// # Errors
///
/// [`crate::service::Error::Unavailable`] if the store does not answer.
pub async fn run_once(app: &App, since: Timestamp, now: Timestamp) -> Result<Timestamp> {
    for (user, at) in app.store.revoked(since).await? {
        let account = app.store.user(user).await?;
        if account.is_none() {
            app.rooms.forget_told(user); // Perhaps erased, by which what is in memory is out of date.
        }
        if app.rooms.is_connected(user) {
            let account = account.filter(|account| !account.is_disabled);
            app.rooms.revoke_before(user, at, account.map(|account| account.generation));
        }
    }
    Ok(now.minus(OVERLAP))
}
