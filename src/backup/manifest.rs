//! `manifest.json`: what a backup is, for who finds it and for [`super::restore()`].

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sums::{self, Sums};
use super::{BackupError, Result};

/// The file's name.
pub(super) const FILE: &str = "manifest.json";

/// The form of backups that this natter writes and reads.
const FORMAT: u32 = 1;

/// What a backup is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The form of the folder.
    format: u32,
    /// The version that took it.
    natter: String,
    /// When the store was copied, RFC 3339.
    taken_at: String,
    /// Whether the files are in it: not, if they are in a bucket.
    pub(super) has_media: bool,
    /// Files that the store names, and that were not there when it was taken.
    pub(super) missing: Vec<String>,
    /// The SHA-256 of [`sums::FILE`].
    sums: String,
}

impl Manifest {
    pub(super) fn new(taken_at: String, has_media: bool, missing: Vec<String>, sums: &str) -> Self {
        let natter = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, natter, taken_at, has_media, missing, sums: digest(sums) }
    }

    /// The file's content.
    pub(super) fn encode(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("texts and numbers have a JSON form") + "\n"
    }

    /// Reads what the backup in `folder` is, and what is in it.
    pub(super) fn read(folder: &Path) -> Result<(Self, Sums)> {
        let read = |name| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| BackupError::damaged(&path, error))
        };
        let (text, listed) = (read(FILE)?, read(sums::FILE)?);
        let damaged = |why: String| BackupError::damaged(folder, why);
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| damaged(format!("{FILE}: {error}")))?;
        if manifest.format != FORMAT {
            let why = format!(
                "it has the form {}, and this natter knows {FORMAT}: restore it with natter {}",
                manifest.format, manifest.natter
            );
            return Err(damaged(why));
        }
        if digest(&listed) != manifest.sums {
            return Err(damaged(format!("{} is not as {FILE} says", sums::FILE)));
        }
        let sums = sums::decode(&listed).map_err(damaged)?;
        if !sums.contains_key(super::STORE) {
            return Err(damaged("it holds no store".to_owned()));
        }
        Ok((manifest, sums))
    }
}

fn digest(text: &str) -> String {
    sums::hex(&Sha256::digest(text).into())
}
