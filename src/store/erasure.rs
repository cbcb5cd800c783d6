//! The port by which what tells of a person is found, and taken out.

use async_trait::async_trait;

use super::Result;
use crate::domain::{Event, Page, RoomId, UserId, Words};

/// What an account has left, and its end. The steps, in their order, are the erasure service's.
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// Deletes the account, if it is not deleted ([`super::UserStore::remove_user`]), and notes that what it has left is to go as well.
    /// Said again, the later word holds.
    ///
    /// # Errors
    ///
    /// [`super::StoreError::NotFound`] if there never was one; [`super::Conflict::LastAdmin`].
    async fn begin_erasure(&self, user: UserId, words: Words) -> Result<()>;

    /// Up to `limit` accounts of which that is noted.
    async fn erasures(&self, limit: u32) -> Result<Vec<(UserId, Words)>>;

    /// Notes that nothing is left to be done for the account, and that it was revoked now, by which nodes learn of it.
    async fn end_erasure(&self, user: UserId) -> Result<()>;

    /// Looks at the rooms of `page`, in the order of their ids and deleted ones too: those in which the user is a member or is the
    /// sender of an event, and the last room that was looked at. `None` is the end of all rooms.
    async fn traces(
        &self,
        user: UserId,
        page: Page<RoomId>,
    ) -> Result<(Vec<RoomId>, Option<RoomId>)>;

    /// Gives events of one room, which are in its log, other bodies. What they have changed elsewhere stays. The files of a message of which
    /// nothing is left are the collector's. Positions that are not in the log are left out.
    async fn rewrite(&self, events: &[Event]) -> Result<()>;

    /// Gives a private room another name, without an event.
    async fn rename_private(&self, room: RoomId, name: &str) -> Result<()>;
}
