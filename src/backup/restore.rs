//! Putting a backup back, with the node stopped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::staging::{Staging, parent, sync_folder};
use super::sums::Sums;
use super::{BackupError, MEDIA, Result, SECRET, STORE, store_file};
use crate::config::Config;
use crate::domain::{Epoch, Timestamp};
use crate::store::embedded::{self, Embedded, Options};
use crate::store::{Store, StoreError};

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The epoch of the store from now on: clients that know another one begin anew.
    pub epoch: Epoch,
    /// Files of messages, thumbnails included.
    pub files: usize,
    /// Files that the store names and that are not in the backup.
    pub missing: usize,
    /// Whether files were in it at all.
    pub has_media: bool,
    /// Whether the data folder has the secret key of the backup now.
    pub has_secret: bool,
    /// What was there before, under its new names.
    pub put_aside: Vec<PathBuf>,
}

/// Makes the store and the files that `config` describes those of the backup in `source`, in a new epoch. All of the backup is
/// copied and checked before anything is changed. With `force`, what is there is put aside.
///
/// The data folder has to exist. A secret key that is there stays.
///
/// # Errors
///
/// [`BackupError::Damaged`] if a file of the backup is not as it was; [`BackupError::NotEmpty`]; [`BackupError::Store`] if a node
/// has the store open, or it is of a newer natter. Nothing is changed then. [`BackupError::File`].
pub async fn restore(config: &Config, source: &Path, force: bool) -> Result<Restored> {
    let store = store_file(config)?;
    let media = config.media.url.folder(&config.data_dir);
    let (manifest, sums) = Manifest::read(source)?;
    // Held to the end: no node may start in the middle.
    let _alone = embedded::lock(&store)?;
    let in_the_way = in_the_way(&store, media.as_deref())?;
    if let Some(first) = in_the_way.first().filter(|_| !force) {
        return Err(BackupError::NotEmpty(first.clone()));
    }
    let staged = stage(source, &sums, &store, media.as_deref())?;
    let epoch = begin_anew(source, &staged.store.path(STORE)).await?;

    let put_aside = put_aside(in_the_way)?;
    if let Some((folder, to)) = staged.media.zip(media) {
        // An empty folder, at most, is there.
        folder.rename(&to)?;
    }
    let secret = put_secret(&staged.store, &sums, config)?;
    // The store last: as long as it is not there, this can be done again.
    let new = staged.store.path(STORE);
    fs::rename(&new, &store).map_err(BackupError::at(&store))?;
    sync_folder(&parent(&store))?;
    Ok(Restored {
        epoch,
        files: sums.keys().filter(|path| is_media(path)).count(),
        missing: manifest.missing.len(),
        has_media: manifest.has_media,
        has_secret: secret,
        put_aside,
    })
}

/// The backup, copied beside where it belongs.
struct Staged {
    store: Staging,
    media: Option<Staging>,
}

fn stage(source: &Path, sums: &Sums, store: &Path, media: Option<&Path>) -> Result<Staged> {
    let has_media = sums.keys().any(|path| is_media(path));
    let media = match media.filter(|_| has_media) {
        Some(folder) => Some(Staging::beside(folder)?),
        None => None,
    };
    let staged = Staged { store: Staging::beside(store)?, media };
    for (path, sum) in sums {
        let (staging, name) = match (path.strip_prefix("media/"), &staged.media) {
            (Some(name), Some(media)) => (media, name),
            (Some(_), None) => continue, // They belong into a bucket now, which natter does not fill.
            (None, _) => (&staged.store, path.as_str()),
        };
        let from = source.join(path);
        let copied = match staging.copy(&from, name) {
            Err(BackupError::File { source, path }) if path == from => {
                return Err(BackupError::damaged(&from, source));
            }
            copied => copied?,
        };
        if copied.sha256 != *sum {
            return Err(BackupError::damaged(&from, "it is not as it was when it was taken"));
        }
    }
    Ok(staged)
}

fn is_media(path: &str) -> bool {
    path.strip_prefix(MEDIA).is_some_and(|rest| rest.starts_with('/'))
}

/// Brings the store in `file` up to date and gives it another epoch. Positions that clients know may stand for other
/// events from now on.
async fn begin_anew(source: &Path, file: &Path) -> Result<Epoch> {
    embedded::check(file).map_err(|error| match error {
        StoreError::Malformed(why) => BackupError::damaged(&source.join(STORE), why),
        error => error.into(),
    })?;
    let store = Embedded::open(file, Options::default()).await?;
    let epoch = store.renew_epoch().await;
    store.close().await;
    Ok(epoch?)
}

/// What would be replaced: the store with what SQLite keeps beside it, a folder with files in it.
fn in_the_way(store: &Path, media: Option<&Path>) -> Result<Vec<PathBuf>> {
    // The logs first: a store never lies beside the log of another.
    let files = ["-wal", "-shm", ""].map(|end| {
        let mut name = store.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    let mut found: Vec<PathBuf> =
        files.into_iter().filter(|file| file.symlink_metadata().is_ok()).collect();
    if let Some(folder) = media
        && has_entries(folder)?
    {
        found.push(folder.to_owned());
    }
    Ok(found)
}

fn has_entries(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BackupError::File { path: folder.to_owned(), source: error }),
    }
}

/// Gives each of these another name, in this order.
fn put_aside(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let now = Timestamp::now().as_millis();
    let renamed = paths.into_iter().map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".before-restore-{now}"));
        let aside = PathBuf::from(name);
        fs::rename(&path, &aside).map_err(BackupError::at(&path))?;
        Ok(aside)
    });
    renamed.collect()
}

/// Puts the secret of the backup into the data folder, unless that has one; whether it did.
fn put_secret(staging: &Staging, sums: &Sums, config: &Config) -> Result<bool> {
    let to = config.data_dir.join(SECRET);
    if !sums.contains_key(SECRET) || to.symlink_metadata().is_ok() {
        return Ok(false);
    }
    fs::rename(staging.path(SECRET), &to).map_err(BackupError::at(&to))?;
    Ok(true)
}
