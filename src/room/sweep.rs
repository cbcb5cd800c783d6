//! Looks into the store how far the logs of all live rooms go, whenever something may have been lost on the bus, and every few
//! seconds as long as it is down: without it messages between nodes are slower, and none is lost.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;

use super::{Inner, LINGER, LiveRoom, Rooms};
use crate::domain::{Body, Event, Seq};
use crate::store::{MAX_TAILS, StoreError};

/// How often it is looked while the bus is down.
const AGAIN: Duration = Duration::from_secs(2);

/// Between two questions of one sweep.
const PACE: Duration = Duration::from_millis(20);

/// Rooms that are brought up at once.
const AT_ONCE: usize = 8;

/// Sweeps whenever it is time, one at a time: what asks for a sweep during one is followed by another.
pub(super) async fn follow_losses(inner: Weak<Inner>) {
    let Some((mut link, nodes)) =
        inner.upgrade().map(|inner| (inner.peers.link(), inner.peers.nodes().clone()))
    else {
        return;
    };
    let mut changes = nodes.changes();
    let mut is_complete = true;
    loop {
        let was_heard = nodes.is_link_up();
        let is_steady = is_complete && was_heard && link.borrow_and_update().is_up;
        tokio::select! {
            changed = link.changed() => if changed.is_err() { return },
            changed = changes.changed() => {
                if changed.is_err() || nodes.is_link_up() == was_heard {
                    continue;
                }
            }
            () = tokio::time::sleep(if is_steady { LINGER } else { AGAIN }) => {
                if is_steady {
                    // Only looks whether the node is still there.
                    if inner.strong_count() == 0 {
                        return;
                    }
                    continue;
                }
            }
        }
        let Some(inner) = inner.upgrade() else { return };
        let swept = Rooms(inner).sweep().await;
        is_complete = swept.is_ok();
        if let Err(error) = swept {
            tracing::warn!(%error, "the tails of rooms cannot be read; they are asked for again");
        }
    }
}

async fn reach((room, tail): (Arc<LiveRoom>, Seq)) {
    room.reach(tail).await;
}

impl Rooms {
    /// Brings every live room up to the end of its log, those with most listeners first.
    async fn sweep(&self) -> Result<(), StoreError> {
        self.0.metrics.delivery.sweeps.inc();
        let mut rooms: Vec<Arc<LiveRoom>> =
            self.live().values().map(|entry| Arc::clone(&entry.room)).collect();
        rooms.sort_by_cached_key(|room| std::cmp::Reverse(room.shared.feed.listeners()));
        for rooms in rooms.chunks(MAX_TAILS) {
            let ids: Vec<_> = rooms.iter().map(|room| room.id).collect();
            let tails: HashMap<_, _> = self.0.store.tails(&ids).await?.into_iter().collect();
            let mut behind = Vec::new();
            for room in rooms {
                match tails.get(&room.id) {
                    Some(tail) if *tail > room.delivered() => {
                        behind.push((Arc::clone(room), *tail))
                    }
                    _ => {}
                }
            }
            futures::stream::iter(behind).for_each_concurrent(AT_ONCE, reach).await;
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    }

    /// A stay began or ended by `event`, as the store tells: who listens here is told up to there, and who is connected here is let
    /// in. Whether that could be done.
    pub async fn hear_of_stay(&self, event: &Event) -> bool {
        if let Body::MemberAdded(added) = &event.body {
            self.0.hub.entered(added.user, event.room, event.seq);
        }
        let live = self.live().get(&event.room).map(|entry| Arc::clone(&entry.room));
        let Some(live) = live else { return true };
        live.reach(event.seq).await;
        live.delivered() >= event.seq
    }
}
