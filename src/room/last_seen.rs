//! Notes in the store when members were last in their rooms, behind everything else: nobody waits for it.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::domain::{RoomId, Timestamp, UserId};
use crate::store::DynStore;

/// Notes that wait. When there are more, the newest are dropped: each is only how the member list reads.
const QUEUE: usize = 10_000;

/// Takes notes. Clones are the same.
#[derive(Clone)]
pub(crate) struct LastSeen(mpsc::Sender<(RoomId, UserId, Timestamp)>);

impl LastSeen {
    /// Starts the task that writes them down; it ends when the last clone is dropped.
    pub(crate) fn new(store: DynStore) -> Self {
        let (sender, notes) = mpsc::channel(QUEUE);
        tokio::spawn(write_down(store, notes));
        Self(sender)
    }

    /// The member was in the room until `at`.
    pub(crate) fn note(&self, room: RoomId, user: UserId, at: Timestamp) {
        if let Err(TrySendError::Full(_)) = self.0.try_send((room, user, at)) {
            tracing::warn!(room.id = %room, "when a member was last seen is not noted: too many wait");
        }
    }
}

async fn write_down(store: DynStore, mut notes: mpsc::Receiver<(RoomId, UserId, Timestamp)>) {
    while let Some((room, user, at)) = notes.recv().await {
        if let Err(error) = store.touch_membership(room, user, at).await {
            tracing::warn!(room.id = %room, %error, "when a member was last seen is not noted");
        }
    }
}
