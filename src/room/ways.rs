//! Which way a command takes into the log: by the writer of this node, or over the bus by the room's owner.
//!
//! Ownership is only speed. A command that is sent to an owner who does not answer goes the direct way, to the writer
//! here, as the same attempt: with the nonce and the key that it had, by which the log tells what both ways stored.
//!
//! What one connection says to one room keeps its order: the next takes another way only once those before it are decided.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::asked::{Asked, Reply, unreadable};
use super::clerk::Clerk;
use super::command::{Command, Committed, Refused};
use super::courier::Courier;
use super::lane::Lane;
use super::live::LiveRoom;
use super::writer::DEADLINE;
use super::{Inner, Rooms};
use crate::domain::{BootId, ConnectionId, RoomId};
pub(super) use crate::metrics::DirectReason as Direct;
use crate::metrics::FullQueue;
use crate::telemetry::Trace;

/// The ways out of a node, and the order on them.
pub(super) struct Ways {
    lines: Mutex<HashMap<Key, Line>>,
    couriers: Mutex<HashMap<BootId, Arc<Courier>>>,
    pub(super) clerk: Clerk,
    /// Commands without an answer, of this node and of others.
    pub(super) open: TaskTracker,
    pub(super) runtime: Handle,
}

/// One connection in one room.
type Key = (ConnectionId, RoomId);

/// What one connection has said to one room and is not decided.
#[derive(Default)]
struct Line {
    /// The owner to whom those under way have gone; `None` for the writer here.
    way: Option<BootId>,
    under_way: usize,
    said: u64,
    /// Those that wait for others, or were brought back, by their numbers. Each holds a place in a bounded queue.
    waiting: BTreeMap<u64, Box<Asked>>,
}

/// The part of a command that is under way in the order of its lane; dropped when it is decided.
pub(super) struct Ticket {
    rooms: Weak<Inner>,
    key: Key,
    is_back: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_back
            && let Some(inner) = self.rooms.upgrade()
        {
            Rooms(inner).decided(self.key);
        }
    }
}

/// A way into the log of a room.
enum Way {
    /// The writer of this node: the room is its own, or, for a reason, the direct way.
    Here(Option<Direct>),
    /// The node that owns the room.
    Owner(Arc<Courier>),
}

impl Way {
    fn owner(&self) -> Option<BootId> {
        match self {
            Self::Here(_) => None,
            Self::Owner(courier) => Some(courier.owner),
        }
    }
}

impl Ways {
    /// Nothing is under way yet.
    pub(super) fn new() -> Self {
        Self {
            lines: Mutex::default(),
            couriers: Mutex::default(),
            clerk: Clerk::default(),
            open: TaskTracker::new(),
            runtime: Handle::current(),
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Key, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn couriers(&self) -> MutexGuard<'_, HashMap<BootId, Arc<Courier>>> {
        self.couriers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands wait for the owner for whom most do, and how many of other nodes wait here.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let couriers = self.couriers();
        let fullest = couriers.values().map(|courier| courier.waiting()).max();
        (fullest.unwrap_or_default(), self.clerk.waiting())
    }

    /// Forgets a courier that has ended.
    pub(super) fn dismiss(&self, courier: &Arc<Courier>) {
        let mut couriers = self.couriers();
        if couriers.get(&courier.owner).is_some_and(|known| Arc::ptr_eq(known, courier)) {
            couriers.remove(&courier.owner);
        }
    }
}

impl Rooms {
    /// Carries `command` out and answers once it is stored.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing was stored, but for [`Refused::Unknown`].
    pub async fn commit(&self, room: RoomId, command: Command) -> Result<Committed, Refused> {
        self.commit_traced(room, command, None).await
    }

    /// The same, as a step of a trace.
    pub(crate) async fn commit_traced(
        &self,
        room: RoomId,
        command: Command,
        trace: Option<Trace>,
    ) -> Result<Committed, Refused> {
        let (sender, outcome) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            // Nobody waits any more when the asker was dropped; what was stored stands.
            let _ = sender.send(outcome);
        });
        self.submit_traced(room, None, command, trace, reply).await;
        outcome.await.unwrap_or(Err(Refused::Unknown))
    }

    /// Has `command` appended to the log of its room and returns once it has a place among what waits for that; `reply` is told
    /// the outcome. Two commands that one task submits in one lane are stored in this order.
    pub async fn submit(&self, room: RoomId, lane: Option<Lane>, command: Command, reply: Reply) {
        self.submit_traced(room, lane, command, None, reply).await;
    }

    /// The same, as a step of a trace.
    pub(crate) async fn submit_traced(
        &self,
        room: RoomId,
        lane: Option<Lane>,
        command: Command,
        trace: Option<Trace>,
        reply: Reply,
    ) {
        let mut asked = Asked::new(room, command, Instant::now() + DEADLINE, reply);
        asked.trace = trace;
        asked.turn = lane.as_ref().map(Lane::turn);
        asked.lane = lane;
        if let Some(refused) = self.0.standing.refuses() {
            return asked.refuse(refused);
        }
        asked.held().open = Some(self.0.ways.open.token());
        let live = match self.way(room) {
            Way::Here(_) => match self.place_here(&mut asked).await {
                Ok(live) => Some(live),
                Err(refused) => return asked.refuse(refused),
            },
            Way::Owner(courier) => {
                asked.held().place = courier.place(asked.deadline).await;
                None
            }
        };
        if asked.held().place.is_none() {
            self.0.metrics.queues.refused.of(FullQueue::Writer).inc();
            return asked.refuse(Refused::Overloaded);
        }
        self.enter(asked, live.as_deref());
    }

    /// Waits until every command that this node has taken, of its own and for others, has its answer, and no more come.
    pub async fn finished(&self) {
        self.0.ways.open.close();
        self.0.ways.open.wait().await;
    }

    /// The live room, with a place for a command among what waits for its writer.
    async fn place_here(&self, asked: &mut Asked) -> Result<Arc<LiveRoom>, Refused> {
        let live = self.live_room(asked.room).await.map_err(Refused::Unavailable)?;
        let live = live.ok_or(Refused::NotFound)?;
        asked.held().place = live.inbox().place(&asked.command.change, asked.deadline).await;
        Ok(live)
    }

    fn way(&self, room: RoomId) -> Way {
        let peers = &self.0.peers;
        if !peers.reach_others() {
            return Way::Here(None);
        }
        if peers.is_cut_off() {
            return Way::Here(Some(Direct::LinkDown));
        }
        let Some(owner) = peers.owner_of(room) else { return Way::Here(None) };
        let courier = self.courier(owner);
        if courier.is_in_doubt() { Way::Here(Some(Direct::InDoubt)) } else { Way::Owner(courier) }
    }

    /// Whether commands for the room go to this owner now.
    pub(super) fn leads_to(&self, room: RoomId, owner: BootId) -> bool {
        self.way(room).owner() == Some(owner)
    }

    fn courier(&self, owner: BootId) -> Arc<Courier> {
        let mut couriers = self.0.ways.couriers();
        match couriers.get(&owner).filter(|courier| !courier.has_ended()) {
            Some(courier) => Arc::clone(courier),
            None => {
                let courier = Courier::start(self, owner);
                couriers.insert(owner, Arc::clone(&courier));
                courier
            }
        }
    }

    /// Takes a command in, behind those of its lane. `live` is its room, if the way was the one here a moment ago.
    fn enter(&self, mut asked: Box<Asked>, live: Option<&LiveRoom>) {
        // A node that is alone has one way only, and its writer keeps the order of that.
        let key = key(&asked).filter(|_| self.0.peers.reach_others());
        let Some(key) = key else { return self.send_alone(asked, live) };
        let mut lines = self.0.ways.lines();
        if asked.is_over() {
            drop(lines);
            return asked.refuse(Refused::Overloaded);
        }
        let line = lines.entry(key).or_default();
        line.said += 1;
        asked.nth = line.said;
        let stays = match line.waiting.is_empty() {
            true => self.leave(line, key, asked, live).err(),
            false => Some(asked),
        };
        if let Some(asked) = stays {
            self.wait(line, key, asked);
        }
    }

    /// Sends a command that has no order to keep.
    fn send_alone(&self, asked: Box<Asked>, live: Option<&LiveRoom>) {
        match (self.way_of(&asked), live) {
            (Way::Here(direct), Some(live)) => {
                self.count(direct);
                drop(live.inbox().put(asked));
            }
            (Way::Here(direct), None) => {
                self.count(direct);
                self.send_once_live(asked);
            }
            (Way::Owner(courier), _) => {
                if let Err(asked) = courier.push(asked) {
                    self.send_once_live(asked);
                }
            }
        }
    }

    /// Sends a command that has no order to keep to the writer here, once the room is live.
    fn send_once_live(&self, mut asked: Box<Asked>) {
        let rooms = self.clone();
        self.0.ways.runtime.spawn(async move {
            match rooms.live_room(asked.room).await {
                Ok(Some(live)) => drop(live.inbox().put(asked)),
                Ok(None) => asked.refuse(Refused::NotFound),
                Err(error) => asked.refuse(Refused::Unavailable(error)),
            }
        });
    }

    fn way_of(&self, asked: &Asked) -> Way {
        if asked.is_direct { Way::Here(None) } else { self.way(asked.room) }
    }

    /// Sends a command on, if those of its line that are under way have gone the same way.
    ///
    /// # Errors
    ///
    /// The command, if it has to wait: for those before it, or for its room to be live here.
    fn leave(
        &self,
        line: &mut Line,
        key: Key,
        mut asked: Box<Asked>,
        live: Option<&LiveRoom>,
    ) -> Result<(), Box<Asked>> {
        let way = self.way_of(&asked);
        if line.under_way > 0 && line.way != way.owner() {
            return Err(asked);
        }
        let rooms = Arc::downgrade(&self.0);
        asked.held().ticket = Some(Ticket { rooms, key, is_back: false });
        let sent = match (&way, live) {
            (Way::Here(_), Some(live)) => live.inbox().put(asked),
            (Way::Here(_), None) => Err(asked),
            (Way::Owner(courier), _) => courier.push(asked),
        };
        if let Err(mut asked) = sent {
            take_ticket(&mut asked);
            return Err(asked);
        }
        if let Way::Here(direct) = way {
            self.count(direct);
        }
        line.way = way.owner();
        line.under_way += 1;
        Ok(())
    }

    fn wait(&self, line: &mut Line, key: Key, asked: Box<Asked>) {
        line.waiting.insert(asked.nth, asked);
        if line.under_way == 0 {
            self.0.ways.runtime.spawn(go_on(self.clone(), key));
        }
    }

    /// A command of a lane is decided: those that have waited for it go on.
    fn decided(&self, key: Key) {
        let mut lines = self.0.ways.lines();
        let Some(line) = lines.get_mut(&key) else { return };
        line.under_way -= 1;
        if line.under_way > 0 {
            return;
        }
        if line.waiting.is_empty() {
            lines.remove(&key);
        } else {
            self.0.ways.runtime.spawn(go_on(self.clone(), key));
        }
    }

    /// Takes a command back that an owner has not decided, to go on when its turn comes: the direct way if there is a
    /// reason for that.
    pub(super) fn take_back(&self, mut asked: Box<Asked>, direct: Option<Direct>) {
        self.count(direct);
        asked.is_direct |= direct.is_some();
        asked.deadline = Instant::now() + DEADLINE;
        let Some(key) = key(&asked) else { return self.send_alone(asked, None) };
        let mut lines = self.0.ways.lines();
        let line = lines.entry(key).or_default();
        if take_ticket(&mut asked) {
            line.under_way -= 1;
        }
        self.wait(line, key, asked);
    }

    /// Whether one that was said before `asked` in its lane waits again, so that it must not go on.
    pub(super) fn is_behind(&self, asked: &Asked) -> bool {
        let Some(key) = key(asked) else { return false };
        let lines = self.0.ways.lines();
        let first = lines.get(&key).and_then(|line| line.waiting.first_key_value());
        first.is_some_and(|(nth, _)| *nth < asked.nth)
    }

    fn count(&self, direct: Option<Direct>) {
        if let Some(reason) = direct {
            self.0.metrics.cluster.direct_commands.of(reason).inc();
        }
    }

    /// Lets those of a line go that may, in their order.
    fn let_go(&self, key: Key, live: Option<&LiveRoom>) -> Gone {
        let mut over = Vec::new();
        let mut lines = self.0.ways.lines();
        let Some(line) = lines.get_mut(&key) else { return Gone::All };
        let gone = loop {
            let Some((nth, mut asked)) = line.waiting.pop_first() else { break Gone::All };
            if asked.is_over() {
                over.push(asked);
                continue;
            }
            let is_blocked = line.under_way > 0;
            asked.deadline = Instant::now() + DEADLINE;
            match self.leave(line, key, asked, live) {
                Ok(()) => {}
                Err(asked) => {
                    line.waiting.insert(nth, asked);
                    break if is_blocked { Gone::All } else { Gone::ButForTheRoom };
                }
            }
        };
        if line.under_way == 0 && line.waiting.is_empty() {
            lines.remove(&key);
        }
        drop(lines);
        over.iter_mut().for_each(|asked| asked.refuse(Refused::Overloaded));
        gone
    }

    /// Refuses all that wait in a line.
    fn refuse_line(&self, key: Key, refused: impl Fn() -> Refused) {
        let mut lines = self.0.ways.lines();
        let Some(line) = lines.get_mut(&key) else { return };
        let waiting = std::mem::take(&mut line.waiting);
        if line.under_way == 0 {
            lines.remove(&key);
        }
        drop(lines);
        for mut asked in waiting.into_values() {
            asked.refuse(refused());
        }
    }
}

/// How far the commands of a line have gone.
enum Gone {
    /// As far as they may: whoever they wait for lets them go on.
    All,
    /// The first needs its room to be live here.
    ButForTheRoom,
}

/// Lets those go that wait in a line, once the room is live here if they need it.
async fn go_on(rooms: Rooms, key: Key) {
    while let Gone::ButForTheRoom = rooms.let_go(key, None) {
        match rooms.live_room(key.1).await {
            Ok(Some(live)) => match rooms.let_go(key, Some(&live)) {
                Gone::All => return,
                // The courier that was to take them has just ended; there will be another, or none is needed.
                Gone::ButForTheRoom => tokio::task::yield_now().await,
            },
            Ok(None) => return rooms.refuse_line(key, || Refused::NotFound),
            Err(error) => {
                tracing::warn!(room.id = %key.1, %error, "a room that commands wait for cannot be read");
                return rooms.refuse_line(key, unreadable);
            }
        }
    }
}

/// The lane that a command belongs to, if it has to keep an order.
fn key(asked: &Asked) -> Option<Key> {
    Some((asked.lane.as_ref()?.turn().connection, asked.room))
}

/// Takes a command out of those under way, without letting others go; whether it was among them.
fn take_ticket(asked: &mut Asked) -> bool {
    match asked.held().ticket.take() {
        None => false,
        Some(mut ticket) => {
            ticket.is_back = true;
            true
        }
    }
}
