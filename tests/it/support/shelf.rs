//! A place for files of a test's own: a folder, or a part of the bucket of this run.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use natter::config::{Config, MediaConfig, MediaUrl, Sources};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ObjectStore, ObjectStoreExt};

use super::http;
use super::services::server;

/// How long what happens by itself may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes of each function two tests: with a shelf that is a folder, and with one in a bucket.
macro_rules! on_every_shelf {
    ($($name:ident),+ $(,)?) => {
        mod folder {$(
            #[tokio::test]
            async fn $name() {
                super::$name($crate::support::Shelf::folder()).await;
            }
        )+}
        mod s3 {$(
            #[tokio::test]
            async fn $name() {
                if let Some(shelf) = $crate::support::Shelf::bucket() {
                    super::$name(shelf).await;
                }
            }
        )+}
    };
}
pub(crate) use on_every_shelf;

/// Where a test keeps its files.
pub(crate) enum Shelf {
    Folder(tempfile::TempDir),
    Bucket(TestBucket),
}

/// A prefix of the bucket of this run.
pub(crate) struct TestBucket {
    config: MediaConfig,
    s3: AmazonS3,
    prefix: String,
}

impl Shelf {
    pub(crate) fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    /// `None`, and loudly so, where there is no S3 server.
    pub(crate) fn bucket() -> Option<Self> {
        TestBucket::new().map(Self::Bucket)
    }

    /// How a node keeps its files here.
    pub(crate) fn config(&self) -> MediaConfig {
        match self {
            Self::Folder(folder) => {
                let url = MediaUrl::Folder { path: Some(folder.path().join("media")) };
                MediaConfig { url, ..MediaConfig::default() }
            }
            Self::Bucket(bucket) => bucket.config.clone(),
        }
    }

    /// How much is gathered before a part of a file is written here.
    pub(crate) fn part_bytes(&self) -> usize {
        match self {
            Self::Folder(_) => 512 << 10,
            Self::Bucket(_) => 5 << 20,
        }
    }

    /// How many files there are, of any kind, half-written ones included.
    pub(crate) async fn files(&self) -> usize {
        match self {
            Self::Folder(folder) => files_in(folder.path(), |_| true),
            Self::Bucket(bucket) => bucket.objects().await + bucket.unfinished().await,
        }
    }

    /// Waits until what was not written to its end is gone.
    pub(crate) async fn comes_to_hold_nothing_half_written(&self) {
        let deadline = Instant::now() + DEADLINE;
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            let left = match self {
                Self::Folder(folder) => files_in(folder.path(), |name| name.contains('#')),
                Self::Bucket(bucket) => bucket.unfinished().await,
            };
            if left == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{left} half-written files are left");
            again.tick().await;
        }
    }

    /// Waits until there are as many.
    pub(crate) async fn comes_to_hold(&self, files: usize) {
        let deadline = Instant::now() + DEADLINE;
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            let held = self.files().await;
            if held == files {
                return;
            }
            assert!(Instant::now() < deadline, "{held} files, not {files}");
            again.tick().await;
        }
    }
}

impl TestBucket {
    pub(crate) fn new() -> Option<Self> {
        let (url, endpoint) = (server("NATTER_TEST_S3_URL")?, server("NATTER_TEST_S3_ENDPOINT")?);
        let bucket = url.strip_prefix("s3://").unwrap();
        let prefix = format!("it/{:016x}", rand::random::<u64>());
        let config = config(&format!("{url}/{prefix}"), &endpoint);
        natter::tls::install();
        let s3 = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .build()
            .unwrap();
        Some(Self { config, s3, prefix })
    }

    /// How a node keeps its files here.
    pub(crate) fn config(&self) -> MediaConfig {
        self.config.clone()
    }

    /// How many objects there are.
    pub(crate) async fn objects(&self) -> usize {
        let prefix = Key::from(self.prefix.as_str());
        self.s3.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap().len()
    }

    /// The type that the first of the objects is stored with.
    pub(crate) async fn stored_type(&self) -> String {
        let prefix = Key::from(self.prefix.as_str());
        let first = self.s3.list(Some(&prefix)).try_next().await.unwrap().unwrap();
        let found = self.s3.get(&first.location).await.unwrap();
        found.attributes.get(&object_store::Attribute::ContentType).unwrap().to_string()
    }

    /// How many uploads in parts are under way.
    pub(crate) async fn unfinished(&self) -> usize {
        let query = [("uploads", ""), ("prefix", self.prefix.as_str())];
        let options = SignedUrlOptions::new().with_query(query);
        let (root, minute) = (Key::default(), Duration::from_secs(60));
        let url = self.s3.signed_url_opts(Method::GET, &root, minute, &options).await.unwrap();
        let answer = http::get(url).await.unwrap().error_for_status().unwrap();
        answer.text().await.unwrap().matches("<UploadId>").count()
    }
}

/// A bucket of a server that is not there.
pub(crate) async fn nobody() -> MediaConfig {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    config("s3://natter-test/x", &format!("http://{address}"))
}

/// Settings of media, as an operator would write them.
pub(crate) fn config(url: &str, endpoint: &str) -> MediaConfig {
    let environment = [("NATTER_MEDIA_URL", url), ("NATTER_MEDIA_ENDPOINT", endpoint)];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let sources = Sources { environment: environment.into(), ..Sources::default() };
    Config::load(&sources).unwrap().media
}

/// How many files of such names there are.
fn files_in(folder: &Path, counts: fn(&str) -> bool) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| match path.is_dir() {
            true => files_in(&path, counts),
            false => usize::from(counts(path.file_name().unwrap().to_str().unwrap())),
        })
        .sum()
}
