//! A copy of the store in another file, as it is at one moment, also while a node writes to it.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{connect, create_private, migrations, unavailable};
use crate::domain::AttachmentId;
use crate::store::{Result, StoreError};

/// Pages that are copied in one step. The moment that is copied is held over all of them, so their number is
/// only how often it is looked whether there are more.
const STEP: i32 = 4096;

/// Copies the store in the file `from` into the new file `to`, which only this user may read, whole and synced. What
/// was answered before the call is in it; a node may go on writing. Until it ends, the write-ahead log of
/// `from` grows by what is written.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if a file cannot be read or written; [`StoreError::Malformed`] if `from` is no store of this
/// version or an earlier one, or is damaged.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = connect(from)?;
    migrations::check(&source)?;
    create_private(to)?;
    let mut target = Connection::open(to)?;
    {
        // SQLite begins anew whenever somebody has written between two steps; a transaction of one's own holds
        // the moment.
        let moment = source.unchecked_transaction()?;
        migrations::epoch(&moment)?;
        let backup = Backup::new(&moment, &mut target)?;
        loop {
            match backup.step(STEP)? {
                StepResult::More => {}
                StepResult::Done => break,
                state => return Err(StoreError::Unavailable(format!("{state:?}").into())),
            }
        }
    }
    // One file that needs nothing beside it; whoever opens the store turns the log on again.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_conn, error)| error)?;
    File::open(to).and_then(|file| file.sync_all()).map_err(unavailable)?;
    check(to)
}

/// Checks that the file is a store of this version or an earlier one, and whole.
///
/// # Errors
///
/// [`StoreError::Malformed`] if it is not; [`StoreError::Unavailable`] if it cannot be read.
pub fn check(path: &Path) -> Result<()> {
    let conn = Connection::open(path)?;
    migrations::check(&conn)?;
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        damage => Err(StoreError::Malformed(format!("the file is damaged: {damage}").into())),
    }
}

/// The uploads that the copied store in `path` names, each with whether it has a thumbnail.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if it cannot be read.
pub fn uploads(path: &Path) -> Result<Vec<(AttachmentId, bool)>> {
    let conn = Connection::open(path)?;
    let sql =
        "SELECT id, coalesce(has_thumbnail, 0) FROM uploads WHERE state <> 'deleting' ORDER BY id";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
