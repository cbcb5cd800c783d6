//! Facts about the store itself: its epoch, which nodes have it open, whether it can be written.

use std::time::Duration;

use mongodb::bson::{Bson, doc};
use mongodb::options::{Acknowledgment, ReturnDocument, WriteConcern};

use super::Base;
use super::field::Row;
use super::indexes::name;
use super::read::bounded;
use crate::domain::Epoch;
use crate::store::{Result, StoreError};

const EPOCH: &str = "epoch";

/// How often a node says that it has the store open.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// Milliseconds after which a node that has said nothing has gone.
const GONE_AFTER: i64 = 20_000;

impl Base {
    /// The epoch, which is made at the first call ever.
    pub(super) async fn epoch(&self) -> Result<Epoch> {
        let filter = doc! { "_id": EPOCH };
        if let Some(found) = self.query(&self.facts, filter.clone(), name::ID).first().await? {
            return epoch_of(&found);
        }
        let first = doc! { "$setOnInsert": { "value": i64::from(rand::random::<u32>()) } };
        let made = self.facts.find_one_and_update(filter, first).upsert(true);
        let made = bounded(self.times.call, made.return_document(ReturnDocument::After)).await?;
        made.as_ref().map_or_else(|| Err(StoreError::NotFound), epoch_of)
    }

    /// Gives the store another epoch than the one it has.
    pub(super) async fn renew_epoch(&self) -> Result<Epoch> {
        let old = self.epoch().await?;
        // Any of the others, each as likely.
        let new = Epoch(old.0.wrapping_add(rand::random_range(1..=u32::MAX)));
        let change = doc! { "$set": { "value": i64::from(new.0) } };
        let found = self.update(&self.facts, doc! { "_id": EPOCH }, change).await?;
        if found { Ok(new) } else { Err(StoreError::NotFound) }
    }

    /// Answers if a majority takes a write now.
    pub(super) async fn check_writable(&self) -> Result<()> {
        let concern = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(self.times.check)
            .build();
        let now = doc! { "$currentDate": { "at": true } };
        let checked = self.facts.update_one(doc! { "_id": "checked" }, now);
        bounded(self.times.check, checked.upsert(true).write_concern(concern)).await.map(drop)
    }

    /// Says that the node `id` has the store open, by the server's clock.
    pub(super) async fn say_open(&self, id: &Bson) -> Result<()> {
        let now = doc! { "$currentDate": { "seen": true } };
        self.upsert(&self.nodes, doc! { "_id": id.clone() }, now).await
    }

    /// Says that the node `id` has gone, and forgets those that went without a word.
    pub(super) async fn say_closed(&self, id: &Bson) -> Result<()> {
        let gone = doc! { "$expr": { "$lt": ["$seen", long_ago()] } };
        let filter = doc! { "$or": [{ "_id": id.clone() }, gone] };
        self.delete_all(&self.nodes, filter).await.map(drop)
    }

    /// Refuses while a node has the store open, or had until a moment ago.
    pub(super) async fn check_alone(&self) -> Result<()> {
        let alive = doc! { "$expr": { "$gte": ["$seen", long_ago()] } };
        if self.query(&self.nodes, alive, name::ID).exists().await? {
            let why = "a node has the store open, or has ended without a word in the last 20 s: stop all nodes first";
            return Err(StoreError::Unprepared(why.to_owned()));
        }
        Ok(())
    }
}

fn long_ago() -> mongodb::bson::Document {
    doc! { "$subtract": ["$$NOW", GONE_AFTER] }
}

fn epoch_of(document: &mongodb::bson::RawDocumentBuf) -> Result<Epoch> {
    Row::of(document).get("value").map(Epoch)
}
