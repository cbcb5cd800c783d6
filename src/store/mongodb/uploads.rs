//! What is known of uploads, in MongoDB.
//!
//! `seq` tells where the message that has an upload is in the log. Without one the upload is *loose*: the field of that
//! name says since when, for the collector.

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::field::{Row, binary, count};
use super::indexes::name;
use super::rooms::{MAKING, any_of};
use super::{Base, Mongodb};
use crate::domain::attachment::Upload;
use crate::domain::{
    Attachment, AttachmentId, AttachmentState, ClientId, ImageSize, RoomId, Timestamp, UserId,
};
use crate::store::{Conflict, Result, StoreError, UploadStore};

/// Loose for as long as one can be: claimed already.
const CLAIMED: Timestamp = Timestamp(0);

#[async_trait]
impl UploadStore for Mongodb {
    async fn create_upload(&self, upload: Upload) -> Result<()> {
        let room = doc! { "_id": upload.room, "state": { "$ne": MAKING } };
        let room = self.0.query(&self.0.rooms, room, name::ID);
        if !room.exists().await? || !self.0.was_made(upload.owner).await? {
            return Err(StoreError::NotFound);
        }
        let made = self.0.insert_one(&self.0.uploads, document(&upload)).await?;
        made.map_err(|_index| StoreError::Malformed("an upload of this id is there already".into()))
    }

    async fn upload(&self, id: AttachmentId) -> Result<Option<Upload>> {
        let found = self.0.settled_upload(id).await?;
        found.as_ref().map(upload_of).transpose()
    }

    async fn attach(
        &self,
        id: AttachmentId,
        room: RoomId,
        owner: UserId,
        client_id: &ClientId,
    ) -> Result<Upload> {
        self.0.settle(room).await?;
        let Some(found) = self.0.find_upload(id).await? else { return Err(StoreError::NotFound) };
        let upload = upload_of(&found)?;
        if upload.room != room || upload.owner != owner {
            return Err(StoreError::NotFound);
        }
        let of_this_message = doc! { "state": AttachmentState::Attached, "client_id": client_id };
        // The time lets the collector tell a message that is being stored from one that never will be.
        let mut loose = doc! { "_id": id, "seq": { "$exists": false } };
        loose.insert(
            "$or",
            vec![doc! { "state": AttachmentState::Unattached }, of_this_message.clone()],
        );
        let mut set = of_this_message.clone();
        set.insert("loose", Timestamp::now());
        if !self.0.update(&self.0.uploads, loose, doc! { "$set": set }).await? {
            let mut stored = of_this_message;
            stored.insert("_id", id);
            if !self.0.query(&self.0.uploads, stored, name::ID).exists().await? {
                return Err(StoreError::Conflict(Conflict::Attached));
            }
        }
        Ok(Upload { state: AttachmentState::Attached, ..upload })
    }

    async fn detach(&self, id: AttachmentId, client_id: &ClientId) -> Result<()> {
        // One whose message is in the log stays: the refusal was of another attempt. Should the log get it
        // only now, applying that attaches the upload again.
        let Some(found) = self.0.settled_upload(id).await? else { return Ok(()) };
        let attached = doc! {
            "_id": id,
            "client_id": client_id,
            "state": AttachmentState::Attached,
            "seq": { "$exists": false },
        };
        let free = doc! {
            "$set": {
                "state": AttachmentState::Unattached,
                "loose": Row::of(&found).get::<Timestamp>("created_at")?,
            },
            "$unset": { "client_id": "" },
        };
        self.0.update(&self.0.uploads, attached, free).await.map(drop)
    }

    async fn claim_uploads(&self, before: Timestamp, limit: u32) -> Result<Vec<AttachmentId>> {
        self.0.settle_all().await?;
        let loose = doc! { "$lt": before };
        let query = self.0.query(&self.0.uploads, doc! { "loose": loose.clone() }, name::LOOSE);
        let query = query.sort(doc! { "loose": 1 }).only(doc! { "_id": 1 }).limit(limit);
        let found = query.list().await?;
        let ids = found.iter().map(|upload| Row::of(upload).get("_id"));
        let ids = any_of(ids.collect::<Result<Vec<AttachmentId>>>()?);
        // Only what is as loose as it was: one that was attached just now is not.
        let still = doc! { "_id": ids.clone(), "loose": loose };
        self.0.update_all(&self.0.uploads, still, given_up(), name::ID).await?;
        let claimed = doc! { "_id": ids, "state": AttachmentState::Deleting };
        let query = self.0.query(&self.0.uploads, claimed, name::ID).only(doc! { "_id": 1 });
        query.list().await?.iter().map(|upload| Row::of(upload).get("_id")).collect()
    }

    async fn remove_upload(&self, id: AttachmentId) -> Result<()> {
        let claimed = doc! { "_id": id, "state": AttachmentState::Deleting };
        self.0.delete_all(&self.0.uploads, claimed).await.map(drop)
    }
}

/// What makes an upload the collector's, for good.
pub(super) fn given_up() -> Document {
    doc! {
        "$set": { "state": AttachmentState::Deleting, "loose": CLAIMED },
        "$unset": { "seq": "" },
    }
}

impl Base {
    async fn find_upload(&self, id: AttachmentId) -> Result<Option<RawDocumentBuf>> {
        self.query(&self.uploads, doc! { "_id": id }, name::ID).first().await
    }

    /// An upload as the log of its room has left it.
    async fn settled_upload(
        self: &std::sync::Arc<Self>,
        id: AttachmentId,
    ) -> Result<Option<RawDocumentBuf>> {
        let Some(found) = self.find_upload(id).await? else { return Ok(None) };
        self.settle(Row::of(&found).get("room")?).await?;
        self.find_upload(id).await
    }
}

fn document(upload: &Upload) -> Document {
    let file = &upload.attachment;
    let mut document = doc! {
        "_id": file.id,
        "room": upload.room,
        "owner": upload.owner,
        "state": upload.state,
        "sha256": binary(upload.sha256.to_vec()),
        "created_at": upload.created_at,
        "loose": upload.created_at,
        "file_name": &file.file_name,
        "size": count(file.size),
        "content_type": &file.content_type,
    };
    if let Some(image) = file.image {
        document.extend([
            ("width".to_owned(), Bson::Int64(image.width.into())),
            ("height".to_owned(), Bson::Int64(image.height.into())),
            ("has_thumbnail".to_owned(), Bson::Boolean(image.has_thumbnail)),
        ]);
    }
    document
}

fn upload_of(document: &RawDocumentBuf) -> Result<Upload> {
    let row = Row::of(document);
    let image = match row.find("width")? {
        None => None,
        Some(width) => Some(ImageSize {
            width,
            height: row.get("height")?,
            has_thumbnail: row.get("has_thumbnail")?,
        }),
    };
    Ok(Upload {
        attachment: Attachment {
            id: row.get("_id")?,
            file_name: row.get("file_name")?,
            size: row.get("size")?,
            content_type: row.get("content_type")?,
            image,
        },
        room: row.get("room")?,
        owner: row.get("owner")?,
        state: row.get("state")?,
        sha256: row.get("sha256")?,
        created_at: row.get("created_at")?,
    })
}
