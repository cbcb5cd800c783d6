//! How far the log goes, told again a little after the last that was stored in a room through this node: a last frame that was lost
//! leaves no gap that another would show. What falls into a time without a bus is told as soon as it is back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Inner;
use crate::domain::{RoomId, Seq};

/// How long after the last frame of a room its tail is told.
const AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// How often it is looked what is due, and how many rooms are told of at once: a burst over many rooms is spread.
const LOOK: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 1000;

/// Rooms that wait to be told of. Beyond them a lost last frame is found by whoever listens, when the bus tells it of losses, or at the
/// room's next event.
const ROOMS: usize = 65_536;

/// The rooms that something was stored in of late. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Echoes(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    rooms: Mutex<HashMap<RoomId, Echo>>,
    stirred: Notify,
}

struct Echo {
    tail: Seq,
    /// When the last frame was told.
    at: Instant,
    /// How often the tail was told since.
    told: usize,
}

impl Echoes {
    /// What is stored in `room` has been told up to `tail`.
    pub(crate) fn note(&self, room: RoomId, tail: Seq, now: Instant) {
        let mut rooms = self.rooms();
        if rooms.is_empty() {
            self.0.stirred.notify_one();
        }
        if rooms.len() < ROOMS || rooms.contains_key(&room) {
            let echo = rooms.entry(room).or_insert(Echo { tail, at: now, told: 0 });
            *echo = Echo { tail: tail.max(echo.tail), at: now, told: 0 };
        }
    }

    /// What is to be told by `now`.
    fn due(&self, now: Instant) -> Vec<(RoomId, Seq)> {
        let mut due = Vec::new();
        self.rooms().retain(|room, echo| {
            let is_due = now.duration_since(echo.at) >= AFTER[echo.told];
            if is_due && due.len() < AT_ONCE {
                due.push((*room, echo.tail));
                echo.told += 1;
            }
            echo.told < AFTER.len()
        });
        due
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, Echo>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what is due, as long as the node is there. While the bus is away everything waits.
pub(super) async fn tell(inner: Weak<Inner>, echoes: Echoes) {
    loop {
        if echoes.rooms().is_empty() {
            tokio::select! {
                () = echoes.0.stirred.notified() => {}
                // Looks whether the node is still there.
                () = tokio::time::sleep(super::LINGER) => {}
            }
        }
        tokio::time::sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.peers.is_link_up() {
            for (room, tail) in echoes.due(Instant::now()) {
                inner.peers.tell_tail(room, tail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: fn() -> RoomId = || RoomId::new(1, 1);

    #[tokio::test(start_paused = true)]
    async fn a_tail_is_told_twice_after_the_last_of_a_burst() {
        let (echoes, began) = (Echoes::default(), Instant::now());
        let after = |millis| began + Duration::from_millis(millis);
        for nth in 0..5 {
            echoes.note(ROOM(), Seq(nth + 1), after(nth * 900));
            assert_eq!(echoes.due(after(nth * 900 + 899)), []);
        }
        assert_eq!(echoes.due(after(4600)), [(ROOM(), Seq(5))]);
        assert_eq!(echoes.due(after(8500)), []);
        assert_eq!(echoes.due(after(8600)), [(ROOM(), Seq(5))]);
        assert!(echoes.rooms().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn many_rooms_are_told_of_one_after_the_other_and_none_twice() {
        let (echoes, began) = (Echoes::default(), Instant::now());
        for nth in 0..2 * ROOMS {
            echoes.note(RoomId::new(1, nth as u64), Seq(1), began);
        }
        assert_eq!(echoes.rooms().len(), ROOMS);
        let mut told = HashMap::new();
        while !echoes.rooms().is_empty() {
            let due = echoes.due(began + AFTER[1]);
            assert!((1..=AT_ONCE).contains(&due.len()));
            due.into_iter().for_each(|(room, _)| *told.entry(room).or_insert(0) += 1);
        }
        assert!(told.len() == ROOMS && told.values().all(|times| *times == 2));
    }
}
