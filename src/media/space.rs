//! Keeps files from filling the disk that the messages may share.
//!
//! A store of messages on a full disk takes none. So files stop earlier than messages do: the last
//! part of the disk is not theirs.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::{MediaError, Result};

/// The largest part of a disk that is kept from files.
const MOST_RESERVED: u64 = 256 << 20;

/// The part of a smaller disk: one twentieth.
const RESERVED_PART: u64 = 20;

/// Whether files may grow on the disk of `folder`.
///
/// # Errors
///
/// [`MediaError::Full`] if not; [`MediaError::Unavailable`] if the disk does not answer.
pub(super) async fn check(folder: &Path) -> Result<()> {
    let folder = folder.to_owned();
    let (free, total) = match tokio::task::spawn_blocking(move || measure(&folder)).await {
        Ok(Ok(measured)) => measured,
        Ok(Err(error)) => return Err(MediaError::Unavailable(Box::new(error))),
        Err(panic) => return Err(MediaError::Unavailable(Box::new(panic))),
    };
    if free < reserved(total) {
        let why = format!("{free} bytes are free of {total}");
        return Err(MediaError::Full(why.into()));
    }
    Ok(())
}

/// The bytes that are free for this user on the disk of `folder`, and all of them.
fn measure(folder: &Path) -> io::Result<(u64, u64)> {
    let disk = statvfs(folder)?;
    let block = disk.fragment_size();
    Ok((block.saturating_mul(disk.blocks_available()), block.saturating_mul(disk.blocks())))
}

/// How much of a disk of `total` bytes is kept from files.
fn reserved(total: u64) -> u64 {
    (total / RESERVED_PART).min(MOST_RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_small_part_of_any_disk() {
        assert_eq!(reserved(10 << 20), (10 << 20) / 20);
        assert_eq!(reserved(1 << 40), 256 << 20);
        assert_eq!(reserved(0), 0, "a disk of unknown size takes files until it refuses them");
    }

    #[test]
    fn a_disk_is_measured() {
        let (free, total) = measure(&std::env::temp_dir()).unwrap();
        assert!(free <= total && total > 0);
        assert!(measure(Path::new("/no/such/folder")).is_err());
    }
}
