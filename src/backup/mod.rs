//! Backups of a node with an embedded store: taken beside it while it runs ([`take`]), and put back ([`restore()`]).
//!
//! A backup is a folder that only its owner may read: the store as it was at one moment, the files that this store names,
//! `SHA256SUMS` of all of them (as `sha256sum -c` reads it), and `manifest.json`, which says what it is. Files never change once
//! they are stored, so two backups in a row share most of theirs, which tools that compare or keep folders make use of.
//!
//! Stores and buckets elsewhere have their own ways: docs/OPERATIONS.md.

mod manifest;
mod restore;
mod staging;
mod sums;
mod take;

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::store::StoreError;

pub use self::restore::{Restored, restore};
pub use self::take::{Taken, take};

/// The store in a backup.
const STORE: &str = "natter.db";
/// The folder of files in a backup.
const MEDIA: &str = "media";
/// The secret key in a backup that was asked to hold it, and in a data folder.
const SECRET: &str = "secret.key";

/// Why there is no backup, or why one was not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store is not a file of this node.
    #[error(
        "store.url: only an embedded store is backed up by natter; docs/OPERATIONS.md has the way for MongoDB"
    )]
    NotEmbedded,
    /// There is no store to back up.
    #[error("data_dir: there is no store {0}")]
    NoStore(PathBuf),
    /// The secret was to be in it, and there is none in the data folder.
    #[error(
        "--with-secret: there is no {0}, for the secret is configured elsewhere; keep it where it comes from"
    )]
    NoSecret(PathBuf),
    /// Something stands where the backup was to be.
    #[error("{0} is there already; name a folder that is not")]
    TargetExists(PathBuf),
    /// There is something that would be replaced.
    #[error("{0} is there already; --force puts it aside, as <name>.before-restore-<time>")]
    NotEmpty(PathBuf),
    /// The backup is not as it was when it was taken, or is none.
    #[error("{path} is no whole backup: {why}; nothing was changed")]
    Damaged {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store could not be read, or not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// For `map_err`: it happened to the file `path`.
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    fn damaged(path: &Path, why: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.to_string() }
    }
}

/// What [`take`] and [`restore()`] answer.
pub type Result<T> = std::result::Result<T, BackupError>;

/// The file of the embedded store.
fn store_file(config: &Config) -> Result<PathBuf> {
    config.store.sqlite_path(&config.data_dir).ok_or(BackupError::NotEmbedded)
}
