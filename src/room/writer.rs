//! The writer of a live room: decides, numbers and appends what is asked of it, many at a time.
//!
//! While one append is under way whatever comes in waits, so the batch grows with the latency of the store
//! and there is no timer. The rules that keep the log without holes and without doubles stand in
//! docs/ARCHITECTURE.md ("The log"); the short of it: a position is tried only behind a committed one, and what
//! may have been stored is only ever sent again as it was.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::{Change, Command, Committed, Members, Refused};
use super::live::Shared;
use crate::domain::event::Event;
use crate::domain::room::Tail;
use crate::domain::{Body, RoomId, Seq, Timestamp, UserId};
use crate::store::{Appended, StoreError};

/// Commands that wait in a room; beyond it they are refused as `overloaded`.
pub(crate) const QUEUE: usize = 1024;

/// Changes of membership that wait ahead of everything else.
const HEAD_QUEUE: usize = 64;

/// Events in one append.
const BATCH: usize = 256;

/// Bytes in one append, by [`Body::weight`].
const BATCH_BYTES: usize = 512 * 1024;

/// How long a command may take before its sender is told that the outcome is unknown.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// How long an append whose outcome is unknown is tried again.
const GIVE_UP: Duration = Duration::from_secs(600);

/// Events read at once when another writer was first.
const PAGE: u32 = 500;

/// Tells the sender what became of a command. Called exactly once.
pub type Reply = Box<dyn FnOnce(Result<Committed, Refused>) + Send>;

/// A command that waits.
pub(crate) struct Queued {
    command: Command,
    reply: Reply,
    deadline: Instant,
    _pending: Pending,
}

/// Counts a command among those without an answer, as long as it lives.
struct Pending(Arc<Shared>);

impl Pending {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.pending.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where commands for one room go in.
pub(crate) struct Inbox {
    head: mpsc::Sender<Queued>,
    tail: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
}

impl Inbox {
    /// Queues `command`; changes of membership go ahead of messages. Waits for a place until the deadline of the command.
    pub(crate) async fn send(&self, command: Command, reply: Reply) {
        let deadline = Instant::now() + DEADLINE;
        let lane = match command.change {
            Change::Post(_) | Change::Clear | Change::Update { .. } => &self.tail,
            Change::Add(_) | Change::Remove { .. } | Change::Delete => &self.head,
        };
        let queued = Queued { command, reply, deadline, _pending: Pending::new(&self.shared) };
        match tokio::time::timeout_at(deadline, lane.reserve()).await {
            Ok(Ok(permit)) => permit.send(queued),
            Ok(Err(_)) | Err(_) => {
                self.shared.metrics.queue_refused("writer");
                (queued.reply)(Err(Refused::Overloaded));
            }
        }
    }
}

/// Starts the writer of a room. It ends when every inbox is dropped.
pub(crate) fn start(room: RoomId, shared: Arc<Shared>) -> Inbox {
    let (head, head_queue) = mpsc::channel(HEAD_QUEUE);
    let (tail, tail_queue) = mpsc::channel(QUEUE);
    let inbox = Inbox { head, tail, shared: Arc::clone(&shared) };
    let writer = Writer {
        room,
        shared,
        state: None,
        barred: HashMap::new(),
        head: head_queue,
        tail: tail_queue,
    };
    tokio::spawn(writer.run());
    inbox
}

struct Writer {
    room: RoomId,
    shared: Arc<Shared>,
    /// What is known as of the tail; `None` before the first command, and after an outcome stayed unknown.
    state: Option<Known>,
    /// Senders to whom something was refused that they are invited to send again, and when: what they had queued behind it by
    /// then is refused too, or the two would change places.
    barred: HashMap<UserId, Instant>,
    head: mpsc::Receiver<Queued>,
    tail: mpsc::Receiver<Queued>,
}

#[derive(Clone)]
struct Known {
    members: Members,
    tail: Tail,
}

/// A command with the event that it has become.
struct Numbered {
    queued: Queued,
    event: Event,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.receive(&mut batch).await {
            let waiting: VecDeque<Queued> = batch.drain(..).collect();
            self.decide(waiting).await;
            // Nothing older than a deadline waits any more.
            self.barred.retain(|_, since| since.elapsed() < 2 * DEADLINE);
        }
    }

    /// Takes the first command that comes and whatever waits behind it, changes of membership first.
    async fn receive(&mut self, batch: &mut Vec<Queued>) -> bool {
        tokio::select! {
            biased;
            Some(queued) = self.head.recv() => batch.push(queued),
            Some(queued) = self.tail.recv() => batch.push(queued),
            else => return false,
        }
        let mut bytes = batch.iter().map(weight).sum::<usize>();
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let next = self.head.try_recv().or_else(|_| self.tail.try_recv());
            let Ok(queued) = next else { break };
            bytes += weight(&queued);
            batch.push(queued);
        }
        true
    }

    /// Carries out what waits, until each command has its answer.
    async fn decide(&mut self, mut waiting: VecDeque<Queued>) {
        while !waiting.is_empty() {
            if let Err(fail) = self.learn().await {
                return self.refuse_all(waiting, &fail);
            }
            let numbered = self.number(&mut waiting).await;
            if numbered.is_empty() {
                continue;
            }
            waiting = self.append(numbered, waiting).await;
        }
    }

    fn refuse_all(&mut self, waiting: VecDeque<Queued>, fail: &Fail) {
        for queued in waiting {
            let refused = match fail {
                Fail::Gone => Refused::NotFound,
                Fail::Unavailable => {
                    self.barred.insert(queued.command.sender, Instant::now());
                    Refused::Unavailable(StoreError::Unavailable("the room cannot be read".into()))
                }
            };
            (queued.reply)(Err(refused));
        }
    }

    /// Makes sure that the members and the tail are known.
    async fn learn(&mut self) -> Result<(), Fail> {
        if self.state.is_some() {
            return Ok(());
        }
        match self.shared.store.room_state(self.room).await {
            Ok(Some(state)) => {
                let tail = state.tail;
                self.state = Some(Known { members: Members::new(state), tail });
                self.deliver_through(tail.seq).await;
                Ok(())
            }
            Ok(None) => Err(Fail::Gone),
            Err(error) => {
                tracing::warn!(room.id = %self.room, %error, "the state of a room cannot be read");
                Err(Fail::Unavailable)
            }
        }
    }

    /// Decides each command against the state that those before it leave behind, and numbers what is to be
    /// appended. Refusals are told here.
    async fn number(&mut self, waiting: &mut VecDeque<Queued>) -> Vec<Numbered> {
        let Some(known) = &self.state else { return Vec::new() };
        let Known { mut members, mut tail } = known.clone();
        let mut numbered = Vec::with_capacity(waiting.len());
        while let Some(queued) = waiting.pop_front() {
            if is_barred(&self.barred, &queued) {
                (queued.reply)(Err(Refused::Overloaded));
                continue;
            }
            if queued.deadline <= Instant::now() {
                self.barred.insert(queued.command.sender, Instant::now());
                self.shared.metrics.queue_refused("writer");
                (queued.reply)(Err(Refused::Overloaded));
                continue;
            }
            match members.authorise(&queued.command, tail.seq) {
                Ok(body) => {
                    members.apply(&body);
                    let event = next_event(self.room, &mut tail, &queued.command, body);
                    numbered.push(Numbered { queued, event });
                }
                Err(refused) => self.refuse(queued, refused).await,
            }
        }
        numbered
    }

    /// Tells a refusal, unless the command is a retry of what was stored while it was allowed.
    async fn refuse(&self, queued: Queued, refused: Refused) {
        let Command { sender, client_id, change, .. } = &queued.command;
        if let (Change::Post(_), Some(_)) = (change, client_id.given()) {
            let stored = self.shared.store.event_by_client_id(self.room, *sender, client_id).await;
            if let Ok(Some(event)) = stored {
                let outcome = as_repeated(event, &queued.command);
                return (queued.reply)(outcome);
            }
        }
        (queued.reply)(Err(refused));
    }

    /// Appends what is numbered, until its outcome is known. Answers with what has to be decided again, ahead of what waits.
    async fn append(
        &mut self,
        mut numbered: Vec<Numbered>,
        mut waiting: VecDeque<Queued>,
    ) -> VecDeque<Queued> {
        let appended = self.append_until_decided(&mut numbered).await;
        match appended {
            Appended::All => self.committed(numbered).await,
            Appended::PositionTaken { index } => {
                let rest = numbered.split_off(index.min(numbered.len()));
                self.committed(numbered).await;
                self.catch_up().await;
                put_back(rest, &mut waiting);
            }
            Appended::ClientIdTaken { index } => {
                let mut rest = numbered.split_off(index.min(numbered.len()));
                self.committed(numbered).await;
                if !rest.is_empty() {
                    let repeated = rest.remove(0);
                    self.repeated(repeated).await;
                }
                put_back(rest, &mut waiting);
            }
            Appended::Unknown(_) => {
                tell_unknown(&mut numbered);
                self.state = None;
            }
        }
        waiting
    }

    /// Hands the events to the store, and the same ones again as long as it is not known what became of them.
    async fn append_until_decided(&self, numbered: &mut [Numbered]) -> Appended {
        let events: Vec<Event> = numbered.iter().map(|one| one.event.clone()).collect();
        let started = Instant::now();
        let mut is_uncertain = false;
        let appended = loop {
            match self.shared.store.append(&events).await {
                Appended::Unknown(error) if started.elapsed() < GIVE_UP => {
                    tracing::warn!(room.id = %self.room, %error, "the outcome of an append is unknown");
                    is_uncertain = true;
                }
                Appended::PositionTaken { index } if is_uncertain => {
                    // Perhaps by an earlier one of these very attempts.
                    match self.own(&events[index.min(events.len())..]).await {
                        Ok(0) => break Appended::PositionTaken { index },
                        Ok(own) if index + own == events.len() => break Appended::All,
                        Ok(own) => break Appended::PositionTaken { index: index + own },
                        Err(error) => {
                            tracing::warn!(room.id = %self.room, %error, "an unknown outcome cannot be looked up");
                        }
                    }
                }
                decided => break decided,
            }
            if started.elapsed() >= DEADLINE {
                tell_unknown(numbered);
            }
            tokio::time::sleep(backoff(started.elapsed())).await;
        };
        self.shared.metrics.appended(appended.label(), events.len(), started.elapsed());
        appended
    }

    /// How many of `events`, from the first on, stand in the log as these very ones.
    async fn own(&self, events: &[Event]) -> Result<usize, StoreError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(0) };
        let after = Seq(first.seq.0 - 1);
        let limit = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let stored = self.shared.store.events(self.room, after, last.seq, limit).await?;
        Ok(events.iter().zip(&stored).take_while(|(own, stored)| own.nonce == stored.nonce).count())
    }

    /// Takes in what is durable: state, then the room, then the answers. So whoever is told a position finds
    /// that this node has delivered up to it.
    async fn committed(&mut self, numbered: Vec<Numbered>) {
        let Some(known) = &mut self.state else { return };
        let mut events = Vec::with_capacity(numbered.len());
        for Numbered { queued, event } in numbered {
            known.members.apply(&event.body);
            known.tail = tail_at(&event);
            if matches!(event.body, Body::Message(_)) {
                self.shared.metrics.messages_stored.inc();
            }
            let event = Arc::new(event);
            (queued.reply)(Ok(Committed { event: Arc::clone(&event), repeated: false }));
            events.push(event);
        }
        self.shared.announce(&events).await;
    }

    /// Answers a retry with what was stored the first time.
    async fn repeated(&self, Numbered { queued, .. }: Numbered) {
        let Command { sender, client_id, .. } = &queued.command;
        let stored = self.shared.store.event_by_client_id(self.room, *sender, client_id).await;
        let outcome = match stored {
            Ok(Some(event)) => as_repeated(event, &queued.command),
            Ok(None) => Err(Refused::Unknown),
            Err(error) => Err(Refused::Unavailable(error)),
        };
        (queued.reply)(outcome);
    }

    /// Reads and applies what another writer has appended.
    async fn catch_up(&mut self) {
        let Some(known) = &mut self.state else { return };
        let mut found = false;
        loop {
            let after = known.tail.seq;
            let page = self.shared.store.events(self.room, after, Seq(u64::MAX), PAGE).await;
            let events = match page {
                Ok(events) if !events.is_empty() => events,
                Ok(_) if found => return,
                Ok(_) | Err(_) => {
                    // Taken, and yet nothing to be read: the room is deleted, or the store in trouble.
                    // Learned anew; the deadlines of the commands bound how often.
                    self.state = None;
                    return tokio::time::sleep(backoff(Duration::ZERO)).await;
                }
            };
            found = true;
            for event in &events {
                known.members.apply(&event.body);
                known.tail = tail_at(event);
            }
            let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
            self.shared.deliver(&events).await;
        }
    }

    /// Makes sure that the feed has what the log holds up to `tail`.
    async fn deliver_through(&self, tail: Seq) {
        self.shared.repair(tail).await;
    }
}

/// Why nothing can be decided.
enum Fail {
    Gone,
    Unavailable,
}

/// Whether something that its sender had queued before was refused while it waited.
fn is_barred(barred: &HashMap<UserId, Instant>, queued: &Queued) -> bool {
    barred.get(&queued.command.sender).is_some_and(|since| queued.deadline <= *since + DEADLINE)
}

/// Tells every sender that the outcome is not known; the answers are spent.
fn tell_unknown(numbered: &mut [Numbered]) {
    for one in numbered {
        let reply = std::mem::replace(&mut one.queued.reply, Box::new(|_| {}));
        reply(Err(Refused::Unknown));
    }
}

fn put_back(rest: Vec<Numbered>, waiting: &mut VecDeque<Queued>) {
    for one in rest.into_iter().rev() {
        waiting.push_front(one.queued);
    }
}

fn as_repeated(event: Event, command: &Command) -> Result<Committed, Refused> {
    let stored = match &event.body {
        Body::Message(message) => Some(message.digest),
        Body::Gone { digest } => Some(*digest),
        _ => None,
    };
    match &command.change {
        Change::Post(message) if stored == Some(message.digest) => {
            Ok(Committed { event: Arc::new(event), repeated: true })
        }
        _ => Err(Refused::ClientIdConflict),
    }
}

fn next_event(room: RoomId, tail: &mut Tail, command: &Command, body: Body) -> Event {
    tail.seq = tail.seq.next();
    tail.ordinal += u64::from(body.is_message());
    tail.timestamp = tail.timestamp.max(Timestamp::now());
    Event {
        room,
        seq: tail.seq,
        ordinal: tail.ordinal,
        sender: command.sender,
        nonce: command.nonce,
        client_id: Some(command.client_id.clone()),
        timestamp: tail.timestamp,
        body,
    }
}

fn tail_at(event: &Event) -> Tail {
    Tail { seq: event.seq, ordinal: event.ordinal, timestamp: event.timestamp }
}

fn weight(queued: &Queued) -> usize {
    match &queued.command.change {
        Change::Post(message) => 256 + message.text.len(),
        _ => 256,
    }
}

/// 50 ms at first, then a tenth of the time that has passed, at most 5 s.
fn backoff(elapsed: Duration) -> Duration {
    (elapsed / 10).clamp(Duration::from_millis(50), Duration::from_secs(5))
}
