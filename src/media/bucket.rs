//! A bucket of an S3 server: how it is reached, links that clients follow by themselves, and uploads
//! that were never completed.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{MediaError, Result};
use crate::config::{self, Addressing, MediaConfig};
use crate::domain::Timestamp;
use crate::tls;

/// How long the server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long it may then be silent; a part of a file has as long to arrive.
const SILENT_FOR: Duration = Duration::from_secs(20);

/// How long a call is tried again for. Whoever waits for it is told after that.
const TRIED_FOR: Duration = Duration::from_secs(10);

/// How often.
const RETRIES: usize = 3;

/// How long a link that a client follows is good for. It is followed at once, and what it names is
/// not checked again.
const LINK_LIFETIME: Duration = Duration::from_secs(60);

/// The least that S3 takes as a part of a file, but for the last.
const MIN_PART: u64 = 5 << 20;

/// The most parts that a file may have.
const MAX_PARTS: u64 = 10_000;

/// How many pages of uploads one sweep of a shard looks at, of a thousand each.
const MAX_PAGES: usize = 100;

/// Where the region comes from without a setting: the variables of AWS, or the first region there was.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket, and the part of it that is natter's.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    s3: AmazonS3,
    /// The same bucket as clients reach it. It only signs.
    public: AmazonS3,
    prefix: Key,
    http: reqwest::Client,
}

impl Bucket {
    /// The bucket that `config` names. Nothing is asked of the server yet: a node starts without it.
    pub(super) fn new(config: &MediaConfig, bucket: &config::Bucket) -> object_store::Result<Self> {
        tls::install();
        let options = client_options();
        let builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket.name())
            .with_virtual_hosted_style_request(config.addressing == Addressing::Host)
            .with_client_options(options)
            .with_retry(retries());
        let of_environment = builder.get_config_value(&AmazonS3ConfigKey::Region);
        let region = config.region.clone().or(of_environment);
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let at = |origin: String| {
            // The key that comes before all others, so that no variable overrides a setting.
            let there = builder.clone().with_config(AmazonS3ConfigKey::S3Endpoint, &origin);
            let is_plain = origin.starts_with("http://");
            there.with_region(&region).with_allow_http(is_plain).build()
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(SILENT_FOR)
            .build()
            .map_err(failed)?;
        Ok(Self {
            s3: at(config.origin(&region))?,
            public: at(config.public_origin(&region))?,
            prefix: Key::from(bucket.prefix()),
            http,
        })
    }

    /// The bucket as an object store, which knows nothing of the prefix.
    pub(super) fn s3(&self) -> &AmazonS3 {
        &self.s3
    }

    /// What all keys begin with.
    pub(super) fn prefix(&self) -> &Key {
        &self.prefix
    }

    /// A URL at which whoever has it loads `key` within a minute, as what the last two arguments say.
    pub(super) async fn link(
        &self,
        key: &Key,
        content_type: &str,
        disposition: &str,
    ) -> Result<String> {
        // What S3 can be told to answer with. It is part of what is signed.
        let headers = [
            ("response-content-type", content_type),
            ("response-content-disposition", disposition),
            ("response-cache-control", "private, no-store"),
        ];
        let options = SignedUrlOptions::new().with_query(headers);
        let key = self.full(key);
        let url = self.public.signed_url_opts(Method::GET, &key, LINK_LIFETIME, &options).await?;
        Ok(url.into())
    }

    /// Ends the uploads below `folder` that were begun before `before` and never completed, and
    /// answers how many.
    pub(super) async fn end_uploads(&self, folder: &Key, before: Timestamp) -> Result<usize> {
        let mut ended = 0;
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let page = self.unfinished(folder, after.as_ref()).await?;
            for upload in &page.uploads {
                if upload.was_begun_before(before) {
                    ended += usize::from(self.end_upload(upload).await?);
                }
            }
            after = page.next();
            if after.is_none() {
                break;
            }
        }
        Ok(ended)
    }

    /// Whether it was there to be ended: another node may have been quicker.
    async fn end_upload(&self, upload: &Upload) -> Result<bool> {
        let key = Key::parse(&upload.key).map_err(object_store::Error::from)?;
        match self.s3.abort_multipart(&key, &upload.upload_id).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of the uploads that are under way, which the object store's own interface does not list.
    async fn unfinished(&self, folder: &Key, after: Option<&Marker>) -> Result<Page> {
        let mut query = vec![
            ("uploads".to_owned(), String::new()),
            ("prefix".to_owned(), format!("{}/", self.full(folder))),
        ];
        if let Some(after) = after {
            query.push(("key-marker".to_owned(), after.key.clone()));
            query.push(("upload-id-marker".to_owned(), after.upload_id.clone()));
        }
        let options = SignedUrlOptions::new().with_query(query);
        let root = Key::default();
        let url = self.s3.signed_url_opts(Method::GET, &root, LINK_LIFETIME, &options).await?;
        let answer = self.http.get(url).send().await.map_err(unavailable)?;
        let answer = answer.error_for_status().map_err(unavailable)?;
        let text = answer.text().await.map_err(unavailable)?;
        quick_xml::de::from_str(&text).map_err(|error| MediaError::Unavailable(Box::new(error)))
    }

    fn full(&self, key: &Key) -> Key {
        self.prefix.parts().chain(key.parts()).collect()
    }
}

/// How large the parts of a file of at most `limit` bytes are: all of one size, as some servers
/// want it, and the last one smaller.
pub(super) fn part_bytes(limit: u64) -> usize {
    let least = limit.div_ceil(MAX_PARTS).max(MIN_PART);
    usize::try_from(least).expect("the limit of uploads is 1 TiB")
}

fn client_options() -> ClientOptions {
    ClientOptions::new()
        // A file may take as long as its reader takes. What must not be is silence.
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_WITHIN)
        .with_read_timeout(SILENT_FOR)
        // For a store that does not do as a link says: nothing is shown in place by itself.
        .with_default_content_type(super::UNKNOWN)
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.,
    };
    RetryConfig { backoff, max_retries: RETRIES, retry_timeout: TRIED_FOR }
}

fn failed(error: reqwest::Error) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: Box::new(error) }
}

/// An error without the URL, which is signed.
fn unavailable(error: reqwest::Error) -> MediaError {
    MediaError::Unavailable(Box::new(error.without_url()))
}

/// `ListMultipartUploadsResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Upload>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

/// Where the next page begins.
struct Marker {
    key: String,
    upload_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Page {
    fn next(self) -> Option<Marker> {
        let marker = Marker { key: self.next_key_marker, upload_id: self.next_upload_id_marker };
        (self.is_truncated && !marker.key.is_empty()).then_some(marker)
    }
}

impl Upload {
    /// One whose time cannot be read may be under way.
    fn was_begun_before(&self, before: Timestamp) -> bool {
        let begun = OffsetDateTime::parse(&self.initiated, &Rfc3339);
        begun.is_ok_and(|begun| begun.unix_timestamp_nanos() / 1_000_000 < i128::from(before.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_small_as_s3_allows() {
        assert_eq!(part_bytes(0), 5 << 20);
        assert_eq!(part_bytes(100 << 20), 5 << 20);
        assert_eq!(part_bytes(1 << 40), (1_usize << 40).div_ceil(10_000));
    }

    #[test]
    fn a_page_of_uploads_is_read() {
        let page: Page = quick_xml::de::from_str(
            "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3\"><Bucket>b</Bucket>\
             <NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>\
             <IsTruncated>true</IsTruncated>\
             <Upload><Key>a</Key><UploadId>1&amp;2</UploadId><Owner><ID>x</ID></Owner>\
             <Initiated>2023-11-14T22:13:20.000Z</Initiated></Upload>\
             <CommonPrefixes/><Upload><Key>b</Key><UploadId>2</UploadId><Initiated>never</Initiated>\
             </Upload></ListMultipartUploadsResult>",
        )
        .unwrap();
        let [first, second] = &page.uploads[..] else { panic!("{page:?}") };
        assert_eq!((first.key.as_str(), first.upload_id.as_str()), ("a", "1&2"));
        assert!(!first.was_begun_before(Timestamp(1_700_000_000_000)));
        assert!(first.was_begun_before(Timestamp(1_700_000_000_001)));
        assert!(!second.was_begun_before(Timestamp(i64::MAX)));
        assert_eq!(page.next().unwrap().key, "b");
        let empty: Page = quick_xml::de::from_str("<ListMultipartUploadsResult/>").unwrap();
        assert!(empty.uploads.is_empty() && empty.next().is_none());
    }
}
