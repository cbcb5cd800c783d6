//! Everything that is kept of a person, for themselves or for administration: a tar archive, made as it is read.
//!
//! It holds `account.json`, `rooms.ndjson`, `join_requests.ndjson`, `messages/<n>.ndjson` with what they have said, in the order of the rooms'
//! logs, and `files/<id>` with what they have sent. Lines are JSON objects.

mod tar;

use bytes::Bytes;
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Error, Result, erasure};
use crate::app::App;
use crate::domain::attachment::Upload;
use crate::domain::{
    Body, Event, JoinRequestId, Message, MessageId, Page, RoomId, Seq, Timestamp, User, UserId,
};
use crate::media::MediaError;
use crate::store::{History, StoreError};

/// Pieces that wait for whoever reads.
const WAITING: usize = 4;

/// Rows that are read at once.
const PAGE: u32 = 500;

/// Why an archive ends too early: it is told to the log, and whoever reads sees that the end is missing.
pub type Broken = std::io::Error;

/// The bytes of an archive, as they are read. It is whole if no error comes.
pub type Archive = mpsc::Receiver<std::result::Result<Bytes, Broken>>;

/// Begins to put together what is kept of `user`. A node makes a few at a time, for each reads the logs of all rooms that the
/// person has ever been in.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Overloaded`] if there are as many under way as may be; [`Error::Unavailable`].
pub async fn of(app: &App, user: UserId) -> Result<Archive> {
    let user = app.store.user(user).await?.ok_or(Error::NotFound("User"))?;
    let permit = app.exports.clone().try_acquire_owned().map_err(|_none| Error::Overloaded)?;
    let (sender, archive) = mpsc::channel(WAITING);
    let app = app.clone();
    tokio::spawn(write(app, user, sender, permit));
    Ok(archive)
}

async fn write(
    app: App,
    user: User,
    to: mpsc::Sender<std::result::Result<Bytes, Broken>>,
    permit: OwnedSemaphorePermit,
) {
    let mut writer = Writer { app, user, to, now: Timestamp::now() };
    match writer.write().await {
        Ok(()) | Err(Stop::Gone) => {}
        Err(Stop::Failed(error)) => {
            tracing::warn!(user.id = %writer.user.id, %error, "an export ends too early");
            _ = writer.to.send(Err(std::io::Error::other("the export was broken off"))).await;
        }
    }
    drop(permit);
}

/// Why writing ends.
enum Stop {
    /// Nobody reads any more.
    Gone,
    Failed(Error),
}

macro_rules! failures {
    ($($error:ty),+) => {$(
        impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        }
    )+};
}

failures!(Error, StoreError, MediaError);

struct Writer {
    app: App,
    user: User,
    to: mpsc::Sender<std::result::Result<Bytes, Broken>>,
    now: Timestamp,
}

impl Writer {
    async fn write(&mut self) -> std::result::Result<(), Stop> {
        let account = self.account();
        self.entry("account.json", &[account]).await?;
        let rooms = self.rooms().await?;
        self.entry("rooms.ndjson", &rooms).await?;
        let requests = self.join_requests().await?;
        self.entry("join_requests.ndjson", &requests).await?;
        let files = self.messages().await?;
        for file in files {
            self.file(&file).await?;
        }
        self.put(Bytes::from_static(&tar::END)).await
    }

    fn account(&self) -> Value {
        let user = &self.user;
        json!({
            "id": user.id,
            "email": user.email.as_str(),
            "username": user.username.as_str(),
            "is_admin": user.is_admin,
            "is_disabled": user.is_disabled,
            "created_at": user.created_at,
            "exported_at": self.now,
        })
    }

    async fn rooms(&self) -> std::result::Result<Vec<Value>, Stop> {
        let mut rooms = Vec::new();
        for (room, _) in self.app.store.room_ids_of(self.user.id).await? {
            let membership = self.app.store.membership(room, self.user.id).await?;
            let (Some(membership), Some(room)) = (membership, self.app.store.room(room).await?)
            else {
                continue;
            };
            rooms.push(json!({
                "id": room.id,
                "name": room.name,
                "role": membership.role,
                "created_at": membership.created_at,
                "last_seen": membership.last_seen,
                "read_seq": membership.read.seq,
            }));
        }
        Ok(rooms)
    }

    async fn join_requests(&self) -> std::result::Result<Vec<Value>, Stop> {
        let mut own = Vec::new();
        let mut page: Page<JoinRequestId> = Page::first(PAGE);
        loop {
            let requests = self.app.store.join_requests(None, page).await?;
            let Some(last) = requests.last() else { return Ok(own) };
            page.after = Some(last.id);
            for request in requests.iter().filter(|request| request.user.id == self.user.id) {
                own.push(json!({
                    "id": request.id,
                    "chat_room_id": request.room,
                    "message": request.message,
                    "approved": request.approved,
                    "created_at": request.created_at,
                }));
            }
        }
    }

    /// Writes what the person has said; the files of it are for later.
    async fn messages(&self) -> std::result::Result<Vec<Upload>, Stop> {
        let (mut files, mut number) = (Vec::new(), 0);
        for room in erasure::rooms_of(&self.app, self.user.id).await? {
            let mut after = Seq::ZERO;
            loop {
                let from = History::After(after);
                let page = self.app.store.messages(room, from, Seq(u64::MAX), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                let own: Vec<(&Event, &Message)> =
                    page.iter().filter_map(|event| self.own(event)).collect();
                if own.is_empty() {
                    continue;
                }
                number += 1;
                let lines: Vec<_> =
                    own.iter().map(|(event, message)| self.line(room, event, message)).collect();
                self.entry(&format!("messages/{number:06}.ndjson"), &lines).await?;
                for attachment in own.iter().filter_map(|(_, message)| message.attachment.as_ref())
                {
                    files.extend(self.app.store.upload(attachment.id).await?);
                }
            }
        }
        Ok(files)
    }

    fn own<'a>(&self, event: &'a Event) -> Option<(&'a Event, &'a Message)> {
        match &event.body {
            Body::Message(message) if message.sender == self.user.id => Some((event, message)),
            _ => None,
        }
    }

    fn line(&self, room: RoomId, event: &Event, message: &Message) -> Value {
        let attachment = message.attachment.as_ref().map(|file| {
            json!({
                "id": file.id,
                "file": format!("files/{}", file.id),
                "file_name": file.file_name,
                "size": file.size,
                "content_type": file.content_type,
            })
        });
        json!({
            "id": MessageId { epoch: self.app.epoch, room, seq: event.seq },
            "chat_room_id": room,
            "seq": event.seq,
            "timestamp": event.timestamp,
            "message_type": message.message_type,
            "content": message.text,
            "attachment": attachment,
        })
    }

    /// Writes a file, whose bytes may be gone.
    async fn file(&self, upload: &Upload) -> std::result::Result<(), Stop> {
        let (id, size) = (upload.attachment.id, upload.attachment.size);
        let opened = self.app.media.open(id, size, crate::api::Variant::Original).await;
        let mut bytes = match opened {
            Ok(object) => match object.read(0..size).await {
                Ok(bytes) => bytes,
                Err(MediaError::NotFound) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            Err(MediaError::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.put(tar::header(&format!("files/{id}"), size, self.now)).await?;
        let mut left = size;
        while let Some(piece) = bytes.try_next().await.map_err(Error::internal)? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| longer(id))?;
            self.put(piece).await?;
        }
        if left > 0 {
            return Err(longer(id));
        }
        self.put(tar::padding(size)).await
    }

    /// Writes lines as one file.
    async fn entry(&self, name: &str, lines: &[impl Serialize]) -> std::result::Result<(), Stop> {
        let mut content = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut content, line).map_err(Error::internal)?;
            content.push(b'\n');
        }
        let size = content.len() as u64;
        self.put(tar::header(name, size, self.now)).await?;
        self.put(content.into()).await?;
        self.put(tar::padding(size)).await
    }

    async fn put(&self, bytes: Bytes) -> std::result::Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.to.send(Ok(bytes)).await.map_err(|_closed| Stop::Gone)
    }
}

fn longer(id: crate::domain::AttachmentId) -> Stop {
    Stop::Failed(Error::internal(std::io::Error::other(format!(
        "the file of the attachment {id} has another length than it was stored with"
    ))))
}
