//! Where appends of exactly one event wait for each other: events of different rooms share an unordered insert.
//!
//! One insert is in flight at a time; whatever comes meanwhile goes with the next one. So what is shared grows with the
//! latency of the server, and there is no timer. A room whose shared insert stays unknown leaves the line and goes on
//! alone until an answer decides.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mongodb::bson::RawDocumentBuf;
use tokio::sync::oneshot;

use super::Base;
use super::append::{Inserted, Taken};
use super::event::encode;
use crate::domain::{Event, RoomId};
use crate::store::StoreError;

/// Events in one insert, and their bytes.
const EVENTS: usize = 512;
const BYTES: usize = 1024 * 1024;

/// The line. It is as long as there are rooms with an append under way.
#[derive(Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Whether somebody serves the line.
    served: bool,
    /// Rooms that go on alone.
    alone: HashSet<RoomId>,
}

struct Waiting {
    document: RawDocumentBuf,
    reply: oneshot::Sender<Inserted>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an event of `room` may share an insert.
    pub(super) fn takes(&self, room: RoomId) -> bool {
        !self.state().alone.contains(&room)
    }

    /// Notes that nothing of `room` is undecided.
    pub(super) fn decided(&self, room: RoomId) {
        self.state().alone.remove(&room);
    }

    /// The next ones to go, as many as fit; none is the end of the line.
    fn next(&self) -> Vec<Waiting> {
        let mut state = self.state();
        let mut bytes = 0;
        let mut fits = |one: &Waiting| {
            bytes += one.document.as_bytes().len();
            bytes <= BYTES
        };
        let count = state.waiting.iter().take(EVENTS).take_while(|one| fits(one)).count();
        // One that alone is larger goes all the same.
        let count = count.max(1).min(state.waiting.len());
        let next: Vec<_> = state.waiting.drain(..count).collect();
        state.served = !next.is_empty();
        next
    }
}

impl Base {
    /// Inserts `event`, whose position lies behind a committed one, together with those of other rooms.
    pub(super) async fn insert_in_line(self: &Arc<Self>, event: &Event) -> Inserted {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut state = self.line.state();
            state.waiting.push(Waiting { document: encode(event), reply });
            !std::mem::replace(&mut state.served, true)
        };
        if is_first {
            let base = Arc::clone(self);
            self.tasks.spawn(async move { base.serve_line().await });
        }
        let inserted = answer.await.unwrap_or_else(|_gone| {
            let why = "an insert has ended without an answer".into();
            Inserted::Unknown(Arc::new(StoreError::Unavailable(why)))
        });
        if matches!(inserted, Inserted::Unknown(_)) {
            self.line.state().alone.insert(event.room);
        }
        inserted
    }

    async fn serve_line(self: Arc<Self>) {
        loop {
            let next = self.line.next();
            if next.is_empty() {
                return;
            }
            let (documents, replies): (Vec<_>, Vec<_>) =
                next.into_iter().map(|one| (one.document, one.reply)).unzip();
            let inserted = self.insert(documents, false).await;
            for (index, reply) in replies.into_iter().enumerate() {
                // Whoever waited that long has gone; their room is told by the next append.
                _ = reply.send(part(&inserted, index));
            }
        }
    }
}

/// The outcome for the event at `index`, as if it had been inserted alone.
fn part(inserted: &Inserted, index: usize) -> Inserted {
    match inserted {
        Inserted::Unknown(error) => Inserted::Unknown(Arc::clone(error)),
        Inserted::But(taken) => {
            let own = taken.iter().find(|(taken, _)| *taken == index);
            Inserted::But(own.map(|(_, key): &(usize, Taken)| (0, *key)).into_iter().collect())
        }
    }
}
