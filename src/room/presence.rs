//! Who is present in a live room, and what the others are told of it.
//!
//! A person is present through any number of connections, of this node and of others. A `join` is told within
//! [`TICK`], a `leave` only after a grace, so that a reconnect tells nothing, wherever it leads. Above [`CROWD`] people the
//! names stop, and their number is told every few seconds instead.
//!
//! What a node says of its own people is [`told`], what it makes of the words of others [`elsewhere`]; [`follow`]
//! listens, asks and repeats, and [`ask`] finds out about rooms that the node does not serve.

mod ask;
mod crowd;
mod elsewhere;
mod follow;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::Connection;
use crate::api::UserBrief;
use crate::domain::{BootId, ConnectionId, RoomId, Timestamp, UserId};
use elsewhere::Elsewhere;
use told::Told;

/// How often what has changed is told.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// People online in a room above whom their number is told instead of their names.
pub(crate) const CROWD: usize = 100;

/// Who is present in one room.
pub(crate) struct Presence {
    room: RoomId,
    state: Mutex<State>,
    /// What this node knows of the others.
    knowledge: watch::Sender<Knowledge>,
}

/// What a node knows of who is present in a room through others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// Nothing: it does not listen.
    None,
    /// It has asked, and not waited long enough.
    Asking,
    /// What they have said.
    Heard,
}

struct State {
    people: HashMap<UserId, Person>,
    counted: Option<(Instant, usize)>,
    /// How many connections, and people of other nodes, have come, ever: the number of the newest.
    entered: u64,
    /// Up to which of them the number of a crowd has been told.
    counted_to: u64,
    /// What other nodes have said.
    elsewhere: HashMap<BootId, Elsewhere>,
    /// What other nodes have been told.
    told: Told,
    /// How many people are present through this node.
    here: usize,
    /// Since when nobody is.
    empty_since: Option<Instant>,
}

struct Person {
    user: UserBrief,
    connections: HashMap<ConnectionId, Through>,
    /// The other nodes through which the person is present.
    elsewhere: Vec<BootId>,
    announced: bool,
    /// The number of the connection that made the person present.
    came: u64,
    /// Since when the person is present nowhere.
    gone: Option<Instant>,
    /// When the last connection here went.
    left: Option<Timestamp>,
}

/// A connection through which somebody is present.
struct Through {
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
    /// Nobody, which is what other nodes know under the number `version`.
    pub(crate) fn new(room: RoomId, version: u64) -> Self {
        let knowledge = watch::Sender::new(Knowledge::None);
        Self { room, state: Mutex::new(State::new(version)), knowledge }
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
        let user = connection.user_id();
        let Some(person) = state.people.get_mut(&user) else { return };
        let was_here = person.connections.remove(&connection.id).is_some();
        if was_here && person.connections.is_empty() {
            person.left = Some(Timestamp::now());
            person.note_absence(Instant::now());
            state.one_less_here(user);
        }
    }

    /// The user is no member any more: gone at once.
    pub(crate) fn expel(&self, user: UserId) {
        let mut state = self.state();
        let Some(person) = state.people.get_mut(&user) else { return };
        let now = Instant::now();
        let was_here = !person.connections.is_empty();
        person.connections.clear();
        person.elsewhere.clear();
        person.gone = Some(now.checked_sub(Duration::from_secs(3600)).unwrap_or(now));
        if was_here {
            person.left = Some(Timestamp::now());
            state.one_less_here(user);
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

    /// Of the people present here and in other nodes how many are here, and how many only there.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.here, state.people.len() - state.here)
    }

    /// Whether nobody is, or has just been, present through this node.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    /// Tells everybody present but `except` something fleeting.
    pub(crate) fn tell(&self, name: &'static str, payload: &Arc<RawValue>, except: UserId) {
        for connection in self.state().connections() {
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
                person.gone.is_some_and(|since| now.saturating_duration_since(since) >= grace)
            })
            .map(|(_, person)| person)
            .collect();
        let last_seen = |person: &Person| person.left.map(|at| (person.user.id, at));
        let mut ticked =
            Ticked { gone: gone.iter().filter_map(last_seen).collect(), restless: false };
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

impl Person {
    fn new(user: UserBrief, came: u64) -> Self {
        let (connections, elsewhere) = (HashMap::new(), Vec::new());
        Self { user, connections, elsewhere, announced: false, came, gone: None, left: None }
    }

    /// Notes since when the person is present nowhere, if so.
    fn note_absence(&mut self, since: Instant) {
        if self.connections.is_empty() && self.elsewhere.is_empty() {
            self.gone.get_or_insert(since);
        }
    }
}

impl State {
    fn new(version: u64) -> Self {
        Self {
            people: HashMap::new(),
            counted: None,
            entered: 0,
            counted_to: 0,
            elsewhere: HashMap::new(),
            told: Told::new(version),
            here: 0,
            empty_since: None,
        }
    }

    fn is_idle(&self) -> bool {
        let is_leaving = |person: &Person| person.gone.is_some() && person.left.is_some();
        self.here == 0 && !self.people.values().any(is_leaving)
    }

    fn enter(&mut self, connection: &Arc<Connection>) {
        let entered = self.entered + 1;
        let user = connection.user_id();
        let person = self
            .people
            .entry(user)
            .or_insert_with(|| Person::new(connection.user.clone(), entered));
        (person.gone, person.left) = (None, None);
        self.here += usize::from(person.connections.is_empty());
        person.connections.entry(connection.id).or_insert_with(|| {
            self.entered = entered;
            Through { connection: Arc::clone(connection), entered }
        });
        self.told.stir(user);
        self.empty_since = None;
    }

    /// The user is not present through this node any more.
    fn one_less_here(&mut self, user: UserId) {
        self.told.stir(user);
        self.here -= 1;
        if self.here == 0 {
            self.empty_since = Some(Instant::now());
        }
    }

    fn online(&self) -> Vec<UserBrief> {
        let mut users: Vec<_> = self.people.values().map(|person| person.user.clone()).collect();
        users.sort_by(|one, other| one.username.cmp(&other.username));
        users
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let present = self.people.values().flat_map(|person| person.connections.values());
        present.map(|through| Arc::clone(&through.connection)).collect()
    }

    /// Whether a later tick has something to tell.
    fn is_restless(&self) -> bool {
        let uncounted = self.counted.is_some() && self.is_uncounted();
        uncounted || self.people.values().any(|person| person.gone.is_some() || !person.announced)
    }
}
