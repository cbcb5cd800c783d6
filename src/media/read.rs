//! Reading the bytes of an attachment, in whole or in part.

use std::io::{self, SeekFrom};
use std::ops::Range;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{Media, Result, key, kind};
use crate::api::Variant;
use crate::domain::AttachmentId;

/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// Bytes as they are read. An error in the middle means that they end too early.
pub type Bytes = BoxStream<'static, io::Result<bytes::Bytes>>;

/// The bytes of one variant of an attachment, not read yet.
pub struct Object {
    media: Media,
    id: AttachmentId,
    content: Content,
}

enum Content {
    /// To be read from the store, of this size.
    Original { size: u64 },
    /// A thumbnail is small enough to be read at once.
    Thumbnail { picture: bytes::Bytes },
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({}, {} bytes)", self.id, self.size())
    }
}

impl Media {
    /// Finds one variant of an attachment. `size` is that of its original, which never changes.
    ///
    /// # Errors
    ///
    /// [`super::MediaError::NotFound`] if it has no thumbnail and one is asked for. A missing
    /// original shows in [`Object::read`].
    pub async fn open(&self, id: AttachmentId, size: u64, variant: Variant) -> Result<Object> {
        let content = match variant {
            Variant::Original => Content::Original { size },
            Variant::Thumbnail => {
                let found = self.objects.get(&key(id, variant)).await?;
                Content::Thumbnail { picture: found.bytes().await? }
            }
        };
        Ok(Object { media: self.clone(), id, content })
    }
}

impl Object {
    /// Bytes of the whole.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Original { size } => *size,
            Content::Thumbnail { picture } => picture.len() as u64,
        }
    }

    /// The type of a thumbnail, by its bytes; `None` for an original, whose type the upload tells.
    pub fn thumbnail_type(&self) -> Option<&'static str> {
        match &self.content {
            Content::Original { .. } => None,
            Content::Thumbnail { picture } => Some(kind::sniff(picture, &[])),
        }
    }

    /// Reads the bytes of `range`, which must lie within [`Object::size`].
    ///
    /// # Errors
    ///
    /// [`super::MediaError::NotFound`] if the original is gone; [`super::MediaError::Unavailable`].
    pub async fn read(self, range: Range<u64>) -> Result<Bytes> {
        match self.content {
            // A store may refuse to read nothing.
            _ if range.is_empty() => Ok(stream::empty().boxed()),
            Content::Thumbnail { picture } => {
                let at = |position: u64| usize::try_from(position).unwrap_or(picture.len());
                let part = picture.slice(at(range.start)..at(range.end).min(picture.len()));
                Ok(stream::once(async { Ok(part) }).boxed())
            }
            Content::Original { .. } => {
                let range = Some(GetRange::Bounded(range));
                let options = GetOptions { range, ..GetOptions::default() };
                let key = key(self.id, Variant::Original);
                let found = self.media.objects.get_opts(&key, options).await?;
                Ok(bytes_of(found).await?)
            }
        }
    }
}

/// The bytes of `found`. A file is read in larger steps than the crate does by itself (8 KiB, each
/// on another thread).
async fn bytes_of(found: GetResult) -> object_store::Result<Bytes> {
    let range = found.range.clone();
    match found.payload {
        GetResultPayload::Stream(bytes) => Ok(bytes.map_err(io::Error::other).boxed()),
        GetResultPayload::File(file, _) => {
            let mut file = tokio::fs::File::from_std(file);
            file.seek(SeekFrom::Start(range.start)).await.map_err(|error| {
                object_store::Error::Generic { store: "folder", source: Box::new(error) }
            })?;
            let part = file.take(range.end - range.start);
            Ok(ReaderStream::with_capacity(part, CHUNK_BYTES).boxed())
        }
    }
}
