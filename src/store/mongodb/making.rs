//! Making a room: several documents, all or nothing, without a transaction.
//!
//! First comes the document of the room with its first events inside, in which nobody sees it. For a private room the
//! pair's document decides then: whoever puts a room there first has made the pair's room. Only after that are the
//! events inserted, by which the room begins, and whoever finds it half done from there on, finishes it.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;

use super::Base;
use super::error::is_duplicate;
use super::event::{decode, derives, encode};
use super::field::{Row, pair, place};
use super::indexes::name;
use super::read::bounded;
use super::rooms::{DELETED, MAKING, OPEN};
use crate::domain::{Event, RoomId, UserId};
use crate::store::{NewRoom, Result, StoreError};

/// Times that a pair's room is looked for while it is being deleted and made.
const ATTEMPTS: usize = 20;

impl Base {
    /// See [`crate::store::RoomStore::create_room`].
    pub(super) async fn create_room(self: &Arc<Self>, new: NewRoom) -> Result<RoomId> {
        self.check_prepared()?;
        check_numbered(&new)?;
        if let Some(there) = self.existing(&new).await? {
            return Ok(there);
        }
        if !self.query(&self.users, doc! { "_id": new.owner }, name::ID).exists().await? {
            return Err(StoreError::NotFound);
        }
        let is_new = self.insert_one(&self.rooms, document(&new)?).await?.is_ok();
        if let Some(pair) = new.pair {
            let decided = self.decide_pair(pair, new.id).await?;
            if decided != new.id {
                let unused = doc! { "_id": new.id, "state": MAKING };
                self.delete_all(&self.rooms, unused).await?;
                return Ok(decided);
            }
        }
        if is_new {
            self.insert_first(&new.events).await?;
            self.complete(new.id, &new.events).await?;
        } else {
            // An earlier attempt has left it so far.
            self.begin_made(new.id).await?;
        }
        Ok(new.id)
    }

    /// The room that is there already: the pair's, or this very one, made by an attempt whose answer was lost.
    async fn existing(self: &Arc<Self>, new: &NewRoom) -> Result<Option<RoomId>> {
        if let Some((low, high)) = new.pair {
            let filter = doc! { "_id": pair(low, high) };
            if let Some(found) = self.query(&self.pairs, filter, name::ID).first().await? {
                let room = Row::of(&found).get("room")?;
                if room == new.id || !self.is_deleted(room).await? {
                    self.begin_made(room).await?;
                    return Ok(Some(room));
                }
            }
            return Ok(None);
        }
        let filter = doc! { "_id": new.id };
        if self.query(&self.rooms, filter, name::ID).exists().await? {
            self.begin_made(new.id).await?;
            return Ok(Some(new.id));
        }
        Ok(None)
    }

    async fn is_deleted(self: &Arc<Self>, room: RoomId) -> Result<bool> {
        self.settle(room).await?;
        let filter = doc! { "_id": room, "state": DELETED };
        self.query(&self.rooms, filter, name::ID).exists().await
    }

    /// Makes `new` the room of `pair`, unless it has one; which one it is.
    async fn decide_pair(
        self: &Arc<Self>,
        (low, high): (UserId, UserId),
        new: RoomId,
    ) -> Result<RoomId> {
        let key = pair(low, high);
        for _ in 0..ATTEMPTS {
            let document = doc! { "_id": key.clone(), "room": new };
            if self.insert_one(&self.pairs, document).await?.is_ok() {
                return Ok(new);
            }
            let query = self.query(&self.pairs, doc! { "_id": key.clone() }, name::ID);
            let Some(found) = query.first().await? else { continue };
            let room: RoomId = Row::of(&found).get("room")?;
            if room == new || !self.is_deleted(room).await? {
                self.begin_made(room).await?;
                return Ok(room);
            }
            let replaced = doc! { "_id": key.clone(), "room": room };
            if self.update(&self.pairs, replaced, doc! { "$set": { "room": new } }).await? {
                return Ok(new);
            }
        }
        Err(in_the_making())
    }

    /// Lets the log of a room begin whose making is decided.
    async fn begin_made(self: &Arc<Self>, room: RoomId) -> Result<()> {
        self.finish_making(room).await?;
        self.settle(room).await.map(drop)
    }

    /// Finishes the making of `room` if it is decided, and not done.
    pub(super) async fn finish_making(self: &Arc<Self>, room: RoomId) -> Result<()> {
        let making = doc! { "_id": room, "state": MAKING };
        let Some(found) = self.query(&self.rooms, making, name::ID).first().await? else {
            return Ok(());
        };
        let first = first_of(&found)?;
        self.insert_first(&first).await?;
        self.complete(room, &first).await
    }

    /// Shows a room whose first events are in its log. Its members come first, so that no list has it without them.
    async fn complete(self: &Arc<Self>, room: RoomId, first: &[Event]) -> Result<()> {
        let mut done = Vec::with_capacity(first.len());
        for event in first.iter().filter(|event| derives(&event.body)) {
            self.apply_one(event).await?;
            done.push(Bson::from(place(room, event.seq)));
        }
        let making = doc! { "_id": room, "state": MAKING };
        let open = doc! { "$set": { "state": OPEN }, "$unset": { "first": "" } };
        self.update(&self.rooms, making, open).await?;
        self.forget_pending(room, done).await
    }

    /// Inserts the first events of a room, those that are not there yet.
    async fn insert_first(&self, events: &[Event]) -> Result<()> {
        let mut rest = events;
        while !rest.is_empty() {
            let documents: Vec<_> = rest.iter().map(encode).collect();
            let insert = async {
                match self.events.insert_many(documents).await {
                    Ok(_all) => Ok(None),
                    Err(error) => taken_at(&error).map(Some).ok_or(error),
                }
            };
            match bounded(self.times.call, insert).await? {
                Some(taken) => rest = rest.get(taken + 1..).unwrap_or_default(),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Where an ordered insert stopped at a key that is taken, with all before it committed.
fn taken_at(error: &mongodb::error::Error) -> Option<usize> {
    let ErrorKind::InsertMany(failed) = error.kind.as_ref() else { return None };
    let writes = failed.write_errors.as_deref().unwrap_or_default();
    let is_clean = failed.write_concern_error.is_none();
    writes.first().filter(|write| is_clean && is_duplicate(write.code)).map(|write| write.index)
}

fn check_numbered(new: &NewRoom) -> Result<()> {
    let is_right = |(event, seq): (&Event, u64)| event.room == new.id && event.seq.0 == seq;
    if new.events.is_empty() || !new.events.iter().zip(1..).all(is_right) {
        let why = "the first events of a room are not numbered from 1";
        return Err(StoreError::Malformed(why.into()));
    }
    Ok(())
}

fn document(new: &NewRoom) -> Result<Document> {
    let first = new.events.iter().map(|event| Document::try_from(encode(event)));
    let first = first.collect::<std::result::Result<Vec<_>, _>>();
    let first = first.map_err(|error| StoreError::Malformed(error.into()))?;
    Ok(doc! {
        "_id": new.id,
        "name": &new.name,
        "is_group": new.pair.is_none(),
        "owner": new.owner,
        "created_at": new.created_at,
        "state": MAKING,
        "updated": 0_i64,
        "first": first.into_iter().map(Bson::Document).collect::<Vec<_>>(),
    })
}

fn first_of(room: &RawDocumentBuf) -> Result<Vec<Event>> {
    let malformed = |error: mongodb::bson::error::Error| StoreError::Malformed(error.into());
    let first = room.get_array("first").map_err(malformed)?;
    let documents = first.into_iter().map(|value| {
        let value = value.map_err(malformed)?;
        let document = value.as_document().map(ToOwned::to_owned).ok_or_else(in_the_making)?;
        decode(&document)
    });
    documents.collect()
}

fn in_the_making() -> StoreError {
    StoreError::Unavailable("the room is being made by somebody else".into())
}
