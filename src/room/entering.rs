//! Users who come into a room while they are connected: their session sockets serve it from then on.

use std::sync::{Arc, Weak};

use tokio::sync::{Semaphore, mpsc};

use super::hub::{Entered, Hub};
use super::{Connection, Ended, Inner, LiveRoom, NotServed, Rooms, Scope};
use crate::domain::{Body, RoomId, Seq, UserId};
use crate::store::StoreError;

/// Connections that are taken into a room they have just entered, at once.
const AT_ONCE: usize = 20;

/// Serves rooms to the session sockets of users who have just come into them.
pub(super) async fn take_in_entered(
    rooms: Weak<Inner>,
    mut entering: mpsc::UnboundedReceiver<Entered>,
) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(Entered { user, room, seq }) = entering.recv().await {
        let Some(inner) = rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        for connection in rooms.0.hub.of(user) {
            if connection.scope != Scope::Session || !connection.is_to_serve(room, seq) {
                continue;
            }
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let rooms = rooms.clone();
            tokio::spawn(async move {
                rooms.take_in(&connection, room, seq).await;
                drop(permit);
            });
        }
    }
}

impl Rooms {
    /// Serves a room to a connection from the `member_added` at `seq` on, unless that stay is over.
    async fn take_in(&self, connection: &Arc<Connection>, room: RoomId, mut seq: Seq) {
        let served = loop {
            match self.live_of_stay(connection.user_id(), room, seq).await {
                Ok(Some(live)) => break live.serve(connection, Seq(seq.0 - 1), seq).await,
                Ok(None) => match connection.forgo(room, seq) {
                    Some(again) => seq = again,
                    None => return,
                },
                Err(error) => break Err(NotServed::Unavailable(error)),
            }
        };
        if let Err(NotServed::Unavailable(error)) = served {
            tracing::warn!(%error, "a connection cannot be taken into a room; it is to come back");
            Hub::end(connection, Ended::Unavailable);
        }
    }

    /// The live room, if the user is in it since `seq`: a word of it can come late, when that stay is over or another has begun.
    async fn live_of_stay(
        &self,
        user: UserId,
        room: RoomId,
        seq: Seq,
    ) -> Result<Option<Arc<LiveRoom>>, StoreError> {
        let store = &self.0.store;
        let (Some(event), Some(membership)) =
            (store.event(room, seq).await?, store.membership(room, user).await?)
        else {
            return Ok(None);
        };
        match &event.body {
            Body::MemberAdded(added) if added.membership == membership.id => {
                self.live_room(room).await
            }
            _ => Ok(None),
        }
    }
}
