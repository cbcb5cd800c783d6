//! Rooms in MongoDB.

use std::collections::HashMap;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::{ClientSession, bson};

use super::entries::Listed;
use super::field::Row;
use super::indexes::name;
use super::read::bounded;
use super::{Base, Mongodb};
use crate::domain::room::{RoomOwner, Tail};
use crate::domain::{Page, Role, Room, RoomId, RoomKind, Seq, Timestamp, User, UserId, Username};
use crate::record::{GONE, MESSAGE};
use crate::store::{NewRoom, Result, RoomEntry, RoomState, RoomStore, StoreError};

/// The states of a room: its log has not begun, it is there, it is gone.
pub(super) const MAKING: &str = "making";
pub(super) const OPEN: &str = "open";
pub(super) const DELETED: &str = "deleted";

/// Times that the state of a room is read while its members change.
const ATTEMPTS: usize = 200;

#[async_trait]
impl RoomStore for Mongodb {
    async fn create_room(&self, room: NewRoom) -> Result<RoomId> {
        self.0.create_room(room).await
    }

    async fn room(&self, id: RoomId) -> Result<Option<Room>> {
        self.0.settle(id).await?;
        let Some(found) = self.0.find_room(id).await? else { return Ok(None) };
        let Some((tail, _kind)) = self.0.newest(id).await? else { return Ok(None) };
        self.0.room_of(&found, tail).await.map(Some)
    }

    async fn room_state(&self, id: RoomId) -> Result<Option<RoomState>> {
        let session = self.0.client().start_session().causal_consistency(true);
        let mut session = bounded(self.0.times.call, session).await?;
        for _ in 0..ATTEMPTS {
            match self.0.state_in(id, &mut session).await? {
                Look::Nothing => return Ok(None),
                Look::State(state) => return Ok(Some(*state)),
                Look::Moving => {}
            }
        }
        Err(StoreError::Unavailable("the members of a room change too fast".into()))
    }

    async fn rooms(&self, kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<Room>> {
        self.0.settle_all().await?;
        let is_group = match kind {
            Some(kind) => doc! { "$eq": kind == RoomKind::Group },
            None => doc! { "$in": [false, true] },
        };
        let filter = doc! { "state": OPEN, "is_group": is_group };
        let found = self.0.room_page(filter, page, name::ROOMS_OPEN).await?;
        self.0.rooms_of_documents(&found).await
    }

    async fn rooms_owned(&self, owner: UserId, page: Page<RoomId>) -> Result<Vec<RoomEntry>> {
        let cleared = self.0.settle_all().await?;
        let filter = doc! { "owner": owner, "state": OPEN, "is_group": true };
        let found = self.0.room_page(filter, page, name::ROOMS_OWNED).await?;
        let ids = found.iter().map(|room| Row::of(room).get("_id")).collect::<Result<Vec<_>>>()?;
        let places = self.0.places_of(owner, &ids).await?;
        let listed = |id: RoomId| match places.get(&id) {
            Some((role, read)) => Listed { id, role: *role, read: Some(*read) },
            None => Listed { id, role: Role::Owner, read: None },
        };
        self.0.entries(owner, ids.into_iter().map(listed).collect(), &cleared).await
    }
}

/// What one look at a room finds.
enum Look {
    Nothing,
    State(Box<RoomState>),
    /// Something that the state is made of was changed meanwhile.
    Moving,
}

/// The filter of a page of documents in the order of their ids.
pub(super) fn behind<Id: super::field::Id>(mut filter: Document, page: &Page<Id>) -> Document {
    if let Some(after) = page.after {
        filter.insert("_id", doc! { "$gt": after });
    }
    filter
}

/// These ids as a condition.
pub(super) fn any_of<Id: super::field::Id>(ids: impl IntoIterator<Item = Id>) -> Document {
    doc! { "$in": ids.into_iter().map(Into::into).collect::<Vec<Bson>>() }
}

impl Base {
    /// The document of a room that is there.
    pub(super) async fn find_room(&self, id: RoomId) -> Result<Option<RawDocumentBuf>> {
        let filter = doc! { "_id": id, "state": OPEN };
        self.query(&self.rooms, filter, name::ID).first().await
    }

    async fn room_page(
        &self,
        filter: Document,
        page: Page<RoomId>,
        hint: &str,
    ) -> Result<Vec<RawDocumentBuf>> {
        let query = self.query(&self.rooms, behind(filter, &page), hint);
        query.sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit).list().await
    }

    /// Documents of rooms that are there.
    pub(super) async fn find_rooms(&self, ids: &[RoomId]) -> Result<Vec<RawDocumentBuf>> {
        let filter = doc! { "_id": any_of(ids.iter().copied()), "state": OPEN };
        self.query(&self.rooms, filter, name::ID).list().await
    }

    async fn room_of(&self, document: &RawDocumentBuf, tail: Tail) -> Result<Room> {
        let owner = Row::of(document).get("owner")?;
        let owners = self.accounts([owner]).await?;
        room_at(Row::of(document), tail, &owners)
    }

    /// Rooms with their owners and the ends of their logs.
    async fn rooms_of_documents(&self, documents: &[RawDocumentBuf]) -> Result<Vec<Room>> {
        let rows = || documents.iter().map(Row::of);
        let ids = rows().map(|row| row.get("_id")).collect::<Result<Vec<RoomId>>>()?;
        let owners = rows().map(|row| row.get("owner")).collect::<Result<Vec<UserId>>>()?;
        let (tails, owners) = tokio::try_join!(self.tails(&ids), self.accounts(owners))?;
        let tail = |id: &RoomId| tails.get(id).copied().unwrap_or_default();
        rows().zip(&ids).map(|(row, id)| room_at(row, tail(id), &owners)).collect()
    }

    /// Looks at a room once: the tail first, what is derived from the log after it, then whether anything has
    /// come between that the state is made of. All in one session, so that no later read sees less than an earlier
    /// one, whichever server answers.
    async fn state_in(
        self: &std::sync::Arc<Self>,
        id: RoomId,
        session: &mut ClientSession,
    ) -> Result<Look> {
        let Some(found) = self.query_newest(id).first_in(session).await? else {
            return Ok(Look::Nothing);
        };
        let (before, _kind) = self.tail_of(id, &found)?;
        self.settle_in(id, session).await?;
        let room = self.query(&self.rooms, doc! { "_id": id, "state": OPEN }, name::ID);
        let Some(room) = room.first_in(session).await? else { return Ok(Look::Nothing) };
        let filter = doc! { "room": id, "id": { "$exists": true } };
        let members = self.query(&self.memberships, filter, name::MEMBERS);
        let members = members.only(doc! { "user": 1, "role": 1 }).list_in(session).await?;
        let Some(tail) = self.tail_if_still(id, before, session).await? else {
            return Ok(Look::Moving);
        };
        let members = self.named(&members).await?;
        let room = self.room_of(&room, tail).await?;
        Ok(Look::State(Box::new(RoomState { room, members, tail })))
    }

    /// The end of the log now, if since `before` there were but messages.
    async fn tail_if_still(
        &self,
        room: RoomId,
        before: Tail,
        session: &mut ClientSession,
    ) -> Result<Option<Tail>> {
        let keys = bson::doc! {
            "$gt": super::field::place(room, before.seq),
            "$lte": super::field::place(room, Seq(u64::MAX)),
        };
        let query = self.query(&self.events, doc! { "room": room, "_id": keys }, name::ID);
        let fields = doc! { "ordinal": 1, "timestamp": 1, "kind": 1 };
        let since = query.sort(doc! { "_id": 1 }).only(fields).list_in(session).await?;
        let mut tail = before;
        for document in &since {
            let (next, kind) = self.tail_of(room, document)?;
            if kind != MESSAGE && kind != GONE {
                return Ok(None);
            }
            tail = next;
        }
        Ok(Some(tail))
    }

    /// Members with the names that they have now, in the order of their ids.
    async fn named(&self, members: &[RawDocumentBuf]) -> Result<Vec<(UserId, Username, Role)>> {
        let rows = || members.iter().map(Row::of);
        let ids = rows().map(|row| row.get("user")).collect::<Result<Vec<UserId>>>()?;
        let accounts = self.accounts(ids).await?;
        let mut named = Vec::with_capacity(members.len());
        for row in rows() {
            let id = row.get("user")?;
            if let Some(account) = accounts.get(&id) {
                named.push((id, account.username.clone(), row.get("role")?));
            }
        }
        named.sort_by_key(|(id, _, _)| *id);
        Ok(named)
    }
}

/// The room of a document.
pub(super) fn room_at(row: Row<'_>, tail: Tail, owners: &HashMap<UserId, User>) -> Result<Room> {
    let owner: UserId = row.get("owner")?;
    let Some(account) = owners.get(&owner) else {
        return Err(StoreError::Malformed("the owner of a room has no account".into()));
    };
    let created_at: Timestamp = row.get("created_at")?;
    Ok(Room {
        id: row.get("_id")?,
        name: row.get("name")?,
        kind: kind_at(row)?,
        owner: RoomOwner {
            id: owner,
            email: account.email.clone(),
            username: account.username.clone(),
        },
        created_at,
        last_activity: created_at.max(tail.timestamp),
    })
}

/// The kind of the room in `row`.
pub(super) fn kind_at(row: Row<'_>) -> Result<RoomKind> {
    Ok(if row.get("is_group")? { RoomKind::Group } else { RoomKind::Private })
}
