//! The embedded adapter: SQLite in a file of this node.
//!
//! One thread writes ([`writer`]), everything that waits in one transaction with one sync of the disk; reads
//! run beside it on connections of their own ([`readers`]). What is derived from the log is changed in the
//! transaction that appends to it, so it is never behind. Two nodes cannot open the same file.

mod apply;
mod column;
mod copy;
mod erasure;
mod log;
mod memberships;
mod migrations;
mod readers;
mod requests;
mod retention;
mod rooms;
mod uploads;
mod users;
mod wipe;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};

pub use self::copy::{check, copy, uploads};
use self::readers::Readers;
use self::writer::Writer;
use super::{Result, Store, StoreError};
use crate::domain::{Epoch, Timestamp};

/// Prepared statements that a connection keeps: more than there are in this adapter.
const STATEMENTS: usize = 160;

/// How the embedded store uses the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Reads at the same time; others wait for their turn.
    pub readers: u32,
    /// Writes that wait for the writer; when it is full, callers wait for a place.
    pub queue: usize,
    /// How long a call may take, waiting included. After it the answer is [`StoreError::Unavailable`].
    pub timeout: Duration,
    /// Whether no other process may have the store open so at the same time, as it must be for a node.
    /// A command beside a running node leaves its rooms alone, and this off.
    pub exclusive: bool,
}

impl Default for Options {
    /// For a node: four readers, 4,096 waiting writes (a few transactions), 10 s as a disk that syncs
    /// slowly may need.
    fn default() -> Self {
        Self { readers: 4, queue: 4096, timeout: Duration::from_secs(10), exclusive: true }
    }
}

/// The store in a file.
pub struct Embedded {
    writer: Writer,
    readers: Readers,
}

impl Embedded {
    /// Opens the store in the file `path`, which is made if it is not there, with mode 0600, and brings its
    /// format up to date. Beside it lie `<path>.lock`, `<path>-wal` and `<path>-shm`. The folder has to
    /// exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the file cannot be opened, or another process has it open exclusively
    /// too; [`StoreError::Malformed`] if it is no store, or one that a newer natter wrote. Nothing is
    /// changed then.
    pub async fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self> {
        let path = path.into();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&path, options)).await;
        opened.map_err(unavailable)?
    }

    fn open_blocking(path: &Path, options: Options) -> Result<Self> {
        let lock = if options.exclusive { Some(lock(path)?) } else { None };
        create_private(path)?;
        let mut conn = connect(path)?;
        migrations::check(&conn)?;
        let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::Unavailable(
                "the file system of the store cannot hold a write-ahead log".into(),
            ));
        }
        // A command, too, changes the format only while no node relies on it.
        let alone = lock.is_none() && migrations::are_pending(&conn)?;
        let guard = alone.then(|| self::lock(path)).transpose()?;
        migrations::run(&mut conn)?;
        drop(guard);
        let readers = (0..options.readers.max(1)).map(|_| reader(path)).collect::<Result<_>>()?;
        let writer = Writer::start(conn, lock, wipe::wipe_more, options).map_err(unavailable)?;
        Ok(Self { writer, readers: Readers::new(readers, options.timeout) })
    }

    /// Changes the store: see [`Writer::run`].
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Looks into the store: see [`Readers::run`].
    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.readers.run(work).await
    }
}

#[async_trait]
impl Store for Embedded {
    async fn epoch(&self) -> Result<Epoch> {
        self.read(migrations::epoch).await
    }

    async fn renew_epoch(&self) -> Result<Epoch> {
        self.write(migrations::renew_epoch).await
    }

    async fn check(&self) -> Result<()> {
        let written = self
            .write(|conn| {
                // A full disk shows only when something is written.
                let sql = "INSERT INTO facts (name, value) VALUES ('checked_at', ?1)
                           ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                Ok(conn.prepare_cached(sql)?.execute([Timestamp::now()])?)
            })
            .await;
        written?;
        self.read(|conn| migrations::epoch(conn).map(drop)).await
    }

    async fn close(&self) {
        // The writer last: the last connection to close folds the write-ahead log into the file.
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// Makes sure that no other process has the store open: a lock on a file beside it, which ends with the
/// process. (Not on the file itself: closing that would end SQLite's own locks.)
pub(crate) fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private().truncate(false).open(&name).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!(
                "another process has the store {} open; one natter at a time may",
                path.display()
            );
            Err(StoreError::Unavailable(message.into()))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// How files of the store are made: nobody but their owner may read them.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the file, if it is not there, before SQLite does. SQLite gives its other files the same mode.
fn create_private(path: &Path) -> Result<()> {
    drop(private().truncate(false).open(path).map_err(unavailable)?);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).map_err(unavailable)?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection> {
    // Without SQLITE_OPEN_URI, so that no path is taken for one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // FULL: a commit is answered after the disk has it. secure_delete: what is cleared is overwritten.
    conn.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA secure_delete = FAST;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8192;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(conn)
}

fn reader(path: &Path) -> Result<Connection> {
    let conn = connect(path)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}
