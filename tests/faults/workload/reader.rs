//! Somebody who listens to all their rooms, goes now and then, and comes back to where they were.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ear::Ear;
use super::{SETTLED_WITHIN, Stage};
use crate::client::{NotConnected, Person, Socket, Told};
use crate::history::Tape;

/// How long a server may be silent: the client's side of its pings.
const SILENCE: Duration = Duration::from_secs(25);

/// Between two attempts to get somewhere.
const BREATH: Duration = Duration::from_millis(200);

/// Up to where each room is to be heard in the end; `None` as long as that is not known.
pub(super) type End = watch::Receiver<Option<BTreeMap<String, u64>>>;

/// A reader.
pub(super) struct Reader {
    stage: Stage,
    rooms: Vec<String>,
    end: End,
    /// When it stops to wait for the end.
    give_up: Option<Instant>,
    /// How long a connection may last.
    stay: Duration,
    chance: StdRng,
    ear: Ear,
}

impl Reader {
    /// Somebody's reader, who listens to these rooms.
    pub(super) fn new(
        person: &Person,
        rooms: &[String],
        stay: Duration,
        stage: &Stage,
        end: End,
    ) -> Self {
        let name = format!("{}'s reader", person.name);
        let (chance, ear) = (stage.chance(&name), Ear::new(&name, person, stage.clock));
        let (stage, rooms) = (stage.clone(), rooms.to_vec());
        Self { stage, rooms, end, give_up: None, stay, chance, ear }
    }

    /// Listens until everything is heard that is to be.
    pub(super) async fn run(mut self) -> Tape {
        let mut cut_off = None;
        while !self.has_heard_all() && !self.gives_up() {
            let node = self.stage.balancer.any(&mut self.chance);
            match Socket::connect(node, self.ear.auth()).await {
                Ok(socket) => {
                    if let Some(since) = cut_off {
                        self.stage.is_back(&self.ear.tape.name, since);
                    }
                    cut_off = self.listen(socket).await.then(Instant::now);
                }
                Err(NotConnected::Away) => {}
                Err(NotConnected::Refused(why)) => panic!("{}: {why}", self.ear.tape.name),
            }
            tokio::time::sleep(BREATH).await;
        }
        self.ear.tape
    }

    /// Whether it has waited for long enough since the end is known.
    fn gives_up(&mut self) -> bool {
        if self.end.borrow().is_none() {
            return false;
        }
        let end = *self.give_up.get_or_insert_with(|| Instant::now() + SETTLED_WITHIN);
        Instant::now() >= end
    }

    fn has_heard_all(&self) -> bool {
        let end = self.end.borrow();
        let is_heard = |tails: &BTreeMap<String, u64>| {
            self.rooms.iter().all(|room| self.ear.is_at(room, tails[room]))
        };
        end.as_ref().is_some_and(is_heard)
    }

    /// Listens until it goes, or is cut off: whether it was.
    async fn listen(&mut self, mut socket: Socket) -> bool {
        let longest = u64::try_from(self.stay.as_millis()).unwrap_or(u64::MAX).max(1);
        let stay = Duration::from_millis(self.chance.random_range(longest / 4..=longest));
        let leave = Instant::now() + stay;
        let mut end = self.end.clone();
        let was_cut_off = loop {
            let is_over = end.borrow_and_update().is_some();
            if is_over && (self.has_heard_all() || self.gives_up()) {
                break false;
            }
            tokio::select! {
                told = tokio::time::timeout(SILENCE, socket.next()) => match told {
                    Ok(Told::Event(name, payload)) => self.ear.hear(&name, &payload),
                    Ok(Told::Closed | Told::Disconnected) | Err(_) => break true,
                    Ok(_) => {}
                },
                // In the end nobody goes any more.
                () = tokio::time::sleep_until(leave), if !is_over => break false,
                _ = end.changed(), if !is_over => {}
            }
        };
        socket.close().await;
        was_cut_off
    }
}
