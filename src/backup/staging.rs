//! Files that nobody finds under their names before all of them are complete.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{BackupError, Result};

/// Bytes that are copied at a time.
const CHUNK: usize = 256 * 1024;

/// A folder that only its owner enters. Dropped before it is renamed or [`Staging::keep`] it leaves nothing.
pub(super) struct Staging {
    folder: PathBuf,
    is_kept: bool,
}

/// The SHA-256 of a file and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
}

impl Staging {
    /// Makes a folder beside `place`, on the same file system, under a name of its own.
    pub(super) fn beside(place: &Path) -> Result<Self> {
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".partial-{:08x}", rand::random::<u32>()));
        let folder = PathBuf::from(name);
        make_folder(&folder, false)?;
        Ok(Self { folder, is_kept: false })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Copies the file `from` to `name` in the folder, mode 0600, synced, and answers its sum.
    pub(super) fn copy(&self, from: &Path, name: &str) -> Result<Sum> {
        let source = File::open(from).map_err(BackupError::at(from))?;
        self.write(source, name)
    }

    /// Writes what `source` has to `name` in the folder, mode 0600, synced, and answers its sum.
    pub(super) fn write(&self, source: impl Read, name: &str) -> Result<Sum> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            make_folder(folder, true)?;
        }
        write_synced(source, &path).map_err(BackupError::at(&path))
    }

    /// Makes `to` of the whole folder.
    pub(super) fn rename(mut self, to: &Path) -> Result<()> {
        sync_folder(&self.folder)?;
        fs::rename(&self.folder, to).map_err(BackupError::at(to))?;
        self.is_kept = true;
        sync_folder(&parent(to))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_kept {
            // What led here is told; a folder that cannot be removed is seen by its name.
            _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn make_folder(folder: &Path, parents: bool) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(parents).mode(0o700).create(folder);
    made.map_err(BackupError::at(folder))
}

fn write_synced(source: impl Read, path: &Path) -> io::Result<Sum> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let sum = sum(source, |chunk| file.write_all(chunk))?;
    file.sync_all()?;
    Ok(sum)
}

/// The sum of what `source` has, each piece of which goes to `take`.
pub(super) fn sum(
    mut source: impl Read,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Sum> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok(Sum { sha256: hash.finalize().into(), bytes }),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        bytes += read as u64;
        take(&buffer[..read])?;
    }
}

/// Makes what was renamed in `folder` outlive a loss of power.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::at(folder))
}

/// The folder that `path` is in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
