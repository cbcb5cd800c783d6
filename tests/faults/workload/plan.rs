//! Who takes part in a run, and its way from the first word to the history.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Stage;
use super::admin::Admin;
use super::reader::Reader;
use super::writer::{Pace, Writer};
use crate::client::{Person, create_room, sign_up, sign_up_all};
use crate::history::{Change, History, Replica, Sent, Tape};

/// Rooms that are filled at the same time.
const ROOMS_AT_ONCE: usize = 4;

/// How much is going on in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rooms.
    pub(crate) rooms: usize,
    /// Whether each person is in one of them, rather than everybody in all.
    pub(crate) is_apart: bool,
    /// People who write.
    pub(crate) writers: usize,
    /// How much each writes.
    pub(crate) pace: Pace,
    /// Whether every message has a client_id, rather than half of them.
    pub(crate) is_keyed: bool,
    /// The most letters that a message is filled up with.
    pub(crate) padding: usize,
    /// People who listen.
    pub(crate) readers: usize,
    /// The longest time that a reader stays connected.
    pub(crate) stay: Duration,
    /// Of the writers, those whom the owner takes out of rooms and lets in again; each of them listens as well.
    pub(crate) guests: usize,
    /// Between two changes of memberships.
    pub(crate) change_every: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rooms: 2,
            is_apart: false,
            writers: 4,
            pace: Pace { every: Duration::from_millis(200), burst: 8 },
            is_keyed: false,
            padding: 200,
            readers: 3,
            stay: Duration::from_secs(6),
            guests: 1,
            change_every: Duration::from_secs(1),
        }
    }
}

/// The people of a run, and what they are doing.
pub(crate) struct Crew {
    stage: Stage,
    /// Who owns the rooms, and is in all of them without a word.
    pub(crate) owner: Person,
    /// The rooms.
    pub(crate) rooms: Vec<String>,
    writers: Vec<JoinHandle<Vec<Sent>>>,
    readers: Vec<JoinHandle<Tape>>,
    admin: JoinHandle<Vec<Change>>,
    end: watch::Sender<Option<BTreeMap<String, u64>>>,
}

impl Crew {
    /// Signs everybody up at `node`, makes the rooms, and begins.
    pub(crate) async fn begin(plan: &Plan, stage: &Stage, node: SocketAddr) -> Self {
        let owner = sign_up(node, "owner").await;
        let names: Vec<_> =
            (0..plan.writers.max(plan.readers)).map(|number| format!("p{number}")).collect();
        let people = sign_up_all(node, &names).await;
        // Whoever is in one room alone is in that of their number.
        let are_in = |number: usize, room: usize| !plan.is_apart || number % plan.rooms == room;
        let rooms = (0..plan.rooms).map(|room| {
            let members = people.iter().enumerate().filter(|(number, _)| are_in(*number, room));
            let members: Vec<&Person> = members.map(|(_, person)| person).collect();
            let owner = &owner;
            async move { create_room(node, owner, &members).await }
        });
        let rooms: Vec<_> = futures::stream::iter(rooms).buffered(ROOMS_AT_ONCE).collect().await;
        let (end, told_end) = watch::channel(None);
        let everybody = people.iter().enumerate().map(|(number, person)| {
            let theirs = (0..plan.rooms).filter(|room| are_in(number, *room));
            (person, theirs.map(|room| rooms[room].clone()).collect::<Vec<_>>())
        });
        let everybody: Vec<_> = everybody.collect();
        let writers = everybody.iter().take(plan.writers).map(|(person, rooms)| {
            let writer = Writer::new(person, rooms, plan, stage);
            tokio::spawn(writer.run())
        });
        let writers = writers.collect();
        let guests: Vec<_> = people.iter().take(plan.guests).cloned().collect();
        // Guests listen too: it is they who are told nothing of what is said behind their backs.
        let silent = everybody.iter().rev().take(plan.readers.saturating_sub(guests.len()));
        let readers = everybody[..guests.len()].iter().chain(silent).map(|(person, rooms)| {
            let reader = Reader::new(person, rooms, plan.stay, stage, told_end.clone());
            tokio::spawn(reader.run())
        });
        let readers = readers.collect();
        let admin = Admin::new(&owner, &guests, &rooms, plan.change_every, stage);
        let admin = tokio::spawn(admin.run());
        Self { stage: stage.clone(), owner, rooms, writers, readers, admin, end }
    }

    /// Lets nothing new begin, and returns when nobody says anything more; readers listen on.
    pub(crate) async fn settle(&mut self) -> (Vec<Sent>, Vec<Change>) {
        self.stage.close();
        let mut sends = Vec::new();
        for writer in self.writers.drain(..) {
            sends.extend(writer.await.unwrap());
        }
        let changes = (&mut self.admin).await.unwrap();
        (sends, changes)
    }

    /// Lets readers hear `log` to its end, and answers with all that was recorded.
    pub(crate) async fn finish(
        self,
        (sends, changes): (Vec<Sent>, Vec<Change>),
        log: &Replica,
    ) -> History {
        let tails = self.rooms.iter().map(|room| (room.clone(), log.tail(room))).collect();
        self.end.send_replace(Some(tails));
        let mut tapes = Vec::new();
        for reader in self.readers {
            tapes.push(reader.await.unwrap());
        }
        History { sends, tapes, changes }
    }
}
