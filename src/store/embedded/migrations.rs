//! The shape of the file, and how an older one becomes today's.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::{Epoch, Timestamp};
use crate::store::{Result, StoreError};

/// Every step that a file has gone through since its making, in order; never changed once released.
const STEPS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// `nttr`: by it the file is told from other programs' (SQLite's `application_id`).
const APPLICATION: i32 = 0x6e74_7472;

/// Refuses what this natter did not write or cannot read, before anything is changed.
///
/// # Errors
///
/// [`StoreError::Malformed`] for another program's file, or one of a newer natter.
pub(super) fn check(conn: &Connection) -> Result<()> {
    let application: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Err(StoreError::Malformed("the file is another program's database".into()));
    }
    let found = version(conn)?;
    let known = newest();
    if found > known {
        let message = format!(
            "the file was written by a newer natter (its format is {found}, this one knows up to {known}); \
             start that one, or a copy made before the upgrade"
        );
        return Err(StoreError::Malformed(message.into()));
    }
    Ok(())
}

/// Whether the file is of an older format, or new.
pub(super) fn are_pending(conn: &Connection) -> Result<bool> {
    Ok(version(conn)? < newest())
}

/// Brings the file up to date, all steps or none. Its epoch is made with the file.
pub(super) fn run(conn: &mut Connection) -> Result<()> {
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)",
    )?;
    let done = version(&transaction)?;
    for (number, step) in (1_u32..).zip(STEPS).filter(|(number, _)| *number > done) {
        transaction.execute_batch(step)?;
        transaction.execute(
            "INSERT INTO migrations (version, applied_at) VALUES (?1, ?2)",
            (number, Timestamp::now()),
        )?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.execute(
        "INSERT OR IGNORE INTO facts (name, value) VALUES ('epoch', ?1)",
        [rand::random::<u32>()],
    )?;
    transaction.commit()?;
    Ok(())
}

/// The epoch of the file.
pub(super) fn epoch(conn: &Connection) -> Result<Epoch> {
    let found =
        conn.query_row("SELECT value FROM facts WHERE name = 'epoch'", [], |row| row.get(0))?;
    Ok(Epoch(found))
}

/// Gives the file another epoch than the one it has.
pub(super) fn renew_epoch(conn: &Connection) -> Result<Epoch> {
    let old = epoch(conn)?;
    // Any of the others, each as likely.
    let new = Epoch(old.0.wrapping_add(rand::random_range(1..=u32::MAX)));
    conn.execute("UPDATE facts SET value = ?1 WHERE name = 'epoch'", [new.0])?;
    Ok(new)
}

fn newest() -> u32 {
    u32::try_from(STEPS.len()).expect("a handful of steps")
}

/// How many steps the file has gone through.
fn version(conn: &Connection) -> Result<u32> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'";
    if conn.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let found = "SELECT coalesce(max(version), 0) FROM migrations";
    Ok(conn.query_row(found, [], |row| row.get(0))?)
}
