//! Trimming logs in MongoDB.
//!
//! The floor is stored before anything is gone, and only ever rises; then what is at or below it goes, which can be done again
//! by anybody at any time. The newest event stays, whatever its age, so the end of a log is still where its last event is.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::doc;

use super::event::TO_APPLY;
use super::field::{Place, Row, count, place};
use super::indexes::name;
use super::rooms::{MAKING, OPEN, any_of, behind};
use super::uploads::given_up;
use super::{Base, Mongodb};
use crate::domain::membership::ReadMarker;
use crate::domain::{Page, Retention, RoomId, Seq, Timestamp};
use crate::record::{GONE, MESSAGE};
use crate::store::{Result, RetentionStore, StoreError};

/// Events that are removed by one command.
const PIECE: u32 = 1000;

#[async_trait]
impl RetentionStore for Mongodb {
    async fn retention(&self, room: RoomId) -> Result<Option<Retention>> {
        self.0.settle(room).await?;
        let found = self.0.find_room(room).await?.ok_or(StoreError::NotFound)?;
        Ok(Row::of(&found).find("retention")?.map(Retention::stored))
    }

    async fn set_retention(&self, room: RoomId, retention: Option<Retention>) -> Result<()> {
        self.0.settle(room).await?;
        let filter = doc! { "_id": room, "state": OPEN };
        let change = match retention {
            Some(retention) => doc! { "$set": { "retention": count(retention.days().into()) } },
            None => doc! { "$unset": { "retention": "" } },
        };
        let found = self.0.update(&self.0.rooms, filter, change).await?;
        if found { Ok(()) } else { Err(StoreError::NotFound) }
    }

    async fn retentions(&self, page: Page<RoomId>) -> Result<Vec<(RoomId, Option<Retention>)>> {
        let filter = behind(doc! { "state": { "$ne": MAKING } }, &page);
        let query = self.0.query(&self.0.rooms, filter, name::ID).sort(doc! { "_id": 1 });
        let query = query.skip(page.skip).limit(page.limit).only(doc! { "retention": 1 });
        let rooms = query.list().await?;
        let rooms = rooms.iter().map(|room| {
            let row = Row::of(room);
            Ok((row.get("_id")?, row.find("retention")?.map(Retention::stored)))
        });
        rooms.collect()
    }

    async fn trim(&self, room: RoomId, before: Timestamp) -> Result<bool> {
        // Nothing that goes has anything left to be done.
        self.0.settle(room).await?;
        self.0.trim(room, before).await
    }

    async fn floors(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>> {
        let floors = self.0.floors(rooms).await?;
        Ok(floors.into_iter().map(|(room, floor)| (room, floor.seq)).collect())
    }
}

impl Base {
    /// Up to where the logs of these rooms are gone, for those of which anything is.
    pub(super) async fn floors(&self, rooms: &[RoomId]) -> Result<HashMap<RoomId, ReadMarker>> {
        let filter = doc! { "_id": any_of(rooms.iter().copied()) };
        let query = self.query(&self.rooms, filter, name::ID);
        let found = query.only(doc! { "floor": 1, "floor_ordinal": 1 }).list().await?;
        let mut floors = HashMap::new();
        for row in found.iter().map(Row::of) {
            if let Some(floor) = floor_at(row)? {
                floors.insert(row.get("_id")?, floor);
            }
        }
        Ok(floors)
    }

    /// Up to where the log of `room` is gone.
    pub(super) async fn floor(&self, room: RoomId) -> Result<ReadMarker> {
        Ok(self.floors(&[room]).await?.remove(&room).unwrap_or_default())
    }

    async fn trim(self: &Arc<Self>, room: RoomId, before: Timestamp) -> Result<bool> {
        let Some((tail, _kind)) = self.newest(room).await? else { return Ok(false) };
        let floor = self.floor(room).await?;
        let (found, last) = self.oldest_events(room, floor.seq, before).await?;
        let last = last.unwrap_or(floor);
        if last != floor {
            let filter = doc! { "_id": room, "floor": { "$not": { "$gte": last.seq } } };
            let set = doc! { "floor": last.seq, "floor_ordinal": count(last.ordinal) };
            self.update(&self.rooms, filter, doc! { "$set": set }).await?;
        }
        if last.seq >= tail.seq {
            self.blank_one(room, tail.seq).await?;
        }
        // What is below the floor although it was to go: the newest event of then, or what somebody who stopped has left.
        let through = Seq(last.seq.0.min(tail.seq.0.saturating_sub(1)));
        if last == floor && !self.has_events(room, through).await? {
            return Ok(false);
        }
        let uploads = doc! { "room": room, "seq": { "$lte": last.seq } };
        self.update_all(&self.uploads, uploads, given_up(), name::UPLOADS).await?;
        self.remove(room, through).await?;
        Ok(found == PIECE as usize)
    }

    /// Removes the events of `room` up to `through`. Messages first: as long as one of them is there, so is the event that cleared it.
    async fn remove(&self, room: RoomId, through: Seq) -> Result<()> {
        let keys = doc! { "$gt": place(room, Seq::ZERO), "$lte": place(room, through) };
        // One that another node has appended since may have something left to be done; it goes next time.
        let filter = doc! { "room": room, "_id": keys, "pending": { "$ne": TO_APPLY } };
        let mut messages = filter.clone();
        messages.insert("kind", doc! { "$in": [MESSAGE, GONE] });
        self.delete_all(&self.events, messages).await?;
        self.delete_all(&self.events, filter).await.map(drop)
    }

    async fn has_events(&self, room: RoomId, through: Seq) -> Result<bool> {
        let keys = doc! { "$gt": place(room, Seq::ZERO), "$lte": place(room, through) };
        let query = self.query(&self.events, doc! { "room": room, "_id": keys }, name::ID);
        query.exists().await
    }

    /// The oldest events of the log behind `floor`, as long as they are from before `before`: how many, a piece at most, and the last of
    /// them.
    async fn oldest_events(
        &self,
        room: RoomId,
        floor: Seq,
        before: Timestamp,
    ) -> Result<(usize, Option<ReadMarker>)> {
        let keys = doc! { "$gt": place(room, floor), "$lte": place(room, Seq(u64::MAX)) };
        let query = self.query(&self.events, doc! { "room": room, "_id": keys }, name::ID);
        let query = query.sort(doc! { "_id": 1 }).limit(PIECE);
        let events = query.only(doc! { "ordinal": 1, "timestamp": 1 }).list().await?;
        let (mut found, mut last) = (0, None);
        for row in events.iter().map(Row::of) {
            if row.get::<Timestamp>("timestamp")? >= before {
                break;
            }
            let Place(_, seq) = row.get("_id")?;
            (found, last) = (found + 1, Some(ReadMarker { seq, ordinal: row.get("ordinal")? }));
        }
        Ok((found, last))
    }
}

/// The floor in the document of a room.
pub(super) fn floor_at(row: Row<'_>) -> Result<Option<ReadMarker>> {
    let Some(seq) = row.find("floor")? else { return Ok(None) };
    Ok(Some(ReadMarker { seq, ordinal: row.get("floor_ordinal")? }))
}
