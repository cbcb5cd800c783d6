//! The logs of all rooms in MongoDB.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::{AggregateOptions, Hint};
use tokio::time::timeout;

use super::committed::Known;
use super::event::{decode, tail};
use super::field::{Place, Row, place};
use super::indexes::name;
use super::read::bounded;
use super::{Base, Mongodb};
use crate::domain::room::Tail;
use crate::domain::{ClientId, Event, RoomId, Seq, UserId};
use crate::record::{GONE, MESSAGE, STAYS};
use crate::store::{Appended, History, LogStore, MAX_TAILS, Result, StayPlace, StoreError};

#[async_trait]
impl LogStore for Mongodb {
    async fn append(&self, events: &[Event]) -> Appended {
        let (base, events) = (Arc::clone(&self.0), events.to_vec());
        let append = self.0.tasks.spawn(async move { base.append(&events).await });
        match timeout(self.0.times.append, append).await {
            Ok(Ok(appended)) => appended,
            Ok(Err(panic)) => Appended::Unknown(StoreError::Unavailable(panic.into())),
            Err(elapsed) => Appended::Unknown(StoreError::Unavailable(elapsed.into())),
        }
    }

    async fn tail(&self, room: RoomId) -> Result<Option<Tail>> {
        Ok(self.0.newest(room).await?.map(|(tail, _kind)| tail))
    }

    async fn tails(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>> {
        let tails = self.0.tails(rooms).await?;
        Ok(tails.into_iter().map(|(room, tail)| (room, tail.seq)).collect())
    }

    async fn stay_changes(&self, (at, room, seq): StayPlace, limit: u32) -> Result<Vec<Event>> {
        let behind = doc! { "timestamp": at, "_id": { "$gt": place(room, seq) } };
        let filter = doc! {
            "kind": { "$in": STAYS.as_slice() },
            "timestamp": { "$gte": at },
            "$or": [{ "timestamp": { "$gt": at } }, behind],
        };
        let query = self.0.query(&self.0.events, filter, name::STAYS);
        let found = query.sort(doc! { "timestamp": 1, "_id": 1 }).limit(limit).list().await?;
        found.iter().map(decode).collect()
    }

    async fn events(
        &self,
        room: RoomId,
        after: Seq,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let keys = doc! { "$gt": place(room, after), "$lte": place(room, through) };
        let filter = doc! { "room": room, "_id": keys };
        let cleared = self.0.settle(room).await?;
        let query = self.0.query(&self.0.events, filter, name::ID);
        let found = query.sort(doc! { "_id": 1 }).limit(limit).list().await?;
        found.iter().map(|document| Ok(cleared.seen(decode(document)?))).collect()
    }

    async fn messages(
        &self,
        room: RoomId,
        from: History,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let cleared = self.0.settle(room).await?.of(room);
        let (keys, order) = match from {
            History::Before(seq) => {
                let last = Seq(seq.0.saturating_sub(1).min(through.0));
                (doc! { "$gt": place(room, cleared), "$lte": place(room, last) }, -1)
            }
            History::After(seq) => {
                let seq = seq.max(cleared);
                (doc! { "$gt": place(room, seq), "$lte": place(room, through) }, 1)
            }
        };
        // Through the index of messages, so what lies between them costs nothing.
        let filter = doc! { "room": room, "kind": MESSAGE, "_id": keys };
        let query = self.0.query(&self.0.events, filter, name::MESSAGES);
        let found = query.sort(doc! { "_id": order }).limit(limit).list().await?;
        let mut events = found.iter().map(decode).collect::<Result<Vec<_>>>()?;
        if order < 0 {
            events.reverse();
        }
        Ok(events)
    }

    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Event>> {
        let cleared = self.0.settle(room).await?;
        Ok(self.0.find_event(room, seq).await?.map(|event| cleared.seen(event)))
    }

    async fn event_by_client_id(
        &self,
        room: RoomId,
        sender: UserId,
        client_id: &ClientId,
    ) -> Result<Option<Event>> {
        let cleared = self.0.settle(room).await?;
        let filter = doc! { "room": room, "sender": sender, "client_id": client_id };
        let found = self.0.query(&self.0.events, filter, name::CLIENT_ID).first().await?;
        found.map(|document| Ok(cleared.seen(decode(&document)?))).transpose()
    }

    async fn ordinal(&self, room: RoomId, seq: Seq) -> Result<u64> {
        // Every event carries the count, so the last one up to there tells it.
        let keys = doc! { "$gte": place(room, Seq::ZERO), "$lte": place(room, seq) };
        let query = self.0.query(&self.0.events, doc! { "room": room, "_id": keys }, name::ID);
        let found = query.sort(doc! { "_id": -1 }).only(doc! { "ordinal": 1 }).first().await?;
        match found {
            Some(document) => Row::of(&document).get("ordinal"),
            None => Ok(self.0.floor(room).await?.ordinal),
        }
    }

    async fn all_messages(&self, skip: u32, limit: u32) -> Result<Vec<Event>> {
        let cleared = self.0.settle_all().await?;
        let mut filter = doc! { "kind": MESSAGE };
        let gone: Vec<Bson> = cleared.rooms().map(gone).collect();
        if !gone.is_empty() {
            filter.insert("$nor", gone);
        }
        let query = self.0.query(&self.0.events, filter, name::NEWEST);
        let query = query.sort(doc! { "timestamp": -1, "_id": -1 }).skip(skip).limit(limit);
        query.list().await?.iter().map(decode).collect()
    }
}

/// Events of `room` up to `through`.
fn gone((room, through): (RoomId, Seq)) -> Bson {
    Bson::Document(doc! { "room": room, "_id": { "$lte": place(room, through) } })
}

impl Base {
    /// The event at `seq` as it lies in its document, whatever is pending.
    pub(super) async fn find_event(&self, room: RoomId, seq: Seq) -> Result<Option<Event>> {
        let filter = doc! { "_id": place(room, seq), "room": room };
        let found = self.query(&self.events, filter, name::ID).first().await?;
        found.as_ref().map(decode).transpose()
    }

    /// The end of a log, also of a deleted room, and the kind of its last event.
    pub(super) async fn newest(&self, room: RoomId) -> Result<Option<(Tail, String)>> {
        let found = self.query_newest(room).first().await?;
        found.as_ref().map(|document| self.tail_of(room, document)).transpose()
    }

    /// Asks for the last event of a log.
    pub(super) fn query_newest(&self, room: RoomId) -> super::Query<'_> {
        let keys = doc! { "$gt": place(room, Seq::ZERO), "$lte": place(room, Seq(u64::MAX)) };
        let query = self.query(&self.events, doc! { "room": room, "_id": keys }, name::ID);
        query.sort(doc! { "_id": -1 }).only(tail_fields())
    }

    /// Reads the answer to [`Base::query_newest`].
    pub(super) fn tail_of(
        &self,
        room: RoomId,
        document: &RawDocumentBuf,
    ) -> Result<(Tail, String)> {
        let row = Row::of(document);
        let (tail, kind) = (tail(row)?, row.get::<String>("kind")?);
        self.committed
            .note(room, Known { seq: tail.seq, ended: kind == super::append::ROOM_DELETED });
        Ok((tail, kind))
    }

    /// The ends of these logs.
    pub(super) async fn tails(&self, rooms: &[RoomId]) -> Result<HashMap<RoomId, Tail>> {
        let found = self.last_of_each(rooms, tail_fields()).await?;
        found.into_iter().map(|(room, document)| Ok((room, tail(Row::of(&document))?))).collect()
    }

    /// The last event of each of these logs.
    pub(super) async fn last_events(&self, rooms: &[RoomId]) -> Result<HashMap<RoomId, Event>> {
        let found = self.last_of_each(rooms, doc! {}).await?;
        found.into_iter().map(|(room, document)| Ok((room, decode(&document)?))).collect()
    }

    /// The document of the last event of each log, with these `fields` of it (all, for none).
    ///
    /// The server takes one step in the index a room, however long its log is (`DISTINCT_SCAN`), as long as sort
    /// and group have exactly this form.
    async fn last_of_each(
        &self,
        rooms: &[RoomId],
        fields: Document,
    ) -> Result<Vec<(RoomId, RawDocumentBuf)>> {
        let mut all = Vec::with_capacity(rooms.len());
        for rooms in rooms.chunks(MAX_TAILS) {
            let rooms: Vec<Bson> = rooms.iter().map(|room| Bson::from(*room)).collect();
            let mut pipeline = vec![
                doc! { "$match": { "room": { "$in": rooms } } },
                doc! { "$sort": { "room": -1, "_id": -1 } },
                doc! { "$group": { "_id": "$room", "last": { "$first": "$$ROOT" } } },
                doc! { "$replaceRoot": { "newRoot": "$last" } },
            ];
            if !fields.is_empty() {
                pipeline.push(doc! { "$project": fields.clone() });
            }
            all.extend(self.aggregate(pipeline, name::TAILS).await?);
        }
        let room = |document: &RawDocumentBuf| Row::of(document).get::<Place>("_id");
        all.into_iter().map(|document| Ok((room(&document)?.0, document))).collect()
    }

    /// The newest event of `user` in each of these rooms.
    pub(super) async fn last_own(
        &self,
        user: UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<RawDocumentBuf>> {
        let mut all = Vec::new();
        for rooms in rooms.chunks(MAX_TAILS) {
            let rooms: Vec<Bson> = rooms.iter().map(|room| Bson::from(*room)).collect();
            let pipeline = vec![
                doc! { "$match": { "room": { "$in": rooms }, "sender": user } },
                doc! { "$sort": { "room": -1, "sender": -1, "_id": -1 } },
                doc! { "$group": { "_id": "$room", "last": { "$first": "$$ROOT" } } },
                doc! { "$replaceRoot": { "newRoot": "$last" } },
                doc! { "$project": tail_fields() },
            ];
            all.extend(self.aggregate(pipeline, name::OWN).await?);
        }
        Ok(all)
    }

    /// The newest message of `user` in `room`, of which nothing may be left.
    pub(super) async fn last_own_message(
        &self,
        user: UserId,
        room: RoomId,
    ) -> Result<Option<RawDocumentBuf>> {
        let kinds = doc! { "$in": [MESSAGE, GONE] };
        let filter = doc! { "room": room, "sender": user, "kind": kinds };
        let query = self.query(&self.events, filter, name::OWN);
        query.sort(doc! { "_id": -1 }).only(tail_fields()).first().await
    }

    async fn aggregate(&self, pipeline: Vec<Document>, hint: &str) -> Result<Vec<RawDocumentBuf>> {
        let mut options = AggregateOptions::default();
        options.hint = Some(Hint::Name(hint.to_owned()));
        options.max_time = Some(self.times.call);
        options.batch_size = Some(u32::try_from(MAX_TAILS).expect("a few hundred"));
        let found = async {
            let cursor = self.events.aggregate(pipeline).with_options(options);
            cursor.with_type::<RawDocumentBuf>().await?.try_collect().await
        };
        bounded(self.times.call, found).await
    }
}

fn tail_fields() -> Document {
    doc! { "ordinal": 1, "timestamp": 1, "kind": 1 }
}
