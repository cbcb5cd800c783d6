//! The URLs that choose a backend, each parsed into its enum by the scheme.
//!
//! Only the scheme, and what the schemes share, is known here.

use std::path::{Path, PathBuf};

use super::bucket::Bucket;
use super::nats::NatsUrl;
use super::secret::Secret;

/// Where users, rooms and messages are kept, from the scheme of `store.url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:` a file of this node: no other process needed, but one node only.
    Sqlite {
        /// The database file; `None` is `natter.db` in the data folder.
        path: Option<PathBuf>,
    },
    /// `mongodb://`, `mongodb+srv://`: a replica set or sharded cluster, shared by all nodes.
    Mongodb {
        /// The whole URI, which may hold a password.
        uri: Secret,
    },
}

/// How nodes tell each other that something happened, from the scheme of `bus.url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusUrl {
    /// `local:` within this process.
    Local,
    /// `nats://`, `tls://`: one or more servers, comma separated.
    Nats {
        /// The whole URL, which may hold a password.
        url: Secret,
    },
}

/// Where uploaded files are kept, from the scheme of `media.url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaUrl {
    /// `file:` a folder of this node.
    Folder {
        /// The folder; `None` is `media` in the data folder.
        path: Option<PathBuf>,
    },
    /// `s3://bucket/prefix`: part of a bucket, shared by all nodes.
    S3(Bucket),
}

impl StoreUrl {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) => Ok(Self::Sqlite { path: local_path(path) }),
            Some(("mongodb" | "mongodb+srv", rest)) if rest.starts_with("//") => {
                Ok(Self::Mongodb { uri: Secret::new(text) })
            }
            _ => Err(unknown_scheme(text, "sqlite: or mongodb://")),
        }
    }

    /// The database file of the embedded store, `None` for a store elsewhere.
    pub fn sqlite_path(&self, data_dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Sqlite { path } => {
                Some(path.clone().unwrap_or_else(|| data_dir.join("natter.db")))
            }
            Self::Mongodb { .. } => None,
        }
    }
}

impl BusUrl {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("local", "")) => Ok(Self::Local),
            Some(("nats" | "tls", rest)) if rest.starts_with("//") => {
                NatsUrl::parse(text).map(|_checked| Self::Nats { url: Secret::new(text) })
            }
            _ => Err(unknown_scheme(text, "local: or nats://")),
        }
    }
}

impl MediaUrl {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", path)) => Ok(Self::Folder { path: local_path(path) }),
            Some(("s3", rest)) if rest.starts_with("//") => Bucket::parse(&rest[2..]).map(Self::S3),
            _ => Err(unknown_scheme(text, "file: or s3://")),
        }
    }

    /// The folder that holds the files, `None` for a store elsewhere.
    pub fn folder(&self, data_dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Folder { path } => Some(path.clone().unwrap_or_else(|| data_dir.join("media"))),
            Self::S3(_) => None,
        }
    }
}

/// The path behind `sqlite:` and `file:`, also as `file:///absolute`.
fn local_path(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    (!path.is_empty()).then(|| PathBuf::from(path))
}

/// Names the scheme only, for the rest of a URL may hold a password.
fn unknown_scheme(text: &str, known: &str) -> String {
    match text.split_once(':') {
        Some((scheme, _))
            if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-".contains(c)) =>
        {
            format!("{scheme}: is no scheme that it can have, use {known}")
        }
        _ => format!("is no URL, use {known}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_chooses_the_backend() {
        let sqlite = |path: Option<&str>| StoreUrl::Sqlite { path: path.map(PathBuf::from) };
        assert_eq!(StoreUrl::parse("sqlite:"), Ok(sqlite(None)));
        assert_eq!(StoreUrl::parse("sqlite:chat.db"), Ok(sqlite(Some("chat.db"))));
        assert_eq!(StoreUrl::parse("sqlite:///var/chat.db"), Ok(sqlite(Some("/var/chat.db"))));
        assert!(matches!(StoreUrl::parse("mongodb+srv://db"), Ok(StoreUrl::Mongodb { .. })));
        assert_eq!(BusUrl::parse("local:"), Ok(BusUrl::Local));
        assert!(matches!(BusUrl::parse("tls://bus"), Ok(BusUrl::Nats { .. })));
        let folder = MediaUrl::Folder { path: Some(PathBuf::from("/srv/media")) };
        assert_eq!(MediaUrl::parse("file:/srv/media"), Ok(folder));
        assert!(matches!(MediaUrl::parse("s3://bucket/prefix"), Ok(MediaUrl::S3(_))));
    }

    #[test]
    fn a_url_that_names_no_backend_is_refused_without_telling_its_password() {
        for text in ["", "sqlite", "postgres://u:hunter2@db", "mongodb:db", "nats://x", "/path"] {
            let why = StoreUrl::parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
        for text in ["", "local", "local:x", "redis://x", "nats:x"] {
            assert!(BusUrl::parse(text).is_err(), "{text}");
        }
        for text in ["", "folder", "gs://x", "s3:x"] {
            assert!(MediaUrl::parse(text).is_err(), "{text}");
        }
    }
}
