//! Brings the commands of this node to one owner of rooms, and what became of them back.
//!
//! What waits while a request is on its way travels in the next, so requests grow with the latency of the bus. The next
//! leaves once the owner has confirmed that it got the last: then it has taken each command of it, in order, or said of
//! which it does not. One whose result never comes is brought back, to be tried here as the same attempt.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::asked::Asked;
use super::command::Refused;
use super::errands::{Errand, Heard, Inquiry};
use super::peers::Peers;
use super::ways::Direct;
use super::wire::{Outcome, Parcel, Progress, raw};
use super::writer::{BATCH, DEADLINE};
use super::{Inner, Rooms};
use crate::bus::Link;
use crate::domain::BootId;
use crate::metrics::FullQueue;

/// Commands for one owner without an answer; beyond it they wait for a place, and are refused as `overloaded` at
/// their deadline.
pub(super) const QUEUE: usize = 4096;

/// How long an owner has to confirm that it got a request.
const RECEIPT: Duration = Duration::from_millis(250);

/// For how long an owner is not asked that has not done so, or was not there.
const DOUBT: Duration = Duration::from_secs(1);

/// How often an owner that has not said yet what became of something is asked whether it is still there.
const PROBE: Duration = Duration::from_millis(500);

/// How often a command may be sent to an owner that does not take it, before it goes the direct way.
const BOUNCES: u8 = 2;

/// Brings commands to one owner.
pub(super) struct Courier {
    pub(super) owner: BootId,
    /// Has no bound of its own: everything in it holds a place.
    queue: mpsc::UnboundedSender<Box<Asked>>,
    places: Arc<Semaphore>,
    /// Since when the owner is in doubt.
    doubted: Mutex<Option<Instant>>,
    /// Rises when no result can come any more of what is under way.
    lost: watch::Sender<u64>,
    /// Requests of which results are still to come.
    under_way: AtomicUsize,
}

impl Courier {
    /// A courier of `rooms` to `owner`. It ends when the owner is dead.
    pub(super) fn start(rooms: &Rooms, owner: BootId) -> Arc<Self> {
        let (queue, asked) = mpsc::unbounded_channel();
        let courier = Arc::new(Self {
            owner,
            queue,
            places: Arc::new(Semaphore::new(QUEUE)),
            doubted: Mutex::default(),
            lost: watch::Sender::default(),
            under_way: AtomicUsize::new(0),
        });
        let rounds = Rounds {
            rooms: Arc::downgrade(&rooms.0),
            peers: rooms.0.peers.clone(),
            courier: Arc::clone(&courier),
            queue: asked,
            left_over: None,
        };
        rooms.0.ways.runtime.spawn(rounds.run());
        courier
    }

    /// A place for a command; `None` if there is none until `deadline`.
    pub(super) async fn place(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::time::timeout_at(deadline, place).await.ok()?.ok()
    }

    /// Queues a command that has a place somewhere.
    ///
    /// # Errors
    ///
    /// The command, if the courier has ended.
    pub(super) fn push(&self, asked: Box<Asked>) -> Result<(), Box<Asked>> {
        self.queue.send(asked).map_err(|refused| refused.0)
    }

    /// How many commands have a place.
    pub(super) fn waiting(&self) -> usize {
        QUEUE - self.places.available_permits()
    }

    /// Whether it takes nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        self.queue.is_closed()
    }

    /// Whether the owner has not answered a moment ago.
    pub(super) fn is_in_doubt(&self) -> bool {
        let doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.is_some_and(|since| since.elapsed() < DOUBT)
    }

    fn doubt(&self) {
        *self.doubted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Brings everything back that is under way.
    fn lose(&self) {
        self.lost.send_modify(|times| *times += 1);
    }
}

/// A command as it travels.
type Packed = (Box<Asked>, Box<RawValue>);

/// The rounds of a courier.
struct Rounds {
    rooms: Weak<Inner>,
    peers: Peers,
    courier: Arc<Courier>,
    queue: mpsc::UnboundedReceiver<Box<Asked>>,
    /// What had no place in the last request.
    left_over: Option<Box<Asked>>,
}

impl Rounds {
    async fn run(mut self) {
        let mut changes = self.peers.nodes().changes();
        let mut link = self.peers.link();
        loop {
            if self.left_over.is_some() {
                self.carry(None).await;
                continue;
            }
            let is_waited_for = self.courier.under_way.load(Ordering::SeqCst) > 0;
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    let is_known = self.peers.nodes().other(self.courier.owner).is_some();
                    if changed.is_err() || !is_known {
                        break;
                    }
                }
                Ok(()) = link.changed() => {
                    if !link_is_up(&link) {
                        self.courier.lose();
                    }
                }
                asked = self.queue.recv() => match asked {
                    Some(asked) => self.carry(Some(asked)).await,
                    None => break,
                },
                () = tokio::time::sleep(PROBE), if is_waited_for => self.probe().await,
            }
        }
        self.end().await;
    }

    /// Brings everything back: the owner is dead.
    async fn end(mut self) {
        self.queue.close();
        self.courier.lose();
        let Some(inner) = self.rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        rooms.0.ways.dismiss(&self.courier);
        while let Some(asked) = self.queue.recv().await {
            rooms.take_back(asked, None);
        }
    }

    /// Asks the owner whether it is still there.
    async fn probe(&mut self) {
        let mut inquiry = self.peers.ask(self.courier.owner, &Errand::Hello);
        if let Ok(Heard::Nobody) = timeout(RECEIPT, inquiry.next::<()>()).await {
            self.is_not_there();
        }
    }

    fn is_not_there(&self) {
        self.courier.doubt();
        self.courier.lose();
    }

    /// Brings what waits to the owner, as much as one request holds, and waits for the receipt.
    async fn carry(&mut self, first: Option<Box<Asked>>) {
        let Some(packed) = self.pack(first).filter(|packed| !packed.is_empty()) else { return };
        let (asked, commands): (Vec<Box<Asked>>, Vec<Box<RawValue>>) = packed.into_iter().unzip();
        let by = Instant::now() + RECEIPT + DEADLINE;
        let lost = self.courier.lost.subscribe();
        let mut inquiry = self.peers.ask(self.courier.owner, &Errand::Commit { commands });
        let heard = timeout(RECEIPT, inquiry.next::<Progress>()).await;
        let Some(inner) = self.rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        match heard {
            Ok(Heard::Answer(receipt)) => {
                let mut request = Request {
                    rooms: Weak::clone(&self.rooms),
                    courier: Arc::clone(&self.courier),
                    asked: asked.into_iter().map(Some).collect(),
                };
                rooms.0.metrics.cluster.forwarded_commands.inc_by(request.asked.len() as u64);
                // Before the next leaves: what is not taken must not be overtaken.
                request.take(&rooms, receipt);
                if !request.is_done() {
                    self.courier.under_way.fetch_add(1, Ordering::SeqCst);
                    rooms.0.ways.runtime.spawn(request.follow(inquiry, lost, by));
                }
            }
            Ok(Heard::Nobody) => {
                self.is_not_there();
                for asked in asked {
                    rooms.take_back(asked, Some(Direct::NoResponders));
                }
            }
            Ok(Heard::Ended) | Err(_) => {
                self.courier.doubt();
                for mut asked in asked {
                    asked.is_again = true;
                    rooms.take_back(asked, Some(Direct::NoReceipt));
                }
            }
        }
    }

    /// As much of what waits as one request holds. `None` if the rooms are gone.
    fn pack(&mut self, mut first: Option<Box<Asked>>) -> Option<Vec<Packed>> {
        let rooms = Rooms(self.rooms.upgrade()?);
        let most = self.peers.payload_limit();
        let mut bytes = 0;
        let mut packed: Vec<Packed> = Vec::new();
        while packed.len() < BATCH {
            let next = self.left_over.take().or_else(|| first.take());
            let Some(asked) = next.or_else(|| self.queue.try_recv().ok()) else { break };
            let Some((asked, parcel)) = self.pack_one(&rooms, asked, most) else { continue };
            bytes += parcel.get().len() + 1;
            if bytes > most && !packed.is_empty() {
                self.left_over = Some(asked);
                break;
            }
            packed.push((asked, parcel));
        }
        Some(packed)
    }

    /// A command as it travels; `None` if it must not, or not with this courier.
    fn pack_one(&self, rooms: &Rooms, mut asked: Box<Asked>, most: usize) -> Option<Packed> {
        if asked.is_over() {
            asked.refuse(Refused::Overloaded);
            return None;
        }
        if asked.deadline <= Instant::now() {
            rooms.0.metrics.queues.refused.of(FullQueue::Courier).inc();
            asked.refuse(Refused::Overloaded);
            return None;
        }
        if !rooms.leads_to(asked.room, self.courier.owner) || rooms.is_behind(&asked) {
            rooms.take_back(asked, None);
            return None;
        }
        let parcel = raw(&Parcel::new(asked.room, asked.turn, &asked.command).traced(asked.trace));
        if parcel.get().len() > most {
            rooms.take_back(asked, Some(Direct::TooLarge));
            return None;
        }
        Some((asked, parcel))
    }
}

fn link_is_up(link: &watch::Receiver<Link>) -> bool {
    link.borrow().is_up
}

/// A request that the owner has, and those that wait for its results.
struct Request {
    rooms: Weak<Inner>,
    courier: Arc<Courier>,
    asked: Vec<Option<Box<Asked>>>,
}

impl Request {
    fn is_done(&self) -> bool {
        self.asked.iter().all(Option::is_none)
    }

    /// Takes in results until all are there, `by` has come, or the owner is lost; then brings the rest back.
    async fn follow(mut self, mut inquiry: Inquiry, mut lost: watch::Receiver<u64>, by: Instant) {
        while !self.is_done() {
            let heard = tokio::select! {
                biased;
                heard = inquiry.next::<Progress>() => heard,
                _ = lost.changed() => break,
                () = tokio::time::sleep_until(by) => break,
            };
            let (Heard::Answer(progress), Some(inner)) = (heard, self.rooms.upgrade()) else {
                break;
            };
            self.take(&Rooms(inner), progress);
        }
        self.courier.under_way.fetch_sub(1, Ordering::SeqCst);
        let Some(inner) = self.rooms.upgrade() else { return };
        let rooms = Rooms(inner);
        for mut asked in self.asked.into_iter().flatten() {
            asked.is_again = true;
            rooms.take_back(asked, Some(Direct::NoResult));
        }
    }

    /// Tells what became of some of the commands.
    fn take(&mut self, rooms: &Rooms, progress: Progress) {
        for (nth, outcome) in progress.done {
            let Some(place) = self.asked.get_mut(nth) else { continue };
            let Some(asked) = place.take() else { continue };
            let outcome = serde_json::from_str::<Outcome>(outcome.get()).ok();
            let outcome = outcome.and_then(|outcome| outcome.open(asked.room).ok());
            let Some(outcome) = outcome else {
                // It finds out by itself, when no other comes.
                tracing::warn!(node.id = %self.courier.owner, "a result is not understood");
                *place = Some(asked);
                continue;
            };
            match outcome {
                Some(outcome) => rooms.tell(asked, outcome),
                None => rooms.bounce(asked),
            }
        }
    }
}

impl Rooms {
    /// Answers a command that an owner has decided, once this node has delivered up to what was stored.
    fn tell(&self, mut asked: Box<Asked>, outcome: Result<super::Committed, Refused>) {
        match (&outcome, self.peek(asked.room)) {
            (Ok(committed), Some(live)) => {
                let seq = committed.event.seq;
                live.shared.when_delivered(seq, Box::new(move || asked.tell(outcome)));
            }
            _ => asked.tell(outcome),
        }
    }

    /// Takes a command back that its owner does not take: another does, or nobody.
    fn bounce(&self, mut asked: Box<Asked>) {
        asked.bounces += 1;
        let is_over = asked.bounces >= BOUNCES;
        self.take_back(asked, is_over.then_some(Direct::Bounced));
    }
}
