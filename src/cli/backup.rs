//! `natter backup` and `natter restore`: the embedded store with its files.

use std::path::Path;

use super::{Failure, MISCONFIGURED, print, runtime};
use crate::backup::{self, BackupError};
use crate::config::{Config, Sources};
use crate::node;

/// Backs up the store and its files into `folder`, whether or not a node is running.
pub(super) fn take(sources: &Sources, folder: &Path, with_secret: bool) -> Result<(), Failure> {
    let config = Config::load(sources)?;
    let taken = backup::take(&config, folder, with_secret)?;
    let mut told = format!(
        "backed up the store and {} files, {} bytes, to {}\n",
        taken.files,
        taken.bytes,
        folder.display()
    );
    if !taken.has_media {
        told += "The files are in a bucket and not in it: back that up beside it, after it.\n";
    }
    if taken.missing > 0 {
        told += &format!("{} files that the store names were not there.\n", taken.missing);
    }
    told += match taken.has_secret {
        true => "The secret key is in it: keep it as safe as that.\n",
        false => "The secret key is not in it: keep that as well, elsewhere.\n",
    };
    print(&told);
    Ok(())
}

/// Puts the backup in `folder` back.
pub(super) fn restore(sources: &Sources, folder: &Path, force: bool) -> Result<(), Failure> {
    let config = Config::load(sources)?;
    node::prepare(&config)?;
    let restored = runtime()?.block_on(backup::restore(&config, folder, force))?;
    let mut told = format!(
        "restored the store and {} files; its epoch is {} now: clients begin anew\n",
        restored.files, restored.epoch
    );
    if !restored.has_media {
        told += "The files were in a bucket and are not in the backup.\n";
    }
    if restored.missing > 0 {
        told +=
            &format!("{} files that the store names are not in the backup.\n", restored.missing);
    }
    if restored.has_secret {
        told += "The secret key of the backup is in use again.\n";
    }
    for path in restored.put_aside {
        told += &format!("What was there before is {}\n", path.display());
    }
    print(&told);
    Ok(())
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            BackupError::NotEmbedded => Self { code: MISCONFIGURED, ..Self::other(error) },
            error => Self::other(error),
        }
    }
}
