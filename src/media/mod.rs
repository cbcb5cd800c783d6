//! The bytes of attachments: written as they stream in, examined, and read back in parts.
//!
//! There is no trait here: `object_store` is the port, with a folder of this node as its first
//! adapter. A key is made from the attachment's id alone, so no name, type or path of a client's
//! reaches the store. Who may write and who may read is left to the attachments service, what is
//! known of an upload to the store; this module keeps bytes, and says what they are.
//!
//! Contract: `tests/it/media.rs`, run on every kind of object store.

mod kind;
mod link;
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
use object_store::{ObjectStore, ObjectStoreExt};

use crate::api::Variant;
use crate::config::MediaUrl;
use crate::domain::AttachmentId;

pub use self::kind::{UNKNOWN, is_inline};
pub use self::link::{Claim, Links};
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
            object_store::Error::NotFound { .. } => Self::NotFound,
            error if is_full(&error) => Self::Full(Box::new(error)),
            error => Self::Unavailable(Box::new(error)),
        }
    }
}

/// Whether what led to `error` is a lack of room, however deep it lies.
fn is_full(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

/// Where the bytes of attachments are. A cheap clone.
#[derive(Clone)]
pub struct Media {
    objects: Arc<dyn ObjectStore>,
    /// The folder of `objects`, if it is one.
    folder: Option<Arc<Path>>,
    pictures: picture::Pool,
    readers: Readers,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Media({})", self.objects)
    }
}

impl Media {
    /// Connects to what `url` names; a folder is made if it is not there.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or used, or this build has no adapter for `url`
    /// (`Config::validate` refuses such a one before).
    pub fn connect(url: &MediaUrl, data_dir: &Path) -> io::Result<Self> {
        let Some(folder) = url.folder(data_dir) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no adapter for media.url"));
        };
        make_private(&folder)?;
        // Synced to disk before it counts as stored: a message that is acked keeps its picture.
        let objects = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        let folder = folder.canonicalize()?;
        Ok(Self { folder: Some(folder.into()), ..Self::new(Arc::new(objects)) })
    }

    /// Media in `objects`.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, folder: None, pictures: picture::Pool::new(), readers: Readers::default() }
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

    /// Whether there is room for more.
    async fn check_space(&self) -> Result<()> {
        match &self.folder {
            Some(folder) => space::check(folder).await,
            None => Ok(()),
        }
    }

    /// Where a half-written object of a folder lies while it is written.
    fn staged(&self, id: AttachmentId) -> Option<PathBuf> {
        let folder = self.folder.as_deref()?;
        Some(folder.join(format!("{}#1", key(id, Variant::Original))))
    }
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
