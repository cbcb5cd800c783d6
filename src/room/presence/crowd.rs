//! What the connections of this node are told of who comes and goes: names, or of a crowd their number.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::connection::encode;
use super::{Person, State};
use crate::api::{JoinSignal, LeaveSignal, PresenceCount, UserBrief};
use crate::domain::{RoomId, UserId};

/// How often the number of a crowd is told, at most.
const COUNT_EVERY: Duration = Duration::from_secs(5);

impl State {
    /// Tells the others who came and who went.
    pub(super) fn tell_names(&mut self, room: RoomId, gone: &[Person]) {
        if self.counted.take().is_some() {
            // The crowd has thinned: a last number, names from here on.
            self.broadcast_to("presence_count", &self.count(room), |_, _| true);
        }
        for person in gone.iter().filter(|person| person.announced) {
            let PersonName { user_id, username } = PersonName::of(&person.user);
            let signal = LeaveSignal { chat_room_id: room, user_id, username };
            self.broadcast_to("leave", &signal, |other, _| other != user_id);
        }
        let came: Vec<(UserBrief, u64)> = self
            .people
            .values_mut()
            .filter(|person| !person.announced && person.gone.is_none())
            .map(|person| {
                person.announced = true;
                (person.user.clone(), person.came)
            })
            .collect();
        for (user, came) in came {
            let PersonName { user_id, username } = PersonName::of(&user);
            let signal = JoinSignal { chat_room_id: room, user_id, username, email: user.email };
            // Who came later has the name in `online_users`.
            self.broadcast_to("join", &signal, |other, entered| other != user_id && entered < came);
        }
    }

    /// Tells how many there are, not too often: everybody when it has changed, else who has come since.
    pub(super) fn tell_count(&mut self, room: RoomId, now: Instant) {
        for person in self.people.values_mut() {
            person.announced = true;
        }
        let online = self.people.len();
        let due =
            self.counted.is_none_or(|(at, _)| now.saturating_duration_since(at) >= COUNT_EVERY);
        if due && self.is_uncounted() {
            let is_news = self.counted.is_none_or(|(_, told)| told != online);
            let known = if is_news { 0 } else { self.counted_to };
            self.counted = Some((now, online));
            self.counted_to = self.entered;
            self.broadcast_to("presence_count", &self.count(room), |_, entered| entered > known);
        }
    }

    /// Whether somebody has not been told how many there are.
    pub(super) fn is_uncounted(&self) -> bool {
        self.counted.is_none_or(|(_, told)| told != self.people.len())
            || self.counted_to != self.entered
    }

    fn count(&self, room: RoomId) -> PresenceCount {
        PresenceCount { chat_room_id: room, online: self.people.len() }
    }

    /// Tells every connection that `hears`, of this user and with this number in the order of coming.
    fn broadcast_to(
        &self,
        name: &'static str,
        signal: &impl serde::Serialize,
        hears: impl Fn(UserId, u64) -> bool,
    ) {
        let payload = encode(signal);
        for (user, person) in &self.people {
            for through in person.connections.values() {
                if hears(*user, through.entered) {
                    through.connection.tell_encoded(name, Arc::clone(&payload));
                }
            }
        }
    }
}

struct PersonName {
    user_id: UserId,
    username: String,
}

impl PersonName {
    fn of(user: &UserBrief) -> Self {
        Self { user_id: user.id, username: user.username.clone() }
    }
}
