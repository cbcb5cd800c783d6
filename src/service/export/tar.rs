//! The form of a tar archive (POSIX ustar), for files whose size is known before their bytes.

use bytes::Bytes;

use crate::domain::Timestamp;

/// What everything in an archive is a multiple of.
const BLOCK: usize = 512;

/// The end of an archive: two blocks of nothing.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// What precedes the bytes of a file with this name, which is ASCII of at most 100 characters.
pub(super) fn header(name: &str, size: u64, at: Timestamp) -> Bytes {
    let mut block = [0; BLOCK];
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, b"0000600\0");
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    put(&mut block, 124, &number(size));
    put(&mut block, 136, &number(at.as_millis() / 1000));
    put(&mut block, 156, b"0"); // A plain file.
    put(&mut block, 257, b"ustar\x0000");
    // The sum is made as if it were blanks itself.
    put(&mut block, 148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    Bytes::copy_from_slice(&block)
}

/// What follows the bytes of a file of this size.
pub(super) fn padding(size: u64) -> Bytes {
    let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
    Bytes::from_static(&END[..(BLOCK - over) % BLOCK])
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Octal digits; what is longer than those hold, from 8 GiB on, in binary, which every tar of today reads.
fn number(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value < 1 << 33 {
        field[..11].copy_from_slice(format!("{value:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn numbers_are_octal_or_if_large_binary() {
        assert_eq!(&number(0), b"00000000000\0");
        assert_eq!(&number((1 << 33) - 1), b"77777777777\0");
        assert_eq!(number(1 << 33), [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_read_by_tar_is_what_was_written() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let files = [("account.json", vec![b'x'; 700]), ("files/a", vec![b'y'; 1024])];
        let mut archive = Vec::new();
        for (name, content) in &files {
            let size = content.len() as u64;
            archive.extend_from_slice(&header(name, size, Timestamp(1_700_000_000_000)));
            archive.extend_from_slice(content);
            archive.extend_from_slice(&padding(size));
        }
        archive.extend_from_slice(&END);
        assert_eq!(archive.len() % BLOCK, 0);
        let mut tar = Command::new("tar")
            .args(["-x", "-f", "-", "-C"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&archive).unwrap();
        assert!(tar.wait().unwrap().success());
        for (name, content) in &files {
            assert_eq!(&std::fs::read(folder.path().join(name)).unwrap(), content, "{name}");
        }
    }
}
