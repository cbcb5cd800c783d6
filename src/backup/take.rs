//! Taking a backup, beside a node that may be running.

use std::fs::File;
use std::io;
use std::path::Path;

use super::manifest::{self, Manifest};
use super::staging::{Staging, parent, sum, sync_folder};
use super::sums::{self, Sums};
use super::{BackupError, MEDIA, Result, SECRET, STORE, store_file};
use crate::api::Variant;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::media::path_in_folder;
use crate::store::embedded;

/// What is in a backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Files of messages, thumbnails included.
    pub files: usize,
    /// Bytes of everything.
    pub bytes: u64,
    /// Files that the store names and that were not there: lost, or deleted while the backup was taken.
    pub missing: usize,
    /// Whether files are in it at all: not, if they are in a bucket.
    pub has_media: bool,
    /// Whether the secret key is in it.
    pub has_secret: bool,
}

/// Backs up the store and the files of the node that `config` describes into the new folder `target`, which appears whole or not at
/// all. Everything that was answered before the call is in it. The secret key is in it only `with_secret`: who has both has
/// everything that tokens protect.
///
/// # Errors
///
/// [`BackupError`], each of which leaves nothing behind.
pub fn take(config: &Config, target: &Path, with_secret: bool) -> Result<Taken> {
    let store = store_file(config)?;
    if !store.exists() {
        return Err(BackupError::NoStore(store));
    }
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::TargetExists(target.to_owned()));
    }
    let staging = Staging::beside(target)?;
    let (mut sums, mut bytes) = (Sums::new(), 0);

    // The store first. It names no file that is not stored, and stored files never change.
    let taken_at = Timestamp::now();
    let copy = staging.path(STORE);
    embedded::copy(&store, &copy)?;
    let copied = File::open(&copy).and_then(|file| sum(file, |_chunk| Ok(())));
    let copied = copied.map_err(BackupError::at(&copy))?;
    bytes += copied.bytes;
    sums.insert(STORE.to_owned(), copied.sha256);

    let mut missing = Vec::new();
    let media = config.media.url.folder(&config.data_dir);
    if let Some(folder) = &media {
        for name in names(&copy)? {
            let path = format!("{MEDIA}/{name}");
            match staging.copy(&folder.join(&name), &path) {
                Ok(copied) => {
                    bytes += copied.bytes;
                    sums.insert(path, copied.sha256);
                }
                Err(BackupError::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    missing.push(name);
                }
                Err(error) => return Err(error),
            }
        }
    }
    let files = sums.len() - 1;
    if with_secret {
        let secret = config.data_dir.join(SECRET);
        if config.auth.secret_key.is_some() || !secret.exists() {
            return Err(BackupError::NoSecret(secret));
        }
        sums.insert(SECRET.to_owned(), staging.copy(&secret, SECRET)?.sha256);
    }

    let lines = sums::encode(&sums);
    let taken = Taken {
        files,
        bytes,
        missing: missing.len(),
        has_media: media.is_some(),
        has_secret: with_secret,
    };
    let manifest = Manifest::new(taken_at.to_string(), media.is_some(), missing, &lines);
    staging.write(lines.as_bytes(), sums::FILE)?;
    staging.write(manifest.encode().as_bytes(), manifest::FILE)?;
    staging.rename(target)?;
    sync_folder(&parent(target))?;
    Ok(taken)
}

/// Where the files that the store in `copy` names lie in their folder.
fn names(copy: &Path) -> Result<Vec<String>> {
    let uploads = embedded::uploads(copy)?;
    let names = uploads.into_iter().flat_map(|(id, has_thumbnail)| {
        let original = Some(path_in_folder(id, Variant::Original));
        let thumbnail = has_thumbnail.then(|| path_in_folder(id, Variant::Thumbnail));
        [original, thumbnail].into_iter().flatten()
    });
    Ok(names.collect())
}
