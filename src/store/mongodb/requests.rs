//! Join requests in MongoDB.

use async_trait::async_trait;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::field::Row;
use super::indexes::name;
use super::rooms::behind;
use super::{Base, Mongodb};
use crate::domain::{JoinRequest, JoinRequestId, Page, RoomId, UserId};
use crate::store::{Conflict, JoinRequestStore, NewJoinRequest, Result, StoreError};

#[async_trait]
impl JoinRequestStore for Mongodb {
    async fn create_join_request(&self, request: NewJoinRequest) -> Result<()> {
        self.0.check_prepared()?;
        self.0.settle(request.room).await?;
        self.0.check_answerable(request.room, request.user).await?;
        if self.0.insert_one(&self.0.requests, document(&request)).await?.is_err() {
            return Err(StoreError::Conflict(Conflict::AlreadyRequested));
        }
        // What ended meanwhile has taken its requests with it, but perhaps not this one.
        let answerable = self.0.check_answerable(request.room, request.user).await;
        if matches!(answerable, Err(StoreError::NotFound)) {
            self.0.delete_all(&self.0.requests, doc! { "_id": request.id }).await?;
        }
        answerable
    }

    async fn join_request(&self, id: JoinRequestId) -> Result<Option<JoinRequest>> {
        let Some(found) = self.0.settled_request(id).await? else { return Ok(None) };
        Ok(self.0.requests_of(&[found]).await?.pop())
    }

    async fn join_requests(
        &self,
        room: Option<RoomId>,
        page: Page<JoinRequestId>,
    ) -> Result<Vec<JoinRequest>> {
        let (filter, hint) = match room {
            Some(room) => {
                self.0.settle(room).await?;
                (doc! { "room": room }, name::REQUESTS_OF_ROOM)
            }
            None => {
                self.0.settle_all().await?;
                (doc! {}, name::ID)
            }
        };
        let query = self.0.query(&self.0.requests, behind(filter, &page), hint);
        let query = query.sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit);
        self.0.requests_of(&query.list().await?).await
    }

    async fn refuse_join_request(&self, id: JoinRequestId) -> Result<()> {
        let Some(found) = self.0.settled_request(id).await? else {
            return Err(StoreError::NotFound);
        };
        let room: RoomId = Row::of(&found).get("room")?;
        let open = doc! { "_id": id, "room": room, "is_open": true };
        let refused = doc! { "$set": { "approved": false }, "$unset": { "is_open": "" } };
        if self.0.update(&self.0.requests, open, refused).await? {
            return Ok(());
        }
        match self.0.find_request(id).await? {
            Some(_) => Err(StoreError::Conflict(Conflict::AlreadyHandled)),
            None => Err(StoreError::NotFound),
        }
    }

    async fn remove_join_request(&self, id: JoinRequestId) -> Result<()> {
        match self.0.delete_all(&self.0.requests, doc! { "_id": id }).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }
}

impl Base {
    /// Refuses a request for a room or of an account that is deleted or never was.
    async fn check_answerable(&self, room: RoomId, user: UserId) -> Result<()> {
        let (room, user) = tokio::try_join!(self.find_room(room), self.find_account(user))?;
        room.and(user).map(drop).ok_or(StoreError::NotFound)
    }

    async fn find_request(&self, id: JoinRequestId) -> Result<Option<RawDocumentBuf>> {
        self.query(&self.requests, doc! { "_id": id }, name::ID).first().await
    }

    /// A request as the log of its room has left it.
    async fn settled_request(
        self: &std::sync::Arc<Self>,
        id: JoinRequestId,
    ) -> Result<Option<RawDocumentBuf>> {
        let Some(found) = self.find_request(id).await? else { return Ok(None) };
        self.settle(Row::of(&found).get("room")?).await?;
        self.find_request(id).await
    }

    /// The requests of these documents with those who ask.
    async fn requests_of(&self, documents: &[RawDocumentBuf]) -> Result<Vec<JoinRequest>> {
        let users = documents.iter().map(|found| Row::of(found).get("user"));
        let users = self.accounts(users.collect::<Result<Vec<UserId>>>()?).await?;
        let mut requests = Vec::with_capacity(documents.len());
        for row in documents.iter().map(Row::of) {
            let user: UserId = row.get("user")?;
            let Some(account) = users.get(&user) else { continue };
            requests.push(JoinRequest {
                id: row.get("_id")?,
                room: row.get("room")?,
                user: account.clone(),
                message: row.find("message")?,
                approved: row.find("approved")?,
                created_at: row.get("created_at")?,
            });
        }
        Ok(requests)
    }
}

fn document(new: &NewJoinRequest) -> Document {
    let mut document = doc! {
        "_id": new.id,
        "room": new.room,
        "user": new.user,
        "created_at": new.created_at,
        // Gone with the answer; the unique index is of open ones.
        "is_open": true,
    };
    if let Some(message) = &new.message {
        document.insert("message", message);
    }
    document
}
