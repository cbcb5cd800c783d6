//! One append, until it is known what became of it.
//!
//! An answer that leaves it open is followed by the same events at the same positions, from the first on that is not
//! decided, until an answer decides: an earlier attempt may still be under way, and only the same events beside it
//! come to the same. What stands at a position with one's own nonce is one's own, whichever attempt has put it there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::command::Refused;
use super::writer::{DEADLINE, Numbered, Writer};
use crate::domain::Seq;
use crate::domain::event::Event;
use crate::metrics::FullQueue;
use crate::store::{Appended, StoreError};

/// How long an append whose outcome is unknown is tried again.
const GIVE_UP: Duration = Duration::from_secs(600);

/// How often, while an append takes its time, it is looked who has waited for too long.
const LOOK: Duration = Duration::from_secs(1);

impl Writer {
    /// Hands the events to the store, and the same ones again as long as it is not known what became of them.
    pub(super) async fn append_until_decided(&mut self, numbered: &mut [Numbered]) -> Appended {
        let events: Vec<Event> = numbered.iter().map(|one| one.event.clone()).collect();
        let started = Instant::now();
        let (mut decided, mut is_uncertain) = (0, false);
        let appended = loop {
            match self.attempt(&events[decided..], numbered, started).await {
                Appended::Unknown(error) if started.elapsed() < GIVE_UP => {
                    tracing::warn!(room.id = %self.room, %error, "the outcome of an append is unknown");
                    self.shared.metrics.messages.unknown_attempts.inc();
                    is_uncertain = true;
                }
                Appended::PositionTaken { index } => {
                    let taken = (decided + index).min(events.len());
                    if !is_uncertain {
                        break Appended::PositionTaken { index: taken };
                    }
                    // Perhaps by an earlier one of these very attempts.
                    match self.own(&events[taken..]).await {
                        Ok(0) => break Appended::PositionTaken { index: taken },
                        Ok(own) if taken + own == events.len() => break Appended::All,
                        Ok(own) => {
                            decided = taken + own;
                            continue;
                        }
                        Err(error) => {
                            tracing::warn!(room.id = %self.room, %error, "an unknown outcome cannot be looked up");
                        }
                    }
                }
                Appended::ClientIdTaken { index } => {
                    break Appended::ClientIdTaken { index: decided + index };
                }
                answer => break answer,
            }
            self.pause(backoff(started.elapsed()), numbered, started).await;
        };
        let (outcome, took) = (appended.outcome(), started.elapsed());
        self.shared.metrics.messages.appended(outcome, events.len(), took);
        appended
    }

    /// Hands the events to the store once.
    async fn attempt(
        &mut self,
        events: &[Event],
        numbered: &mut [Numbered],
        started: Instant,
    ) -> Appended {
        let store = Arc::clone(&self.shared.store);
        let append = store.append(events);
        tokio::pin!(append);
        loop {
            match tokio::time::timeout(LOOK, &mut append).await {
                Ok(appended) => return appended,
                Err(_) => self.answer_overdue(numbered, started),
            }
        }
    }

    async fn pause(&mut self, pause: Duration, numbered: &mut [Numbered], started: Instant) {
        let end = Instant::now() + pause;
        loop {
            self.answer_overdue(numbered, started);
            let next = Instant::now() + LOOK;
            tokio::time::sleep_until(next.min(end)).await;
            if next >= end {
                return;
            }
        }
    }

    /// Answers those who have waited for too long: what is being appended is unknown, what waits behind it was not tried.
    fn answer_overdue(&mut self, numbered: &mut [Numbered], started: Instant) {
        if started.elapsed() >= DEADLINE {
            self.tell_unknown(numbered);
        }
        for queued in self.queue.expired(Instant::now()) {
            self.shared.metrics.queues.refused.of(FullQueue::Writer).inc();
            self.refuse_unseen(queued, Refused::Overloaded);
        }
    }

    /// How many of `events`, from the first on, stand in the log as these very ones.
    async fn own(&mut self, events: &[Event]) -> Result<usize, StoreError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(0) };
        let after = Seq(first.seq.0 - 1);
        let limit = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let stored = self.shared.store.events(self.room, after, last.seq, limit).await?;
        Ok(events.iter().zip(&stored).take_while(|(own, stored)| own.nonce == stored.nonce).count())
    }
}

/// 50 ms at first, then a tenth of the time that has passed, at most 5 s.
pub(super) fn backoff(elapsed: Duration) -> Duration {
    (elapsed / 10).clamp(Duration::from_millis(50), Duration::from_secs(5))
}
