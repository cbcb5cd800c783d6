//! The order of what one connection says to one room.
//!
//! A refusal that invites to send again (a full queue, a store that does not answer, an unknown outcome) bars what
//! the connection has said to the room behind it, or the two would change places once the first comes again. So
//! everything carries its *run*: how often the connection has been told of such a refusal when it was said. Whoever
//! refuses something bars its run; what comes later in a run that is barred is refused as well, wherever it comes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::writer::DEADLINE;
use crate::domain::{ConnectionId, RoomId};

/// How long a bar is kept: nothing of a run that is barred comes later, for it would be past its deadline.
const KEPT: Duration = DEADLINE.saturating_mul(4);

/// Rooms that a connection may have lanes in before those are forgotten in which nothing is under way.
const LANES: usize = 256;

/// What one connection says to one room in one run. Taken before anything of it is looked at, so that a refusal that is told
/// from then on ends it.
#[derive(Debug, Clone)]
pub struct Lane {
    turn: Turn,
    current: Arc<AtomicU64>,
}

/// Which connection, in which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) connection: ConnectionId,
    pub(crate) run: u64,
}

impl Lane {
    /// Whether the connection has been told since of a refusal that invites to send again.
    pub(crate) fn is_over(&self) -> bool {
        self.current.load(Ordering::SeqCst) != self.turn.run
    }

    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }
}

/// The lanes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// The runs begun so far, in any room, so that a room that is forgotten does not begin again at an old one.
    runs: u64,
    rooms: HashMap<RoomId, Arc<AtomicU64>>,
}

impl Lanes {
    /// The lane of `connection`, whose lanes these are, to `room` as it is now.
    pub(crate) fn of(&mut self, connection: ConnectionId, room: RoomId) -> Lane {
        if self.rooms.len() >= LANES {
            self.rooms.retain(|_, current| Arc::strong_count(current) > 1);
        }
        let current = Arc::clone(self.rooms.entry(room).or_insert_with(|| {
            self.runs += 1;
            Arc::new(AtomicU64::new(self.runs))
        }));
        let run = current.load(Ordering::SeqCst);
        Lane { turn: Turn { connection, run }, current }
    }

    /// Begins another run in `room`.
    pub(crate) fn begin_anew(&mut self, room: RoomId) {
        if let Some(current) = self.rooms.get(&room) {
            self.runs += 1;
            current.store(self.runs, Ordering::SeqCst);
        }
    }
}

/// The runs in which something was refused that is to be sent again.
#[derive(Debug)]
pub(crate) struct Bars<K>(HashMap<K, (u64, Instant)>);

impl<K: Eq + Hash> Default for Bars<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Bars<K> {
    /// Refuses the run, and those before it, from now on.
    pub(crate) fn bar(&mut self, key: K, run: u64) {
        let now = Instant::now();
        let (barred, since) = self.0.entry(key).or_insert((run, now));
        (*barred, *since) = ((*barred).max(run), now);
    }

    /// Whether something of this run is to be refused.
    pub(crate) fn is_barred(&self, key: &K, run: u64) -> bool {
        self.0.get(key).is_some_and(|(barred, _)| run <= *barred)
    }

    /// Forgets what is so old that nothing of it comes any more.
    pub(crate) fn forget_old(&mut self) {
        self.0.retain(|_, (_, since)| since.elapsed() < KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_over_once_its_connection_is_told_of_a_refusal_in_the_same_room() {
        let (one, other) = (RoomId::new(1, 1), RoomId::new(1, 2));
        let (mut lanes, me) = (Lanes::default(), ConnectionId::new(1, 1));
        let (first, elsewhere) = (lanes.of(me, one), lanes.of(me, other));
        lanes.begin_anew(one);
        let second = lanes.of(me, one);
        assert!(first.is_over() && !elsewhere.is_over() && !second.is_over());
        assert!(second.turn().run > first.turn().run);
    }

    #[test]
    fn a_room_that_was_forgotten_does_not_begin_again_at_an_old_run() {
        let (mut lanes, me) = (Lanes::default(), ConnectionId::new(1, 1));
        let room = |nth| RoomId::new(1, nth);
        let barred = lanes.of(me, room(0)).turn().run;
        lanes.begin_anew(room(0));
        let kept = lanes.of(me, room(1));
        for nth in 2..600 {
            drop(lanes.of(me, room(nth)));
        }
        assert!(lanes.rooms.len() <= LANES);
        assert!(lanes.of(me, room(0)).turn().run > barred);
        assert_eq!(lanes.of(me, room(1)).turn(), kept.turn());
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_in_a_barred_run_is_refused_and_the_next_run_is_not() {
        let mut bars = Bars::default();
        bars.bar(1, 7);
        bars.bar(1, 5);
        assert!(bars.is_barred(&1, 7) && bars.is_barred(&1, 6) && !bars.is_barred(&1, 8));
        assert!(!bars.is_barred(&2, 1));
        tokio::time::advance(2 * DEADLINE).await;
        bars.forget_old();
        assert!(bars.is_barred(&1, 7));
        tokio::time::advance(KEPT).await;
        bars.forget_old();
        assert!(!bars.is_barred(&1, 7));
    }
}
