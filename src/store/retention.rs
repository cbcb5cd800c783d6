//! The port by which logs are kept no longer than they have to be.

use async_trait::async_trait;

use super::Result;
use crate::domain::{Page, Retention, RoomId, Seq, Timestamp};

/// How long the logs of rooms are kept, and what makes it so.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// What was set for the room; `None` if nothing was.
    ///
    /// # Errors
    ///
    /// [`super::StoreError::NotFound`] if it does not exist or is deleted.
    async fn retention(&self, room: RoomId) -> Result<Option<Retention>>;

    /// Sets that for the room, or that nothing is set for it.
    ///
    /// # Errors
    ///
    /// [`super::StoreError::NotFound`] if it does not exist or is deleted.
    async fn set_retention(&self, room: RoomId, retention: Option<Retention>) -> Result<()>;

    /// Every room with what was set for it, deleted ones too, in the order of their ids.
    async fn retentions(&self, page: Page<RoomId>) -> Result<Vec<(RoomId, Option<Retention>)>>;

    /// Removes the oldest events of the room's log, all before the first that is not from before `before`, a piece of the log at a time.
    /// Whether there may be more. What they have changed elsewhere stays: members are members, and names names. The newest event
    /// stays in any case, a message as one of which nothing is left, so positions and ordinals go on behind it. Files of messages that go are
    /// the collector's; nothing that is gone is unread by anybody; their `client_id`s are free again.
    ///
    /// Safe to be done twice, also at once and with appends beside it. `before` lies a day back at least: what is younger may
    /// still decide the outcome of an append.
    async fn trim(&self, room: RoomId, before: Timestamp) -> Result<bool>;

    /// Up to where these logs are gone; those of which nothing is are left out. Whoever begins to read below that finds the
    /// beginning missing. At most [`super::MAX_TAILS`] rooms are asked for at once.
    async fn floors(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>>;
}
