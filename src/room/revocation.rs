//! Ends connections whose user's session is over, and no others: each knows the generation of the account that it was verified with.

use super::Rooms;
use crate::bus::codec::Word;
use crate::domain::{ConnectionId, Generation, Timestamp, UserId};

impl Rooms {
    /// Ends the connections of a user, on every node, for good: those that were verified before the account had the generation `below`;
    /// all, without one.
    pub fn revoke(&self, user: UserId, below: Option<Generation>) {
        self.revoke_here(user, below);
        self.0.peers.say(user, || Word::Revoked { below: below.map(|generation| generation.0) });
    }

    /// The same on this node. A word of it can come late, when the user is back with a newer token.
    pub(crate) fn revoke_here(&self, user: UserId, below: Option<Generation>) {
        for connection in self.0.hub.of(user) {
            let own = connection.generation().zip(below);
            if own.is_none_or(|(own, below)| own < below) {
                connection.revoke();
            }
        }
    }

    /// Ends the connections of a user whose session was revoked elsewhere at `at`, and whose account is of the generation `now`; of none, if it
    /// opens nothing any more. A connection that does not know its own is judged by when it was made.
    pub fn revoke_before(&self, user: UserId, at: Timestamp, now: Option<Generation>) {
        let latest = ConnectionId::new(at.as_millis(), u64::MAX);
        for connection in self.0.hub.of(user) {
            let is_over = match (connection.generation(), now) {
                (Some(own), Some(now)) => own < now,
                (None, Some(_)) => connection.id <= latest,
                (_, None) => true,
            };
            if is_over {
                connection.revoke();
            }
        }
    }
}
