//! Who is present in a live room, and what the others are told of it.
//!
//! A person is present through any number of connections. A `join` is told within [`TICK`], a `leave` only
//! after a grace, so that a reconnect tells nothing. Above [`CROWD`] people the names stop, and their number
//! is told every few seconds instead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::connection::{Connection, encode};
use crate::api::{JoinSignal, LeaveSignal, PresenceCount, UserBrief};
use crate::domain::{ConnectionId, RoomId, Timestamp, UserId};

/// How often what has changed is told.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// People online in a room above whom their number is told instead of their names.
pub(crate) const CROWD: usize = 100;

/// How often the number of a crowd is told, at most.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Who is present in one room.
pub(crate) struct Presence {
    room: RoomId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    people: HashMap<UserId, Person>,
    counted: Option<(Instant, usize)>,
    /// How many connections have come, ever: the number of the newest.
    entered: u64,
    /// Up to which of them the number of a crowd has been told.
    counted_to: u64,
}

struct Person {
    user: UserBrief,
    connections: HashMap<ConnectionId, Present>,
    announced: bool,
    /// The number of the connection that made the person present.
    came: u64,
    /// When the last connection went, by both clocks.
    gone: Option<(Instant, Timestamp)>,
}

/// A connection through which somebody is present.
struct Present {
    connection: Arc<Connection>,
    /// Its number in the order of coming.
    entered: u64,
}

/// What a tick found.
#[derive(Default)]
pub(crate) struct Ticked {
    /// Who has gone for good, and when they were last here.
    pub(crate) gone: Vec<(UserId, Timestamp)>,
    /// Whether something waits for a later tick.
    pub(crate) restless: bool,
}

impl Presence {
    pub(crate) fn new(room: RoomId) -> Self {
        Self { room, state: Mutex::default() }
    }

    /// The user is present through this connection, which is told at the same moment who is: `tell` is given everybody, in the order of
    /// their names. Who comes or goes from then on is told behind it. Entering twice only tells again.
    pub(crate) fn enter(&self, connection: &Arc<Connection>, tell: impl FnOnce(Vec<UserBrief>)) {
        let mut state = self.state();
        state.enter(connection);
        tell(state.online());
    }

    /// The user is not present through this connection any more.
    pub(crate) fn leave(&self, connection: &Connection) {
        let mut state = self.state();
        if let Some(person) = state.people.get_mut(&connection.user_id()) {
            let was_here = person.connections.remove(&connection.id).is_some();
            if was_here && person.connections.is_empty() {
                person.gone = Some((Instant::now(), Timestamp::now()));
            }
        }
    }

    /// The user is no member any more: gone at once.
    pub(crate) fn expel(&self, user: UserId) {
        let mut state = self.state();
        if let Some(person) = state.people.get_mut(&user) {
            person.connections.clear();
            let long_ago = Instant::now().checked_sub(Duration::from_secs(3600));
            person.gone = Some((long_ago.unwrap_or_else(Instant::now), Timestamp::now()));
        }
    }

    /// Everybody present, those in their grace included, in the order of their names.
    pub(crate) fn online(&self) -> Vec<UserBrief> {
        self.state().online()
    }

    /// How many people are present, those in their grace included.
    pub(crate) fn count(&self) -> usize {
        self.state().people.len()
    }

    /// Whether the user is present.
    pub(crate) fn is_present(&self, user: UserId) -> bool {
        self.state().people.contains_key(&user)
    }

    /// Whether nobody is.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().people.is_empty()
    }

    /// Every connection through which somebody is present.
    fn connections(&self) -> Vec<Arc<Connection>> {
        self.state().connections()
    }

    /// Tells everybody present but `except` something fleeting.
    pub(crate) fn tell(&self, name: &'static str, payload: &Arc<RawValue>, except: UserId) {
        for connection in self.connections() {
            if connection.user_id() != except {
                connection.tell_encoded(name, Arc::clone(payload));
            }
        }
    }

    /// Tells what has changed since the last tick.
    pub(crate) fn tick(&self, now: Instant, grace: Duration) -> Ticked {
        let mut state = self.state();
        let gone: Vec<Person> = state
            .people
            .extract_if(|_, person| {
                person.gone.is_some_and(|(since, _)| now.saturating_duration_since(since) >= grace)
            })
            .map(|(_, person)| person)
            .collect();
        let mut ticked = Ticked::default();
        for person in &gone {
            if let Some((_, at)) = person.gone {
                ticked.gone.push((person.user.id, at));
            }
        }
        if state.people.len() > CROWD {
            state.tell_count(self.room, now);
        } else {
            state.tell_names(self.room, &gone);
        }
        ticked.restless = state.is_restless();
        ticked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, connection: &Arc<Connection>) {
        let entered = self.entered + 1;
        let person = self.people.entry(connection.user_id()).or_insert_with(|| Person {
            user: connection.user.clone(),
            connections: HashMap::new(),
            announced: false,
            came: entered,
            gone: None,
        });
        person.gone = None;
        person.connections.entry(connection.id).or_insert_with(|| {
            self.entered = entered;
            Present { connection: Arc::clone(connection), entered }
        });
    }

    fn online(&self) -> Vec<UserBrief> {
        let mut users: Vec<_> = self.people.values().map(|person| person.user.clone()).collect();
        users.sort_by(|one, other| one.username.cmp(&other.username));
        users
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let present = self.people.values().flat_map(|person| person.connections.values());
        present.map(|present| Arc::clone(&present.connection)).collect()
    }

    /// Tells the others who came and who went.
    fn tell_names(&mut self, room: RoomId, gone: &[Person]) {
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
    fn tell_count(&mut self, room: RoomId, now: Instant) {
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
    fn is_uncounted(&self) -> bool {
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
            for present in person.connections.values() {
                if hears(*user, present.entered) {
                    present.connection.tell_encoded(name, Arc::clone(&payload));
                }
            }
        }
    }

    /// Whether a later tick has something to tell.
    fn is_restless(&self) -> bool {
        let uncounted = self.counted.is_some() && self.is_uncounted();
        uncounted || self.people.values().any(|person| person.gone.is_some() || !person.announced)
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
