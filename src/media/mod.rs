//! The bytes of attachments: written as they stream in, examined, and read back in parts.
//!
//! There is no trait here: `object_store` is the port, with a folder of this node and a bucket of an S3
//! server as its adapters. A key is made from the attachment's id alone, so no name, type or path of a client's
//! reaches the store. Who may write and who may read is left to the attachments service, what is
//! known of an upload to the store; this module keeps bytes, and says what they are.
//!
//! Contract: `tests/it/media.rs`, run on every kind of object store.

mod bucket;
mod kind;
mod link;
mod measured;
mod name;
mod picture;
mod read;
mod readers;
mod space;
mod sweep;
mod write;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::api::Variant;
use crate::config::{MediaConfig, MediaServe, MediaUrl};
use crate::domain::{AttachmentId, Timestamp};
use crate::metrics::Metrics;

use self::bucket::Bucket;
pub use self::kind::{UNKNOWN, is_inline};
pub use self::link::{Claim, Links};
use self::measured::Measured;
pub use self::name::clean;
pub use self::read::{Bytes, Object};
pub use self::readers::Readers;
pub use self::sweep::SHARDS;
pub use self::write::{Stored, Writer};

/// What media answers.
pub type Result<T> = std::result::Result<T, MediaError>;

type Source = Box<dyn StdError + Send + Sync>;

/// Why media did not do what was asked, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// There are no such bytes.
    #[error("not found")]
    NotFound,
    /// More bytes were written than the writer takes. Nothing is kept.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// What it takes.
        limit: u64,
    },
    /// There is no room for them, or too little for files. Nothing is kept.
    #[error("no room left")]
    Full(#[source] Source),
    /// The object store does not answer, or not in time.
    #[error("the object store does not answer")]
    Unavailable(#[source] Source),
}

impl From<object_store::Error> for MediaError {
    fn from(error: object_store::Error) -> Self {
        match error {
            // Bytes that are not there are one thing, a bucket that is not there another.
            object_store::Error::NotFound { .. } if !says(&error, &["NoSuchBucket"]) => {
                Self::NotFound
            }
            error if is_full(&error) => Self::Full(Box::new(error)),
            error => Self::Unavailable(Box::new(error)),
        }
    }
}

impl MediaError {
    /// As what leads to a failure to write: what is not found then is the place.
    fn of_writing(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Unavailable(Box::new(error)),
            error => error.into(),
        }
    }
}

/// Answers of S3 servers that have no room: they have no code in common.
const NO_ROOM: [&str; 4] =
    ["507 Insufficient", "StorageFull", "QuotaExceeded", "InsufficientCapacity"];

/// Whether the answer of a server that led to `error` has one of `words` in it.
fn says(error: &object_store::Error, words: &[&str]) -> bool {
    let answer = error.to_string();
    words.iter().any(|word| answer.contains(word))
}

/// Whether what led to `error` is a lack of room, however deep it lies.
fn is_full(error: &object_store::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if says(error, &NO_ROOM) {
        return true;
    }
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

/// Where the bytes of attachments are. A cheap clone.
#[derive(Clone)]
pub struct Media {
    objects: Arc<dyn ObjectStore>,
    place: Place,
    pictures: picture::Pool,
    readers: Readers,
}

/// What `objects` are, for what their common interface does not offer.
#[derive(Debug, Clone)]
enum Place {
    Folder(Arc<Path>),
    Bucket {
        bucket: Arc<Bucket>,
        /// Whether clients may be sent there.
        redirects: bool,
    },
    Other,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Media({})", self.objects)
    }
}

impl Media {
    /// Connects to what `config` names; a folder is made if it is not there, and of a bucket nothing is
    /// asked yet.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or used, or what the variables of AWS say cannot be.
    pub fn connect(config: &MediaConfig, data_dir: &Path) -> io::Result<Self> {
        match &config.url {
            MediaUrl::Folder { path } => {
                Self::in_folder(path.clone().unwrap_or_else(|| data_dir.join("media")))
            }
            MediaUrl::S3(named) => {
                let bucket = Bucket::new(config, named).map_err(io::Error::other)?;
                let objects = PrefixStore::new(bucket.s3().clone(), bucket.prefix().clone());
                let redirects = config.serve == MediaServe::Redirect;
                let place = Place::Bucket { bucket: Arc::new(bucket), redirects };
                Ok(Self { place, ..Self::new(Arc::new(objects)) })
            }
        }
    }

    fn in_folder(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        // Synced to disk before it counts as stored: a message that is acked keeps its picture.
        let objects = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        let place = Place::Folder(folder.canonicalize()?.into());
        Ok(Self { place, ..Self::new(Arc::new(objects)) })
    }

    /// Media in `objects`.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        let (pictures, readers) = (picture::Pool::new(), Readers::default());
        Self { objects, place: Place::Other, pictures, readers }
    }

    /// The same media; what is asked of its store is counted in `metrics`.
    pub fn measured(self, metrics: Metrics) -> Self {
        Self { objects: Arc::new(Measured::new(self.objects, metrics)), ..self }
    }

    /// Who was found to be allowed the files of which room, for a moment.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Takes the bytes of a new attachment, at most `limit` of them. Nobody can read them before
    /// [`Writer::finish`]; a writer that is dropped leaves nothing.
    pub fn writer(&self, id: AttachmentId, limit: u64) -> Writer {
        Writer::new(self.clone(), id, limit)
    }

    /// Removes all bytes of an attachment; nothing if there are none.
    pub async fn remove(&self, id: AttachmentId) -> Result<()> {
        // The original last: as long as it is there, the sweep finds what is left of the attachment.
        for variant in [Variant::Thumbnail, Variant::Original] {
            match self.objects.delete(&key(id, variant)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Asks the store whether it answers, as a sweep would.
    ///
    /// # Errors
    ///
    /// [`MediaError::Unavailable`] if it does not, or refuses these credentials, or has no such bucket.
    pub async fn check(&self) -> Result<()> {
        self.list(0, Timestamp(0), 1).await.map(|_| ())
    }

    /// A URL outside of natter at which whoever has it loads the original within a minute, answered with
    /// this type and `Content-Disposition`; `None` if natter hands out everything itself.
    ///
    /// # Errors
    ///
    /// [`MediaError::Unavailable`] if there are no credentials to sign with.
    pub async fn redirect(
        &self,
        id: AttachmentId,
        content_type: &str,
        disposition: &str,
    ) -> Result<Option<String>> {
        match &self.place {
            Place::Bucket { bucket, redirects: true } => {
                let key = key(id, Variant::Original);
                bucket.link(&key, content_type, disposition).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether there is room for more. Only a folder can tell before it is written to.
    async fn check_space(&self) -> Result<()> {
        match &self.place {
            Place::Folder(folder) => space::check(folder).await,
            Place::Bucket { .. } | Place::Other => Ok(()),
        }
    }

    /// Where a half-written object of a folder lies while it is written.
    fn staged(&self, id: AttachmentId) -> Option<PathBuf> {
        let Place::Folder(folder) = &self.place else { return None };
        Some(folder.join(format!("{}#1", key(id, Variant::Original))))
    }

    /// How much of a file of at most `limit` bytes is gathered before it is written.
    fn part_bytes(&self, limit: u64) -> usize {
        match &self.place {
            Place::Bucket { .. } => bucket::part_bytes(limit),
            Place::Folder(_) | Place::Other => write::PART_BYTES,
        }
    }
}

/// Where the bytes of an attachment lie in the folder of media: the original, or its thumbnail.
pub(crate) fn path_in_folder(id: AttachmentId, variant: Variant) -> String {
    key(id, variant).to_string()
}

/// Makes a folder that only this user enters.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The key of an object: two levels of 256 folders, by the random end of the id, so that no folder
/// grows long; then the id.
fn key(id: AttachmentId, variant: Variant) -> Key {
    let [.., outer, inner] = id.as_bytes();
    let suffix = match variant {
        Variant::Original => "",
        Variant::Thumbnail => "-thumbnail",
    };
    Key::from_iter([format!("{inner:02x}"), format!("{outer:02x}"), format!("{id}{suffix}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As object_store tells of an answer.
    fn answered(status: &str, code: &str) -> object_store::Error {
        let source = format!(
            "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code></Error>"
        );
        object_store::Error::Generic { store: "S3", source: source.into() }
    }

    #[test]
    fn servers_without_room_are_told_from_servers_that_fail() {
        for (status, code, full) in [
            ("507 Insufficient Storage", "XMinioStorageFull", true),
            ("507 Insufficient Storage", "Whatever", true),
            ("403 Forbidden", "QuotaExceeded", true),
            ("400 Bad Request", "XMinioAdminBucketQuotaExceeded", true),
            ("500 Internal Server Error", "InternalError", false),
            ("503 Service Unavailable", "SlowDown", false),
            ("403 Forbidden", "AccessDenied", false),
        ] {
            let error = MediaError::from(answered(status, code));
            assert_eq!(matches!(error, MediaError::Full(_)), full, "{status} {code}: {error:?}");
            assert_eq!(matches!(error, MediaError::Unavailable(_)), !full, "{status} {code}");
        }
    }
}
