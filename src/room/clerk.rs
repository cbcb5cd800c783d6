//! What other nodes bring to the owner of rooms: takes it in, hands it to the rooms' writers, and answers for each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::Rooms;
use super::asked::{Asked, unreadable};
use super::command::{Committed, Refused};
use super::errands::Asker;
use super::lane::Bars;
use super::wire::{Outcome, Parcel, Progress, raw};
use super::writer::DEADLINE;
use crate::domain::{ConnectionId, RoomId, Timestamp};
use crate::metrics::FullQueue;

/// Commands of other nodes without an answer; what comes beyond it is refused as `overloaded`.
pub(super) const QUEUE: usize = 16 * 1024;

/// The shortest and the longest time between two answers to one request.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// Takes in what other nodes bring.
pub(super) struct Clerk {
    places: Arc<Semaphore>,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    /// Commands for rooms that are about to be live here, in the order of coming.
    arriving: HashMap<RoomId, VecDeque<Box<Asked>>>,
    /// Runs of which something was refused before it came to a writer.
    bars: Bars<(ConnectionId, RoomId)>,
}

impl Default for Clerk {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(QUEUE)), desk: Mutex::default() }
    }
}

impl Clerk {
    /// How many commands have a place.
    pub(super) fn waiting(&self) -> usize {
        QUEUE - self.places.available_permits()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command of a request by its place, with what became of it.
type Decided = (usize, Result<Committed, Refused>);

impl Rooms {
    /// Takes in the commands of another node, and says in the receipt which it does not take.
    pub(super) fn take_commands(&self, asker: Asker, commands: &[Box<RawValue>]) {
        let ways = &self.0.ways;
        let place = u32::try_from(commands.len())
            .ok()
            .and_then(|count| Arc::clone(&ways.clerk.places).try_acquire_many_owned(count).ok());
        // Whoever asked goes another way after that time, and tells its clients what comes of it.
        let is_late = asker.at.0.saturating_add(MILLIS) < Timestamp::now().0;
        let takes_some = !is_late && self.0.standing.refuses().is_none();
        let (tell, told) = mpsc::unbounded_channel();
        let mut receipt = Vec::new();
        let mut taken = Vec::new();
        for (nth, command) in commands.iter().enumerate() {
            let parcel = serde_json::from_str::<Parcel>(command.get()).ok();
            let trace = parcel.as_ref().and_then(Parcel::trace);
            match parcel.and_then(|parcel| parcel.open().ok()) {
                Some((room, turn, command))
                    if takes_some && self.0.peers.owner_of(room).is_none() =>
                {
                    let tell = tell.clone();
                    let reply = Box::new(move |outcome| drop(tell.send((nth, outcome))));
                    let deadline = Instant::now() + DEADLINE;
                    let mut asked = Asked::new(room, command, deadline, reply);
                    asked.turn = turn;
                    asked.trace = trace;
                    taken.push(asked);
                }
                _ => receipt.push((nth, raw(&Outcome::Bounced))),
            }
        }
        drop(tell);
        self.0.metrics.cluster.bounced_commands.inc_by(receipt.len() as u64);
        if place.is_none() {
            self.0.metrics.queues.refused.of(FullQueue::Errands).inc();
            let refused = || raw(&Outcome::of(&Err(Refused::Overloaded)));
            receipt = (0..commands.len()).map(|nth| (nth, refused())).collect();
            taken.clear();
        }
        asker.answer(&Progress { done: receipt });
        let is_empty = taken.is_empty();
        taken.into_iter().for_each(|asked| self.entrust(asked));
        if !is_empty {
            let answers =
                Answers { limit: self.0.peers.payload_limit(), asker, told, _place: place };
            ways.runtime.spawn(ways.open.track_future(answers.run()));
        }
    }

    /// Hands a command to the writer of its room, behind those that came before it.
    fn entrust(&self, mut asked: Box<Asked>) {
        let mut desk = self.0.ways.clerk.desk();
        let barred =
            |turn: super::lane::Turn| desk.bars.is_barred(&(turn.connection, asked.room), turn.run);
        if asked.turn.is_some_and(barred) {
            drop(desk);
            return asked.refuse(Refused::Overloaded);
        }
        if let Some(arriving) = desk.arriving.get_mut(&asked.room) {
            return arriving.push_back(asked);
        }
        if let Some(live) = self.known(asked.room) {
            drop(live.inbox().put(asked));
            return;
        }
        let room = asked.room;
        desk.arriving.insert(room, VecDeque::from([asked]));
        drop(desk);
        self.0.ways.runtime.spawn(open_up(self.clone(), room));
    }
}

/// [`DEADLINE`], as timestamps count.
const MILLIS: i64 = DEADLINE.as_millis() as i64;

/// Makes a room live, and hands what has come for it to its writer.
async fn open_up(rooms: Rooms, room: RoomId) {
    let live = rooms.live_room(room).await;
    let mut desk = rooms.0.ways.clerk.desk();
    let arrived = desk.arriving.remove(&room).unwrap_or_default();
    match live {
        Ok(Some(live)) => arrived.into_iter().for_each(|asked| drop(live.inbox().put(asked))),
        Ok(None) => {
            drop(desk);
            arrived.into_iter().for_each(|mut asked| asked.refuse(Refused::NotFound));
        }
        Err(error) => {
            tracing::warn!(room.id = %room, %error, "a room of this node cannot be read");
            desk.bars.forget_old();
            for turn in arrived.iter().filter_map(|asked| asked.turn) {
                desk.bars.bar((turn.connection, room), turn.run);
            }
            drop(desk);
            arrived.into_iter().for_each(|mut asked| asked.refuse(unreadable()));
        }
    }
}

/// The answers to one request.
struct Answers {
    asker: Asker,
    told: mpsc::UnboundedReceiver<Decided>,
    limit: usize,
    _place: Option<OwnedSemaphorePermit>,
}

impl Answers {
    /// Answers for what is decided, until all is: the first at once, and each later one with what was decided in half the time
    /// that the request has taken so far. So there are few, and none is late by more than that.
    async fn run(mut self) {
        let (shortest, longest) = PAUSES;
        let begun = Instant::now();
        while let Some(first) = self.told.recv().await {
            // Those that are decided together are told one after the other.
            tokio::task::yield_now().await;
            let mut decided = vec![first];
            while let Ok(next) = self.told.try_recv() {
                decided.push(next);
            }
            self.answer(&decided);
            if self.told.is_closed() && self.told.is_empty() {
                return;
            }
            tokio::time::sleep((begun.elapsed() / 2).clamp(shortest, longest)).await;
        }
    }

    fn answer(&self, decided: &[Decided]) {
        let (mut done, mut bytes) = (Vec::new(), 0);
        for (nth, outcome) in decided {
            let mut outcome = raw(&Outcome::of(outcome));
            if outcome.get().len() > self.limit {
                // It finds its event in the log.
                outcome = raw(&Outcome::of(&Err(Refused::Unknown)));
            }
            if bytes + outcome.get().len() > self.limit {
                self.asker.answer(&Progress { done: std::mem::take(&mut done) });
                bytes = 0;
            }
            bytes += outcome.get().len() + 8;
            done.push((*nth, outcome));
        }
        self.asker.answer(&Progress { done });
    }
}
