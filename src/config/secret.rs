//! Secrets: kept out of every log line, and refused when they could be guessed.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The file in the data folder that holds the generated secret.
const FILE: &str = "secret.key";

/// Text that must not be shown. It has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The fewest bytes that a signing secret may have: the length of a SHA-256 key.
    pub const MIN_BYTES: usize = 32;

    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Checks that nobody can guess this as the secret that tokens are signed with.
    ///
    /// Whoever knows it can be anybody, administrators included. So a short one, one that was published, and a
    /// placeholder, also one that is repeated until it is long enough, are refused.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the end of a sentence, without the secret.
    pub(super) fn check_strength(&self) -> Result<(), String> {
        let bytes = self.0.as_bytes();
        if bytes.len() < Self::MIN_BYTES {
            return Err(format!("has {} bytes and needs {}", bytes.len(), Self::MIN_BYTES));
        }
        if is_known(&self.0) {
            return Err("is a known example: make one with `openssl rand -hex 32`".to_owned());
        }
        Ok(())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Keys that were printed in documentation and found again in production.
const PUBLISHED: [&str; 4] = [
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", // FastAPI's tutorial
    "d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970", // Spring's JWT tutorials
    "thebestsecretkeyintheworldthatnobodycouldeverguess",
];

/// What stands where a secret ought to be, once case, digits and punctuation are gone.
const PLACEHOLDERS: [&str; 27] = [
    "astringsecretatleastbitslong", // jwt.io, as is yourbitsecret
    "changeit",
    "changeme",
    "changemeinproduction",
    "changemeplease",
    "changethis",
    "changethissecret",
    "changethissecretkey",
    "default",
    "defaultsecret",
    "defaultsecretkey",
    "insecure",
    "jwtsecret",
    "jwtsecretkey",
    "keyboardcat",
    "mysecret",
    "mysecretkey",
    "mysupersecretkey",
    "password",
    "pleasechangeme",
    "secret",
    "secretkey",
    "supersecret",
    "supersecretkey",
    "yourbitsecret",
    "yoursecretkey",
    "yoursecretkeyhere",
];

/// Whether `secret` was published, or is a placeholder, once or again and again.
fn is_known(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    if lower.starts_with("django-insecure-") {
        return true;
    }
    let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let letters: String = plain.chars().filter(char::is_ascii_alphabetic).collect();
    let is_repeated = |word: &&str| !letters.is_empty() && letters.replace(*word, "").is_empty();
    PUBLISHED.contains(&plain.as_str()) || PLACEHOLDERS.iter().any(is_repeated)
}

/// Reads the secret of an embedded node, and makes it first if there is none.
///
/// The file appears whole or not at all, so two processes that start at once use the same one.
pub(super) fn load_or_create(data_dir: &Path) -> Result<Secret, String> {
    let file = data_dir.join(FILE);
    if let Some(secret) = load(&file)? {
        return Ok(secret);
    }
    create(data_dir, &file).map_err(|error| format!("cannot make {}: {error}", file.display()))?;
    load(&file)?.ok_or_else(|| format!("{} is gone again", file.display()))
}

/// Checks the secret of an embedded node, if it has one yet.
pub(super) fn check(data_dir: &Path) -> Result<(), String> {
    load(&data_dir.join(FILE)).map(drop)
}

fn load(file: &Path) -> Result<Option<Secret>, String> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
    };
    let secret = Secret::new(without_line_end(&text));
    match secret.check_strength() {
        Ok(()) => Ok(Some(secret)),
        Err(why) => Err(format!("the secret in {} {why}", file.display())),
    }
}

/// Reads a secret file as Docker and Kubernetes mount it; a line end behind it does not count.
pub(super) fn read(file: &Path) -> Result<Secret, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(Secret::new(without_line_end(&text)))
}

/// Reads a secret file of one that signs.
pub(super) fn read_strong(file: &Path) -> Result<Secret, String> {
    let secret = read(file)?;
    match secret.check_strength() {
        Ok(()) => Ok(secret),
        Err(why) => Err(format!("the secret in {} {why}", file.display())),
    }
}

fn without_line_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

fn create(data_dir: &Path, file: &Path) -> io::Result<()> {
    // The folder holds password hashes and messages too: nobody else on the machine reads it.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let own = data_dir.join(format!("{FILE}.{}.{:08x}", std::process::id(), rand::random::<u32>()));
    let bytes: [u8; 32] = rand::random();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    let linked = writeln!(new, "{hex}").and_then(|()| new.sync_all()).and_then(|()| {
        match fs::hard_link(&own, file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()), // Theirs is used.
            other => other,
        }
    });
    fs::remove_file(&own)?;
    linked?;
    fs::File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        for weak in [
            "",
            "secret",
            "short-but-Random-8fj39",
            "changemechangemechangemechangeme",
            "changeme-changeme-changeme-changeme",
            "secret-secret-secret-secret-secret-1",
            "passwordpasswordpasswordpassword1",
            "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
            "a-string-secret-at-least-256-bits-long",
            "your-256-bit-secret-your-256-bit-secret",
            "django-insecure-x7#k29fj!sdf82nvlq0s9d8f7",
        ] {
            assert!(Secret::new(weak).check_strength().is_err(), "{weak}");
        }
    }

    #[test]
    fn random_secrets_in_the_usual_alphabets_are_taken() {
        for strong in [
            "b7f1d03c9ae25f6e8840c2d19b3a75ef6610d4a8c93b527e", // hex
            "vT3kQz9LmW2xR8pYb6NcJ4hS7dF0gAeU",                 // letters and digits
            "+q9/Zx1KfPz7m0WcRt5Jb2Yd8LhNs4Gu6Va3EoQiTkM=",     // base64
            "48159302750166384920571846330917265849",           // decimal
            "correct horse battery staple ultraviolet",         // diceware
            "a-test-secret-of-at-least-thirty-two-bytes",       // what is only a test's
        ] {
            assert_eq!(Secret::new(strong).check_strength(), Ok(()), "{strong}");
        }
        for _ in 0..1_000 {
            let bytes: [u8; 32] = rand::random();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(Secret::new(hex).check_strength(), Ok(()));
        }
    }

    #[test]
    fn the_generated_secret_is_private_strong_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        let first = load_or_create(&data).unwrap();
        assert_eq!(first.check_strength(), Ok(()));
        assert_eq!(load_or_create(&data).unwrap(), first);
        let mode = fs::metadata(data.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn nodes_that_start_at_once_agree_on_one_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(move || load_or_create(path).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    }

    #[test]
    fn debug_tells_nothing() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
