//! Taking a person out of the store, in MongoDB.

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};

use super::Mongodb;
use super::field::{Place, Row, binary, place};
use super::indexes::name;
use super::rooms::{MAKING, any_of, behind};
use super::uploads::given_up;
use crate::domain::{Body, Event, Page, RoomId, Timestamp, UserId, Words};
use crate::record;
use crate::store::{ErasureStore, Result, StoreError, UserStore};

#[async_trait]
impl ErasureStore for Mongodb {
    async fn begin_erasure(&self, user: UserId, words: Words) -> Result<()> {
        // The account first, whose end may be refused. Whoever is cut off between the two says it again.
        match self.remove_user(user).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let filter = doc! { "_id": user, "is_deleted": true };
        let note = doc! { "$set": { "keeps_words": words == Words::Kept } };
        let found = self.0.update(&self.0.users, filter, note).await?;
        if found { Ok(()) } else { Err(StoreError::NotFound) }
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<(UserId, Words)>> {
        let filter = doc! { "keeps_words": { "$exists": true } };
        let query = self.0.query(&self.0.users, filter, name::ERASING).limit(limit);
        let found = query.only(doc! { "keeps_words": 1 }).list().await?;
        let erasures = found.iter().map(|document| {
            let row = Row::of(document);
            let words = if row.get("keeps_words")? { Words::Kept } else { Words::Erased };
            Ok((row.get("_id")?, words))
        });
        erasures.collect()
    }

    async fn end_erasure(&self, user: UserId) -> Result<()> {
        let change = doc! {
            "$set": { "revoked_at": Timestamp::now() },
            "$unset": { "keeps_words": "" },
        };
        self.0.update(&self.0.users, doc! { "_id": user }, change).await.map(drop)
    }

    async fn traces(
        &self,
        user: UserId,
        page: Page<RoomId>,
    ) -> Result<(Vec<RoomId>, Option<RoomId>)> {
        self.0.settle_all().await?;
        let filter = behind(doc! { "state": { "$ne": MAKING } }, &page);
        let query = self.0.query(&self.0.rooms, filter, name::ID).sort(doc! { "_id": 1 });
        let rooms = query.limit(page.limit).only(doc! { "_id": 1 }).list().await?;
        let rooms = rooms.iter().map(|room| Row::of(room).get("_id"));
        let rooms = rooms.collect::<Result<Vec<RoomId>>>()?;
        let members = doc! {
            "user": user,
            "room": any_of(rooms.iter().copied()),
            "id": { "$exists": true },
        };
        let members = self.0.query(&self.0.memberships, members, name::MEMBERSHIPS);
        let members = members.only(doc! { "room": 1 });
        let (members, own) = tokio::try_join!(members.list(), self.0.last_own(user, &rooms))?;
        let mut found = HashSet::new();
        for member in &members {
            found.insert(Row::of(member).get("room")?);
        }
        for event in &own {
            let Place(room, _) = Row::of(event).get("_id")?;
            found.insert(room);
        }
        let last = rooms.last().copied();
        Ok((rooms.into_iter().filter(|room| found.contains(room)).collect(), last))
    }

    async fn rewrite(&self, events: &[Event]) -> Result<()> {
        for event in events {
            if matches!(event.body, Body::Gone { .. }) {
                let uploads = doc! { "room": event.room, "seq": event.seq };
                self.0.update_all(&self.0.uploads, uploads, given_up(), name::UPLOADS).await?;
            }
            let filter = doc! { "_id": place(event.room, event.seq), "room": event.room };
            self.0.update(&self.0.events, filter, body_of(event)).await?;
        }
        Ok(())
    }

    async fn rename_private(&self, room: RoomId, name: &str) -> Result<()> {
        let filter = doc! { "_id": room, "is_group": false };
        self.0.update(&self.0.rooms, filter, doc! { "$set": { "name": name } }).await.map(drop)
    }
}

/// What gives the document of `event` this body.
fn body_of(event: &Event) -> Document {
    let body = record::encode(&event.body);
    let (mut set, mut unset) = (doc! { "kind": body.kind }, Document::new());
    match body.json {
        Some(json) => set.insert("body", json),
        None => unset.insert("body", ""),
    };
    match body.digest {
        Some(digest) => set.insert("digest", binary(digest.to_vec())),
        None => unset.insert("digest", ""),
    };
    let mut change = doc! { "$set": set };
    if !unset.is_empty() {
        change.insert("$unset", unset);
    }
    change
}
