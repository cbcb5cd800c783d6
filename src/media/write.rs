//! Writing an attachment: streamed, hashed and examined on the way.

use bytes::BytesMut;
use object_store::{MultipartUpload, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::kind::{self, HEAD, TAIL};
use super::{Media, MediaError, Result, key, picture};
use crate::api::Variant;
use crate::domain::{AttachmentId, ImageSize};

/// How much is gathered before it is written to a file: one call to a thread for blocking. A smaller file is
/// written in one step. Also how much is looked at in one step, wherever it goes.
pub(super) const PART_BYTES: usize = 512 * 1024;

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
    /// The type that they show. One that is [`super::is_inline`] and a picture has been decoded.
    pub content_type: &'static str,
    /// The size of a picture that could be decoded.
    pub image: Option<ImageSize>,
}

/// Takes the bytes of one new attachment. Dropped before [`Writer::finish`], it leaves nothing.
pub struct Writer {
    media: Media,
    id: AttachmentId,
    limit: u64,
    part_bytes: usize,
    size: u64,
    hash: Sha256,
    head: Vec<u8>,
    tail: Vec<u8>,
    waiting: BytesMut,
    /// Begun when there is more than one part.
    upload: Option<Box<dyn MultipartUpload>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({}, {} of at most {})", self.id, self.size, self.limit)
    }
}

impl Writer {
    pub(super) fn new(media: Media, id: AttachmentId, limit: u64) -> Self {
        Self {
            part_bytes: media.part_bytes(limit),
            media,
            id,
            limit,
            size: 0,
            hash: Sha256::new(),
            head: Vec::new(),
            tail: Vec::new(),
            waiting: BytesMut::new(),
            upload: None,
        }
    }

    /// Which attachment it is.
    pub fn id(&self) -> AttachmentId {
        self.id
    }

    /// Takes the next bytes. Holds at most one part of them in memory.
    ///
    /// # Errors
    ///
    /// [`MediaError::TooLarge`] as soon as the limit is crossed; [`MediaError::Full`],
    /// [`MediaError::Unavailable`]. The writer is then only to be dropped.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(MediaError::TooLarge { limit: self.limit });
        }
        while !bytes.is_empty() {
            let missing = self.part_bytes - self.waiting.len();
            let (now, later) = bytes.split_at(bytes.len().min(missing).min(PART_BYTES));
            self.note(now);
            self.waiting.extend_from_slice(now);
            bytes = later;
            if self.waiting.len() == self.part_bytes {
                self.write_part().await?;
            }
        }
        Ok(())
    }

    /// Looks at bytes that pass: at most a part at a time, so no thread is held long.
    fn note(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        let missing = (HEAD - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        // Moved only when it has grown to twice what is needed, so that small pieces stay cheap.
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    async fn write_part(&mut self) -> Result<()> {
        self.media.check_space().await?;
        let part = self.waiting.split().freeze();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let key = key(self.id, Variant::Original);
                let begun = self.media.objects.put_multipart(&key).await;
                none.insert(begun.map_err(MediaError::of_writing)?)
            }
        };
        upload.put_part(part.into()).await.map_err(MediaError::of_writing)
    }

    /// Makes the attachment readable, examines it, and stores a smaller picture of a picture.
    ///
    /// # Errors
    ///
    /// [`MediaError::Full`], [`MediaError::Unavailable`]. Nothing is kept then.
    pub async fn finish(mut self) -> Result<Stored> {
        self.complete().await?;
        let tail = &self.tail[self.tail.len().saturating_sub(TAIL)..];
        let content_type = kind::sniff(&self.head, tail);
        let mut stored = Stored {
            size: self.size,
            sha256: std::mem::take(&mut self.hash).finalize().into(),
            content_type,
            image: None,
        };
        if let Err(error) = examine(&self.media, self.id, &mut stored).await {
            // What led here is told; that the rest goes later, by the sweep, is nothing to tell.
            let _ = self.media.remove(self.id).await;
            return Err(error);
        }
        Ok(stored)
    }

    async fn complete(&mut self) -> Result<()> {
        if self.upload.is_none() {
            self.media.check_space().await?;
            let all = self.waiting.split().freeze();
            let written =
                self.media.objects.put(&key(self.id, Variant::Original), all.into()).await;
            return written.map(|_| ()).map_err(MediaError::of_writing);
        }
        if !self.waiting.is_empty() {
            self.write_part().await?;
        }
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.complete().await
        {
            self.discard(upload);
            return Err(MediaError::of_writing(error));
        }
        Ok(())
    }

    /// Throws away what has been written of an upload that will not be completed.
    fn discard(&self, mut upload: Box<dyn MultipartUpload>) {
        let staged = self.media.staged(self.id);
        let discard = async move {
            // A folder's upload that failed to complete can no longer be aborted, and its file stays.
            if upload.abort().await.is_err()
                && let Some(staged) = staged
            {
                let _ = tokio::fs::remove_file(staged).await;
            }
        };
        // Without a runtime the process is ending; the sweep of the next one finds the rest.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(discard);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.discard(upload);
        }
    }
}

/// Decodes a picture. One that cannot be decoded is just a file, and of no type that is shown inline.
async fn examine(media: &Media, id: AttachmentId, stored: &mut Stored) -> Result<()> {
    let Some(format) = kind::picture(stored.content_type) else {
        return Ok(());
    };
    stored.content_type = kind::UNKNOWN;
    if stored.size > picture::MAX_FILE_BYTES {
        return Ok(());
    }
    let original = key(id, Variant::Original);
    let Some(picture) = media.pictures.decode(format, media.objects.get(&original)).await? else {
        return Ok(());
    };
    stored.content_type = format.to_mime_type();
    let has_thumbnail = picture.thumbnail.is_some();
    if let Some(thumbnail) = picture.thumbnail {
        let written = media.objects.put(&key(id, Variant::Thumbnail), thumbnail.into()).await;
        written.map_err(MediaError::of_writing)?;
    }
    let (width, height) = (picture.width, picture.height);
    stored.image = Some(ImageSize { width, height, has_thumbnail });
    Ok(())
}
