//! `s3://bucket/prefix`, taken strictly: what is not understood is told, not guessed.

use std::fmt;

/// The longest prefix, in bytes: S3 allows keys of 1,024, and natter's part is below 64.
const MAX_PREFIX: usize = 512;

/// A bucket, and the part of it that is natter's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    prefix: String,
}

impl Bucket {
    /// Reads what follows `s3://`. An error never repeats it: it may hold a secret by mistake.
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        if rest.contains('@') {
            let why = "holds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(why.to_owned());
        }
        if rest.contains(['?', '#']) {
            return Err("has no query and no fragment: set media.endpoint, media.region".to_owned());
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains(':') {
            return Err("has no port: s3://bucket, and media.endpoint for the server".to_owned());
        }
        check_name(name)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.is_empty() {
            check_prefix(prefix)?;
        }
        Ok(Self { name: name.to_owned(), prefix: prefix.to_owned() })
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What every key begins with, without a slash at its ends; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.name, self.prefix)
    }
}

/// By the rules of S3 for the names of buckets.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_valid = (3..=63).contains(&name.len())
        && name.chars().all(|c| is_plain(c) || c == '-' || c == '.')
        && name.starts_with(is_plain)
        && name.ends_with(is_plain)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err();
    if is_valid {
        return Ok(());
    }
    Err("names no bucket: 3 to 63 lower-case letters, digits, `-` and `.`, as in s3://bucket/prefix"
        .to_owned())
}

/// Characters that need no encoding anywhere, in segments that are not empty and lead nowhere.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.chars().all(|c| c == '.')
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if prefix.len() <= MAX_PREFIX && prefix.split('/').all(is_segment) {
        return Ok(());
    }
    Err(format!(
        "has a prefix that is not made of letters, digits, `-`, `_` and `.` between single slashes, \
         at most {MAX_PREFIX} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_its_prefix_are_read() {
        for (text, name, prefix) in [
            ("natter", "natter", ""),
            ("natter/", "natter", ""),
            ("my.bucket-1/chat", "my.bucket-1", "chat"),
            ("natter/a/B_c/d.e/", "natter", "a/B_c/d.e"),
        ] {
            let bucket = Bucket::parse(text).unwrap();
            assert_eq!((bucket.name(), bucket.prefix()), (name, prefix), "{text}");
            assert_eq!(bucket.to_string(), format!("s3://{}", text.trim_end_matches('/')));
        }
    }

    #[test]
    fn what_is_not_understood_is_told_without_repeating_it() {
        let long = format!("natter/{}", "a".repeat(513));
        for (text, why) in [
            ("", "names no bucket"),
            ("/natter", "names no bucket"),
            ("ab", "names no bucket"),
            ("Hunter2", "names no bucket"),
            ("hunter2-", "names no bucket"),
            ("hunter2..b", "names no bucket"),
            ("hunter2_b", "names no bucket"),
            ("127.0.0.1", "names no bucket"),
            ("key:hunter2@natter", "no credentials"),
            ("hunter2@natter", "no credentials"),
            ("natter:9000", "no port"),
            ("natter?endpoint=hunter2", "no query"),
            ("natter/a#hunter2", "no fragment"),
            ("natter//hunter2", "prefix"),
            ("natter/a//b", "prefix"),
            ("natter/../hunter2", "prefix"),
            ("natter/.", "prefix"),
            ("natter/a b", "prefix"),
            ("natter/%2e%2e", "prefix"),
            (long.as_str(), "prefix"),
        ] {
            let told = Bucket::parse(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
            assert!(!told.contains("unter2"), "{told}");
        }
    }
}
