//! Files: taken in for a room, and handed out to its members.
//!
//! An upload belongs to one room and one owner, and to no message until `chat` names it. Attaching is
//! left to `messages`, collecting what no message has to `jobs::media_gc`.

use std::time::Instant;

use crate::app::App;
use crate::config::ByteSize;
use crate::domain::attachment::Upload;
use crate::domain::{Attachment, AttachmentId, AttachmentState, RoomId, Timestamp, UserId};
use crate::media::{Object, Writer, clean};
use crate::service::{Error, Result, memberships, new_id};

/// A file on its way in. Dropped before [`Receiving::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Receiving {
    app: App,
    writer: Writer,
    room: RoomId,
    owner: UserId,
}

/// Begins to take in a file of `user` for `room`, of at most `upload_limit`. What it is, its bytes tell.
///
/// # Errors
///
/// [`Error::NotFound`] if the room does not exist, or is a private one of others;
/// [`Error::Forbidden`] if `user` is no member of the group.
pub async fn begin(app: &App, user: UserId, room: RoomId) -> Result<Receiving> {
    memberships::require(app, room, user).await?;
    Ok(receive(app, user, room, app.config.upload_limit))
}

/// Takes in a file that came inside a `chat` event, of at most `inline_file_limit`.
///
/// # Errors
///
/// As [`begin`], [`Receiving::write`] and [`Receiving::finish`].
pub async fn inline(
    app: &App,
    user: UserId,
    room: RoomId,
    file_name: &str,
    bytes: &[u8],
) -> Result<Upload> {
    memberships::require(app, room, user).await?;
    let mut receiving = receive(app, user, room, app.config.inline_file_limit);
    receiving.write(bytes).await?;
    receiving.finish(file_name).await
}

fn receive(app: &App, user: UserId, room: RoomId, limit: ByteSize) -> Receiving {
    let id = new_id(AttachmentId::new);
    Receiving { app: app.clone(), writer: app.media.writer(id, limit.bytes()), room, owner: user }
}

impl Receiving {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] as soon as the limit is crossed; [`Error::StorageFull`];
    /// [`Error::Unavailable`]. Nothing of the file is kept then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.writer.write(bytes).await?)
    }

    /// Stores the file as an upload that a message may have. `file_name` is only for show, and cleaned.
    ///
    /// # Errors
    ///
    /// [`Error::StorageFull`], [`Error::Unavailable`]. Nothing of the file is kept then.
    pub async fn finish(self, file_name: &str) -> Result<Upload> {
        let Self { app, writer, room, owner } = self;
        let id = writer.id();
        let stored = writer.finish().await?;
        let content_type = stored.content_type.to_owned();
        let (file_name, size, image) = (clean(file_name), stored.size, stored.image);
        let upload = Upload {
            attachment: Attachment { id, file_name, size, content_type, image },
            room,
            owner,
            state: AttachmentState::Unattached,
            sha256: stored.sha256,
            created_at: Timestamp::now(),
        };
        if let Err(error) = app.store.create_upload(upload.clone()).await {
            if let Err(left) = app.media.remove(id).await {
                tracing::warn!(error = %left, "a file without an upload stays until it is swept");
            }
            return Err(error.into());
        }
        Ok(upload)
    }
}

/// A file that its reader may have.
#[derive(Debug)]
pub struct File {
    /// What the file is, as messages show it.
    pub attachment: Attachment,
    /// The type of the bytes in `object`: of the file, or of its thumbnail.
    pub content_type: String,
    /// The bytes.
    pub object: Object,
}

/// Finds what `token`, the end of a signed path, leads to.
///
/// # Errors
///
/// [`Error::NotFound`] if the token is not one, or is over; if the file is gone or going; and if its
/// reader is no member of the room any more (seen within 2 s), or shut out altogether: a link tells
/// nobody which of these it is. [`Error::Unavailable`].
pub async fn load(app: &App, token: &str, now: Timestamp) -> Result<File> {
    const NO_FILE: Error = Error::NotFound("File");
    let claim = app.media_links.verify(token, now).ok_or(NO_FILE)?;
    let upload = app.store.upload(claim.attachment).await?.ok_or(NO_FILE)?;
    if upload.state == AttachmentState::Deleting
        || !may_read(app, upload.room, claim.reader).await?
    {
        return Err(NO_FILE);
    }
    let attachment = upload.attachment;
    let object = app.media.open(attachment.id, attachment.size, claim.variant).await?;
    let content_type =
        object.thumbnail_type().map_or_else(|| attachment.content_type.clone(), str::to_owned);
    Ok(File { attachment, content_type, object })
}

/// Whether `user` is a member of `room` with an account in good standing.
async fn may_read(app: &App, room: RoomId, user: UserId) -> Result<bool> {
    let (readers, now) = (app.media.readers(), Instant::now());
    if readers.knows(room, user, now) {
        return Ok(true);
    }
    let account = app.store.user(user).await?;
    if account.is_none_or(|account| account.is_disabled)
        || app.store.membership(room, user).await?.is_none()
    {
        return Ok(false);
    }
    readers.note(room, user, now);
    Ok(true)
}
