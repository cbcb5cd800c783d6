//! Blanking messages: at once for readers, in the documents a piece at a time.
//!
//! A long log takes minutes to blank. So an event that clears one blanks the first piece itself; where there is more it
//! stays pending as one to be wiped, by which every reader passes over what is gone, until a task in the background has
//! come to the end. If the node dies before, another one's takes over.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::Base;
use super::event::{TO_APPLY, TO_WIPE, decode};
use super::field::{Place, Row, place};
use super::indexes::name;
use super::uploads::given_up;
use crate::domain::{Body, Event, RoomId, Seq};
use crate::record::{GONE, MESSAGE};
use crate::store::Result;

/// Messages that are blanked by one command.
const PIECE: u32 = 1000;

/// How often a node looks for what others have left unfinished.
pub(super) const SWEEP: Duration = Duration::from_secs(60);

/// Whether an event has nothing left to be blanked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wiped {
    Wholly,
    /// The rest is the background's, which also notes the end.
    InPart,
}

impl Base {
    /// Nothing is left of the message of `room` at `seq`, if there is one.
    pub(super) async fn blank_one(&self, room: RoomId, seq: Seq) -> Result<()> {
        let uploads = doc! { "room": room, "seq": seq };
        self.update_all(&self.uploads, uploads, given_up(), name::UPLOADS).await?;
        let filter = doc! { "_id": place(room, seq), "room": room, "kind": MESSAGE };
        self.update(&self.events, filter, blanked()).await.map(drop)
    }

    /// From now on nothing is left of the messages up to `through`, as `event` says.
    pub(super) async fn clear(self: &Arc<Self>, event: &Event, through: Seq) -> Result<Wiped> {
        let room = event.room;
        let uploads = doc! { "room": room, "seq": { "$lte": through } };
        self.update_all(&self.uploads, uploads, given_up(), name::UPLOADS).await?;
        if !self.wipe_piece(room, through).await? {
            return Ok(Wiped::Wholly);
        }
        let filter = doc! { "_id": place(room, event.seq), "room": room, "pending": TO_APPLY };
        self.update(&self.events, filter, doc! { "$set": { "pending": TO_WIPE } }).await?;
        let (base, event) = (Arc::clone(self), event.clone());
        self.tasks.spawn(async move { base.wipe_rest(&event, through).await });
        Ok(Wiped::InPart)
    }

    /// Blanks the first messages of `room` up to `through`; whether there may be more.
    async fn wipe_piece(&self, room: RoomId, through: Seq) -> Result<bool> {
        let range = |last: Seq| {
            let keys = doc! { "$gt": place(room, Seq::ZERO), "$lte": place(room, last) };
            doc! { "room": room, "kind": MESSAGE, "_id": keys }
        };
        let end = self.query(&self.events, range(through), name::MESSAGES);
        let end = end.sort(doc! { "_id": 1 }).skip(PIECE - 1).only(doc! { "_id": 1 });
        let last = match end.first().await? {
            Some(found) => Some(Row::of(&found).get::<Place>("_id")?.1),
            None => None,
        };
        let piece = range(last.unwrap_or(through));
        self.update_all(&self.events, piece, blanked(), name::MESSAGES).await?;
        Ok(last.is_some())
    }

    /// Blanks the rest and notes the end of it. What fails is tried again by the next sweep, of any node.
    async fn wipe_rest(&self, event: &Event, through: Seq) {
        let wiped = self.stop.run_until_cancelled(async {
            while self.wipe_piece(event.room, through).await? {}
            let key = place(event.room, event.seq);
            let filter = doc! { "_id": key, "room": event.room, "pending": TO_WIPE };
            self.update(&self.events, filter, doc! { "$unset": { "pending": "" } }).await
        });
        if let Some(Err(error)) = wiped.await {
            tracing::warn!(room.id = %event.room, %error, "a room is wiped later");
        }
    }

    /// Finishes what other nodes, or an earlier life of this one, have left.
    pub(super) async fn sweep(self: &Arc<Self>) -> Result<()> {
        self.settle_all().await?;
        let filter = doc! { "pending": TO_WIPE };
        for document in self.query(&self.events, filter, name::PENDING).limit(PIECE).list().await? {
            let event = decode(&document)?;
            let through = match event.body {
                Body::Cleared { through } => through.min(event.seq),
                _ => event.seq,
            };
            self.wipe_rest(&event, through).await;
        }
        Ok(())
    }
}

/// What blanking changes in the document of a message: its place and its digest stay.
fn blanked() -> Document {
    doc! { "$set": { "kind": GONE }, "$unset": { "body": "" } }
}
