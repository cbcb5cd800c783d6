//! Completing what is pending before anything derived is read.
//!
//! An event that changes something beside the log is inserted as pending, and whoever appended it does the rest. A node
//! that dies in between leaves it to the next reader: every read through the ports first looks for pending events of
//! what it is about, in an index that holds nothing else, and applies them. So a read never misses what was committed
//! before it, on any node, and nobody waits for the dead.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::ClientSession;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::Base;
use super::event::{TO_APPLY, decode};
use super::field::{Place, Row, place};
use super::indexes::name;
use crate::domain::{Body, Event, RoomId, Seq};
use crate::store::Result;

/// Pending events that are read at once.
const PAGE: u32 = 1000;

/// Up to where the messages of rooms are gone, where that does not show in every row yet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Cleared(HashMap<RoomId, Seq>);

impl Cleared {
    pub(super) fn of(&self, room: RoomId) -> Seq {
        self.0.get(&room).copied().unwrap_or_default()
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = (RoomId, Seq)> + '_ {
        self.0.iter().map(|(room, through)| (*room, *through))
    }

    /// `event` as readers may see it.
    pub(super) fn seen(&self, event: Event) -> Event {
        match event.body {
            Body::Message(message) if event.seq <= self.of(event.room) => {
                Event { body: Body::Gone { digest: message.digest }, ..event }
            }
            _ => event,
        }
    }

    /// Notes that `event` clears something.
    fn note(&mut self, event: &Event) {
        let through = match event.body {
            Body::Cleared { through } => through.min(event.seq),
            Body::RoomDeleted => event.seq,
            _ => return,
        };
        let known = self.0.entry(event.room).or_default();
        *known = through.max(*known);
    }
}

impl Base {
    /// Applies what is pending in `room`.
    pub(super) async fn settle(self: &Arc<Self>, room: RoomId) -> Result<Cleared> {
        self.settle_where(doc! { "room": room }, None).await
    }

    /// As [`Base::settle`], not seeing less than earlier reads of `session` did.
    pub(super) async fn settle_in(
        self: &Arc<Self>,
        room: RoomId,
        session: &mut ClientSession,
    ) -> Result<Cleared> {
        self.settle_where(doc! { "room": room }, Some(session)).await
    }

    /// Applies what is pending anywhere.
    pub(super) async fn settle_all(self: &Arc<Self>) -> Result<Cleared> {
        self.settle_where(doc! {}, None).await
    }

    async fn settle_where(
        self: &Arc<Self>,
        which: Document,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Cleared> {
        let mut cleared = Cleared::default();
        let mut behind = None;
        loop {
            let found = self.pending(which.clone(), behind, session.as_deref_mut()).await?;
            let mut pending = Vec::new();
            for document in &found {
                behind = Some(Row::of(document).get::<Place>("_id")?);
                let event = match decode(document) {
                    Ok(event) => event,
                    Err(error) => {
                        // A newer natter's: left to its nodes, so that the others go on reading.
                        tracing::warn!(%error, "an event cannot be applied by this version");
                        continue;
                    }
                };
                cleared.note(&event);
                if is_to_apply(document)? {
                    pending.push(event);
                }
            }
            for of_room in pending.chunk_by(|one, next| one.room == next.room) {
                self.apply(of_room[0].room, of_room).await?;
            }
            if found.len() == PAGE as usize {
                continue;
            }
            if session.is_none() || pending.is_empty() {
                return Ok(cleared);
            }
            // The session has to see what was just done, so it looks once more.
            behind = None;
        }
    }

    /// A page of the pending events, those behind `behind`. Keys sort by room, too.
    async fn pending(
        &self,
        mut filter: Document,
        behind: Option<Place>,
        session: Option<&mut ClientSession>,
    ) -> Result<Vec<RawDocumentBuf>> {
        filter.insert("pending", doc! { "$exists": true });
        if let Some(Place(room, seq)) = behind {
            filter.insert("_id", doc! { "$gt": place(room, seq) });
        }
        let query = self.query(&self.events, filter, name::PENDING);
        let query = query.sort(doc! { "room": 1, "_id": 1 }).limit(PAGE);
        match session {
            Some(session) => query.list_in(session).await,
            None => query.list().await,
        }
    }
}

fn is_to_apply(document: &RawDocumentBuf) -> Result<bool> {
    Ok(Row::of(document).find::<u32>("pending")? == Some(TO_APPLY.unsigned_abs()))
}
