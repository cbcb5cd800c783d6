//! Tells the live rooms and the connections here of stays that began or ended on other nodes, in case the bus did not: from the
//! store, so that who was removed is removed, and who came in is let in, within 2 s also without a bus.

use std::collections::HashMap;
use std::time::Duration;

use crate::app::App;
use crate::domain::{RoomId, Seq, Timestamp};
use crate::service::Result;

/// How often the job is meant to run.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How much is looked at twice: for what was stored a little after its time was taken, and for clocks that differ.
const OVERLAP: Duration = Duration::from_secs(10);

/// How much is looked at again every [`DEEP_EVERY`] runs, for what was stored later still.
const DEEP: Duration = Duration::from_secs(60);
const DEEP_EVERY: u64 = 10;

/// Events read at once.
const PAGE: u32 = 500;

/// What has been looked at.
#[derive(Debug)]
pub struct Stays {
    /// Up to when everything was read.
    looked: Timestamp,
    runs: u64,
    /// What was told, with its time: nothing older than [`DEEP`] before the last look.
    told: HashMap<(RoomId, Seq), Timestamp>,
}

impl Stays {
    /// Looks at what happens from `now` on.
    pub fn since(now: Timestamp) -> Self {
        Self { looked: now, runs: 0, told: HashMap::new() }
    }

    /// Tells what is new at `now`. Safe to run twice: nobody is told anything again.
    ///
    /// # Errors
    ///
    /// [`crate::service::Error::Unavailable`] if the store does not answer; the next run looks from there on.
    pub async fn run_once(&mut self, app: &App, now: Timestamp) -> Result<()> {
        self.runs += 1;
        let is_deep = self.runs.is_multiple_of(DEEP_EVERY);
        let since = self.looked.minus(if is_deep { DEEP } else { OVERLAP });
        let mut place = (since, RoomId::from_bytes([0; 12]), Seq::ZERO);
        loop {
            let page = app.store.stay_changes(place, PAGE).await?;
            for event in &page {
                place = (event.timestamp, event.room, event.seq);
                let key = (event.room, event.seq);
                if !self.told.contains_key(&key) && app.rooms.hear_of_stay(event).await {
                    self.told.insert(key, event.timestamp);
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        self.looked = now;
        self.told.retain(|_, at| *at >= now.minus(DEEP + OVERLAP));
        Ok(())
    }
}
