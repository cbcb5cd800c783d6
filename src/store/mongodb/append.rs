//! Appending: one insert, and what its reply means.
//!
//! The rules, each of which was tried on a server (docs/ARCHITECTURE.md has the reasons): a reply with a write concern
//! error is unknown as a whole, whatever stands beside it; so is no reply, in time or at all. Otherwise what comes
//! before the first taken key is committed and nothing from it on is. An insert runs in a task of its own, for a dropped
//! future of the driver may be carried out all the same.

use std::sync::Arc;

use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind, InsertManyError};
use tokio::time::timeout;

use super::Base;
use super::committed::Known;
use super::error::{index_in, is_duplicate};
use super::event::{derives, encode};
use super::field::{Row, place};
use super::indexes::name;
use crate::domain::{Body, Event, RoomId, Seq};
use crate::store::{Appended, Result, StoreError};

/// What became of an insert.
#[derive(Debug, Clone)]
pub(super) enum Inserted {
    /// All are committed but these, in the order of their indexes; of an ordered insert there is one at most, and what
    /// stands behind it was not tried.
    But(Vec<(usize, Taken)>),
    /// Not known.
    Unknown(Arc<StoreError>),
}

/// Which key of an event another one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Position,
    ClientId,
}

/// An error that many appends share.
#[derive(Debug, thiserror::Error)]
#[error("the outcome of an insert is not known")]
struct Shared(#[source] Arc<StoreError>);

impl Base {
    /// See [`crate::store::LogStore::append`]. It has to be polled to its end.
    pub(super) async fn append(self: &Arc<Self>, events: &[Event]) -> Appended {
        let Some(first) = events.first() else { return Appended::All };
        match self.is_free(first.room, first.seq).await {
            Ok(true) => {}
            Ok(false) => return Appended::PositionTaken { index: 0 },
            Err(error) => return Appended::Unknown(error),
        }
        let run = run(events);
        let inserted = match &events[..run] {
            [one] if self.line.takes(one.room) => self.insert_in_line(one).await,
            events => self.insert(events.iter().map(encode).collect(), true).await,
        };
        let refused = match inserted {
            Inserted::But(refused) => refused.first().copied(),
            Inserted::Unknown(error) => {
                return Appended::Unknown(StoreError::Unavailable(Shared(error).into()));
            }
        };
        self.line.decided(first.room);
        let committed = &events[..refused.map_or(run, |(index, _)| index)];
        self.take_in(committed).await;
        match refused {
            Some((index, Taken::Position)) => Appended::PositionTaken { index },
            Some((index, Taken::ClientId)) => Appended::ClientIdTaken { index },
            None if run < events.len() => Appended::PositionTaken { index: run },
            None => Appended::All,
        }
    }

    /// Whether `seq` lies right behind a committed event of `room` that is not its end. Whether another event is
    /// there already, the insert tells.
    async fn is_free(&self, room: RoomId, seq: Seq) -> Result<bool> {
        self.check_prepared()?;
        if seq.0 <= 1 {
            return Ok(false); // The first event is made with the room.
        }
        let before = Seq(seq.0 - 1);
        match self.committed.get(room) {
            Some(known) if known.seq == before => return Ok(!known.ended),
            Some(known) if known.seq > before => return Ok(false),
            Some(_) | None => {}
        }
        let filter = doc! { "_id": place(room, before), "room": room };
        let found =
            self.query(&self.events, filter, name::ID).only(doc! { "kind": 1 }).first().await?;
        let Some(found) = found else { return Ok(false) };
        let ended = Row::of(&found).text("kind")? == Some(ROOM_DELETED);
        self.committed.note(room, Known { seq: before, ended });
        Ok(!ended)
    }

    /// Inserts `documents`, of one room if `ordered`, and waits for the outcome as long as an append may take.
    pub(super) async fn insert(
        self: &Arc<Self>,
        documents: Vec<RawDocumentBuf>,
        ordered: bool,
    ) -> Inserted {
        let events = self.events.clone();
        let count = documents.len();
        let insert = async move { events.insert_many(documents).ordered(ordered).await };
        match timeout(self.times.append, self.tasks.spawn(insert)).await {
            Ok(Ok(Ok(_all))) => Inserted::But(Vec::new()),
            Ok(Ok(Err(error))) => outcome(error, count),
            Ok(Err(panic)) => unknown(panic),
            Err(elapsed) => unknown(elapsed),
        }
    }

    /// Notes what is committed, and does what it changes elsewhere. What fails there stays pending.
    async fn take_in(self: &Arc<Self>, committed: &[Event]) {
        let Some(last) = committed.last() else { return };
        let ended = matches!(last.body, Body::RoomDeleted);
        self.committed.note(last.room, Known { seq: last.seq, ended });
        let pending: Vec<Event> =
            committed.iter().filter(|event| derives(&event.body)).cloned().collect();
        if pending.is_empty() {
            return;
        }
        if let Err(error) = self.apply(last.room, &pending).await {
            tracing::warn!(room.id = %last.room, %error, "what events change is left to whoever reads it");
        }
    }
}

/// The kind of the last event of a log.
pub(super) const ROOM_DELETED: &str = "room_deleted";

/// How many events, from the first on, may be tried at once: numbered one after the other, of one room, and nothing
/// behind its end.
fn run(events: &[Event]) -> usize {
    let follows = |pair: &[Event]| {
        pair[1].room == pair[0].room
            && pair[1].seq == pair[0].seq.next()
            && !matches!(pair[0].body, Body::RoomDeleted)
    };
    let followed = events.windows(2).take_while(|pair| follows(pair)).count();
    events.len().min(followed + 1)
}

fn unknown(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Inserted {
    Inserted::Unknown(Arc::new(StoreError::Unavailable(error.into())))
}

/// What the driver's error about an insert of `count` documents means.
fn outcome(error: Error, count: usize) -> Inserted {
    let ErrorKind::InsertMany(InsertManyError { write_errors, write_concern_error, .. }) =
        error.kind.as_ref()
    else {
        return unknown(StoreError::from(error));
    };
    // Told in words of our own: those of the server quote what users wrote.
    if let Some(concern) = write_concern_error {
        return unknown(format!("write concern error {} {}", concern.code, concern.code_name));
    }
    let mut taken = Vec::new();
    for write in write_errors.iter().flatten() {
        if !is_duplicate(write.code) || write.index >= count {
            return unknown(format!("write error {} at {}", write.code, write.index));
        }
        let key = match index_in(&write.message) {
            name::ID => Taken::Position,
            name::CLIENT_ID => Taken::ClientId,
            other => return unknown(format!("an event is refused by the index {other}")),
        };
        taken.push((write.index, key));
    }
    if taken.is_empty() {
        return unknown("an insert failed without a reason");
    }
    taken.sort_by_key(|(index, _)| *index);
    Inserted::But(taken)
}
