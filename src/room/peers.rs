//! The live rooms of other nodes: what they are told of what happens here, and what happens here for what they tell.
//!
//! All of it is a hint. A frame that is lost leaves a gap that the next one shows, and the feed repairs it from the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::echoes::Echoes;
use super::live::{Commit, LiveRoom, Shared};
use super::presence::CROWD;
use super::{Inner, Rooms};
use crate::bus::codec::{Frame, Present, Signal, Word};
use crate::bus::seal::{MAX_AGE, Opened, Replays, Seal};
use crate::bus::{DynBus, Link, Replies, Subject, Subscription};
use crate::domain::{BootId, Epoch, Event, Generation, RoomId, Seq, Timestamp, UserId};
use crate::nodes::Nodes;
use crate::telemetry::{Kind, Span, Steps, Telemetry, Trace};

/// The fleeting events that nodes tell each other of.
const NAMES: [&str; 4] = ["typing", "read_marker", "join_request", "join_request_handled"];

/// How long after a room has become live its tail is read again.
const ASK_AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// This node's place on the bus.
#[derive(Clone)]
pub struct Peers {
    bus: DynBus,
    link: watch::Receiver<Link>,
    seal: Seal,
    nodes: Nodes,
    epoch: Epoch,
    pub(super) echoes: Echoes,
    /// Stirred when another node tells of another epoch.
    pub(super) doubts: Arc<Notify>,
    telemetry: Telemetry,
    /// Numbers the changes of presence.
    numbers: Arc<AtomicU64>,
}

impl Peers {
    /// The place of the node whose seal it is, among `nodes`, and whose positions belong to `epoch`.
    pub fn new(bus: DynBus, seal: Seal, nodes: Nodes, epoch: Epoch) -> Self {
        let link = bus.link();
        let (echoes, doubts, numbers) = (Echoes::default(), Arc::default(), Arc::default());
        let telemetry = Telemetry::default();
        Self { bus, link, seal, nodes, epoch, echoes, doubts, telemetry, numbers }
    }

    /// The same; what is traced is told by `telemetry`.
    pub(crate) fn traced(self, telemetry: Telemetry) -> Self {
        Self { telemetry, ..self }
    }

    /// Where traces go.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Whether none of them is reached.
    pub(crate) fn is_cut_off(&self) -> bool {
        !self.link.borrow().is_up || !self.nodes.is_link_up()
    }

    /// The node that is to append in `room`; `None` if it is this one.
    pub(crate) fn owner_of(&self, room: RoomId) -> Option<BootId> {
        self.nodes.owner_of(room.as_bytes())
    }

    /// Bytes of what is gathered into one message.
    pub(crate) fn payload_limit(&self) -> usize {
        self.bus.max_payload() / 2
    }

    /// The nodes of the cluster.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Tells of what has been stored in a room.
    pub(crate) fn tell_events(&self, room: RoomId, events: &[Arc<Event>], steps: &Steps) {
        if let (true, Some(last)) = (self.bus.reaches_others(), events.last()) {
            self.echoes.note(room, last.seq, Instant::now());
            let limit = self.payload_limit();
            let subject = Subject::room_events(room);
            let begin = |(_, trace): &(Seq, Trace)| {
                self.telemetry.go_on("publish", Kind::Says, Some(*trace))
            };
            let publishing: Vec<Span> = steps.iter().map(begin).collect();
            // Another node's trace goes on even if this one tells nothing of it.
            let follow = |((seq, trace), span): (&(Seq, Trace), &Span)| {
                (*seq, span.place().unwrap_or(*trace))
            };
            let steps = steps.iter().zip(&publishing).map(follow).collect();
            for mut frame in Frame::split(self.epoch, room, events.iter().map(Arc::as_ref), limit) {
                frame.carry(&steps);
                self.publish(&subject, &frame);
            }
        }
    }

    /// Tells how far the log of a room goes.
    pub(crate) fn tell_tail(&self, room: RoomId, tail: Seq) {
        self.publish(&Subject::room_events(room), &Frame::tail(self.epoch, room, tail));
    }

    /// Whether the bus is there.
    pub(crate) fn is_link_up(&self) -> bool {
        self.link.borrow().is_up
    }

    /// Whether there can be other nodes.
    pub(crate) fn reach_others(&self) -> bool {
        self.bus.reaches_others()
    }

    /// How the link is, and word of when that changes.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// A number that is larger than every one before it.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells those who are present in a room, on other nodes.
    pub(crate) fn tell_present(
        &self,
        room: RoomId,
        name: &str,
        except: UserId,
        payload: &RawValue,
    ) {
        if self.bus.reaches_others() {
            let (name, payload) = (name.to_owned(), payload.to_owned());
            let signal = Signal::Told { name, except, payload };
            self.publish(&Subject::room_signals(room), &signal);
        }
    }

    /// Tells the other nodes who is present in a room through this one.
    pub(crate) fn tell_presence(&self, room: RoomId, present: Present) {
        if self.bus.reaches_others() {
            self.publish(&Subject::room_signals(room), &Signal::Present(present));
        }
    }

    /// Asks something of the nodes that listen to the signals of a room.
    pub(crate) fn request_in(&self, room: RoomId, question: &Signal) -> Replies {
        let subject = Subject::room_signals(room);
        self.bus.request(&subject, self.seal.seal(&subject, question))
    }

    /// What `payload`, which came among the signals of a room, says, unless it is old or this node says it.
    pub(crate) fn heard_signal(&self, room: RoomId, payload: &[u8]) -> Option<Opened<Signal>> {
        let opened = self.heard(&Subject::room_signals(room), payload)?;
        let age = u128::from(Timestamp::now().0.abs_diff(opened.at.0));
        (age <= MAX_AGE.as_millis()).then_some(opened)
    }

    /// Says something to the other nodes that have connections of a user.
    pub(crate) fn say(&self, user: UserId, word: impl FnOnce() -> Word) {
        if self.bus.reaches_others() {
            self.publish(&Subject::user(user), &word());
        }
    }

    /// Listens for the events of a room from now on; `None` if there is nobody to be heard.
    pub(crate) fn listen(&self, room: RoomId) -> Option<Subscription> {
        self.bus.reaches_others().then(|| self.bus.subscribe(&Subject::room_events(room)))
    }

    /// Listens for the signals of a room from now on.
    pub(crate) fn listen_to_signals(&self, room: RoomId) -> Subscription {
        self.bus.subscribe(&Subject::room_signals(room))
    }

    /// Returns once what is said from then on is heard.
    pub(crate) async fn settled(&self) {
        self.bus.settled().await;
    }

    /// Listens for a user from now on; `None` if there is nobody to be heard.
    pub(crate) fn listen_for(&self, user: UserId) -> Option<Subscription> {
        self.bus.reaches_others().then(|| self.bus.subscribe(&Subject::user(user)))
    }

    /// Listens for what other nodes ask of this one; `None` if there is nobody who could.
    pub(crate) fn listen_for_errands(&self) -> Option<Subscription> {
        let subject = Subject::node(self.nodes.me());
        self.bus.reaches_others().then(|| self.bus.subscribe(&subject))
    }

    /// Sends `request` to `node`, as something that counts once.
    pub(crate) fn request(&self, node: BootId, request: &impl serde::Serialize) -> Replies {
        let subject = Subject::node(node);
        self.bus.request(&subject, self.seal.seal_once(&subject, request))
    }

    /// What `payload`, which came on this node's own subject, asks, if that is a node's of this cluster and new.
    pub(crate) fn asked<T: serde::de::DeserializeOwned>(
        &self,
        payload: &[u8],
        replays: &mut Replays,
        now: Timestamp,
    ) -> Option<Opened<T>> {
        self.seal.open_once(&Subject::node(self.nodes.me()), payload, replays, now).ok()
    }

    /// Sends an answer to what `node` has asked.
    pub(crate) fn answer(&self, node: BootId, reply: &Subject, answer: &impl serde::Serialize) {
        self.bus.publish(reply, self.seal.seal(&Subject::answers(node), answer));
    }

    /// What an answer to this node says, and who says it.
    pub(crate) fn opened<T: serde::de::DeserializeOwned>(
        &self,
        payload: &[u8],
    ) -> Option<Opened<T>> {
        self.seal.open(&Subject::answers(self.nodes.me()), payload).ok()
    }

    fn publish(&self, subject: &Subject, body: &impl serde::Serialize) {
        self.bus.publish(subject, self.seal.seal(subject, body));
    }

    /// What `payload`, which came on `subject`, says, unless this node says it.
    fn heard<T: serde::de::DeserializeOwned>(
        &self,
        subject: &Subject,
        payload: &[u8],
    ) -> Option<Opened<T>> {
        self.seal.open_of_others::<T>(subject, payload).ok()?
    }
}

/// Takes in what other nodes tell of the events of a room, as long as it is live.
pub(crate) async fn follow(peers: Peers, room: Weak<LiveRoom>, mut heard: Subscription) {
    let Some(id) = room.upgrade().map(|room| room.id) else { return };
    let subject = Subject::room_events(id);
    tokio::spawn(ask_again(Weak::clone(&room)));
    loop {
        tokio::select! {
            delivery = heard.next() => {
                let (Some(delivery), Some(room)) = (delivery, room.upgrade()) else { return };
                if let Some(frame) = peers.heard::<Frame>(&subject, &delivery.payload) {
                    take_frame(&peers, &room, frame).await;
                }
            }
            () = tokio::time::sleep(super::LINGER) => {
                if room.strong_count() == 0 {
                    return;
                }
            }
        }
    }
}

/// Reads on what was not heard at first: servers of a bus learn one after the other who listens where.
async fn ask_again(room: Weak<LiveRoom>) {
    let began = Instant::now();
    for after in ASK_AGAIN {
        tokio::time::sleep_until(began + after).await;
        let Some(room) = room.upgrade() else { return };
        match room.shared.store.tail(room.id).await {
            Ok(Some(tail)) => room.reach(tail.seq).await,
            Ok(None) => {}
            Err(error) => tracing::debug!(room.id = %room.id, %error, "a tail cannot be read"),
        }
    }
}

async fn take_frame(peers: &Peers, room: &LiveRoom, opened: Opened<Frame>) {
    let Opened { at, body: frame, .. } = opened;
    let steps = frame.steps();
    if frame.epoch != peers.epoch {
        // Of another life of the store: nothing in it is of this log, or this node is of the past.
        return peers.doubts.notify_one();
    }
    match frame.events() {
        Ok(events) if frame.room == room.id => {
            let events: Vec<_> = events.into_iter().map(Arc::new).collect();
            room.shared.deliver(&events, Some(Commit::elsewhere(at)), &steps).await;
            if let Some(tail) = frame.tail {
                room.reach(tail).await;
            }
        }
        Ok(_) | Err(_) => tracing::warn!(room.id = %room.id, "a frame is not of its room"),
    }
}

/// Takes in something fleeting.
pub(crate) fn take_told(
    shared: &Shared,
    name: &'static str,
    payload: Box<RawValue>,
    except: UserId,
) {
    // In a crowd nobody wants to know how far each of them has read, and the node that told it may not know of the crowd.
    if name != "read_marker" || shared.presence.count() <= CROWD {
        shared.presence.tell(name, &Arc::from(payload), except);
    }
}

/// Takes in what other nodes say to a user's connections, as long as there are any here.
pub(crate) async fn attend(rooms: Weak<Inner>, user: UserId, mut heard: Subscription) {
    let subject = Subject::user(user);
    while let Some(delivery) = heard.next().await {
        let Some(inner) = rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        if let Some(word) = rooms.0.peers.heard::<Word>(&subject, &delivery.payload) {
            take_word(&rooms, user, word.body);
        }
    }
}

fn take_word(rooms: &Rooms, user: UserId, word: Word) {
    match word {
        Word::Entered { room, seq } => rooms.0.hub.entered(user, room, seq),
        Word::Revoked { below } => rooms.revoke_here(user, below.map(Generation)),
        Word::Told { room, name, payload } => {
            if let Some(name) = known(&name) {
                rooms.tell_here(user, room, name, &Arc::from(payload));
            }
        }
    }
}

/// The name as this node knows it, if it does.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}
