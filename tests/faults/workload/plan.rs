//! Who takes part in a run, and its way from the first word to the history.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Stage;
use super::admin::Admin;
use super::reader::Reader;
use super::writer::{Pace, Writer};
use crate::client::{Person, create_room, sign_up};
use crate::history::{Change, History, Replica, Sent, Tape};

/// How much is going on in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rooms that everybody is in.
    pub(crate) rooms: usize,
    /// People who write.
    pub(crate) writers: usize,
    /// How much each writes.
    pub(crate) pace: Pace,
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
            writers: 4,
            pace: Pace { every: Duration::from_millis(200), burst: 8 },
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
        let mut people = Vec::new();
        for number in 0..plan.writers.max(plan.readers) {
            people.push(sign_up(node, &format!("p{number}")).await);
        }
        let mut rooms = Vec::new();
        for _ in 0..plan.rooms {
            let members: Vec<&Person> = people.iter().collect();
            rooms.push(create_room(node, &owner, &members).await);
        }
        let (end, told_end) = watch::channel(None);
        let writers = people
            .iter()
            .take(plan.writers)
            .map(|person| tokio::spawn(Writer::new(person, &rooms, plan, stage).run()));
        let writers = writers.collect();
        let guests: Vec<_> = people.iter().take(plan.guests).cloned().collect();
        // Guests listen too: it is they who are told nothing of what is said behind their backs.
        let silent = people.iter().rev().take(plan.readers.saturating_sub(guests.len()));
        let readers = guests.iter().chain(silent).map(|person| {
            let name = format!("{}'s reader", person.name);
            let reader = Reader::new(&name, person, plan.stay, stage, told_end.clone());
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
