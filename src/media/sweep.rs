//! What a crash leaves behind: bytes that no upload knows of, and what was never written to its end.
//!
//! Walking everything would be slow, so a sweep looks at one of [`SHARDS`] parts, and whoever calls
//! it goes round.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use object_store::path::Path as Key;

use super::{Media, MediaError, Place, Result};
use crate::domain::{AttachmentId, Timestamp};

/// Into how many parts the keys fall.
pub const SHARDS: u64 = 256;

impl Media {
    /// The attachments of a shard (modulo [`SHARDS`]) whose bytes were stored before `before`, at
    /// most `limit` of them. Which of them are known, the store tells.
    pub async fn list(
        &self,
        shard: u64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<AttachmentId>> {
        let prefix = Key::from(shard_name(shard));
        let mut objects = self.objects.list(Some(&prefix));
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(object) = objects.try_next().await?
        {
            // A thumbnail's key is no id; it goes with its original, which is removed after it.
            let id: Option<AttachmentId> =
                object.location.filename().and_then(|name| name.parse().ok());
            let old = object.last_modified.timestamp_millis() < before.0;
            found.extend(id.filter(|_| old));
        }
        Ok(found)
    }

    /// Removes what was begun before `before` in a shard and never completed, and answers how many: files of
    /// a folder, uploads in parts to a bucket.
    pub async fn remove_abandoned(&self, shard: u64, before: Timestamp) -> Result<usize> {
        let folder = match &self.place {
            Place::Folder(folder) => folder.join(shard_name(shard)),
            Place::Bucket { bucket, .. } => {
                return bucket.end_uploads(&Key::from(shard_name(shard)), before).await;
            }
            Place::Other => return Ok(0),
        };
        let removal = tokio::task::spawn_blocking(move || remove_abandoned(&folder, before));
        let removed = match removal.await {
            Ok(removed) => removed,
            Err(panic) => return Err(MediaError::Unavailable(Box::new(panic))),
        };
        removed.map_err(|error| MediaError::Unavailable(Box::new(error)))
    }
}

fn shard_name(shard: u64) -> String {
    format!("{:02x}", shard % SHARDS)
}

fn remove_abandoned(shard: &Path, before: Timestamp) -> io::Result<usize> {
    let mut removed = 0;
    for folder in entries(shard)? {
        for file in entries(&folder.path())? {
            if is_staged(&file.file_name()) && modified_before(&file, before)? {
                std::fs::remove_file(file.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// What is in a folder; nothing if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether the object store writes into files of this name until they are complete: a key, `#`,
/// digits. Keys have no `#`.
fn is_staged(name: &std::ffi::OsStr) -> bool {
    name.to_str().and_then(|name| name.split_once('#')).is_some()
}

fn modified_before(file: &std::fs::DirEntry, before: Timestamp) -> io::Result<bool> {
    let before = SystemTime::UNIX_EPOCH + Duration::from_millis(before.as_millis());
    Ok(file.metadata()?.modified()? < before)
}
