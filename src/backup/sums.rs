//! `SHA256SUMS`: what is in a backup, in the form of `sha256sum`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Component, Path};

use super::{MEDIA, SECRET, STORE};

/// The file's name.
pub(super) const FILE: &str = "SHA256SUMS";

/// Paths within the backup, each with the SHA-256 of its file.
pub(super) type Sums = BTreeMap<String, [u8; 32]>;

/// The lines of the file.
pub(super) fn encode(sums: &Sums) -> String {
    let mut text = String::new();
    for (path, sum) in sums {
        let _infallible = writeln!(text, "{}  {path}", hex(sum));
    }
    text
}

/// Reads the lines of the file. Only paths that a backup has are taken: nothing leads out of it.
pub(super) fn decode(text: &str) -> Result<Sums, String> {
    let entries = text.lines().map(|line| {
        let (sum, path) = line.split_once("  ").ok_or("a line of its sums has no path")?;
        let sum = unhex(sum).ok_or_else(|| format!("the sum of {path} is none"))?;
        if !is_of_backup(path) {
            return Err(format!("{path} is no file of a backup"));
        }
        Ok((path.to_owned(), sum))
    });
    entries.collect()
}

/// Whether a backup may have a file of this path.
fn is_of_backup(path: &str) -> bool {
    if path == STORE || path == SECRET {
        return true;
    }
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::Normal(MEDIA.as_ref()))
        && parts.clone().count() > 0
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

pub(super) fn hex(sum: &[u8; 32]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut sum = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let sums =
            Sums::from([(STORE.to_owned(), [7; 32]), ("media/0a/ff/name".to_owned(), [255; 32])]);
        assert_eq!(decode(&encode(&sums)), Ok(sums));
    }

    #[test]
    fn no_path_leads_out_of_a_backup() {
        let sum = hex(&[1; 32]);
        for path in [
            "/etc/passwd",
            "../x",
            "media/../../x",
            "media",
            "other",
            "media/./../x",
            "media//../x",
        ] {
            assert!(decode(&format!("{sum}  {path}\n")).is_err(), "{path}");
        }
        for line in ["", "  media/x", "00  media/x", "no sum"].map(|line| format!("{line}\n")) {
            assert!(decode(&line).is_err(), "{line}");
        }
    }
}
