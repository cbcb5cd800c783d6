//! The writer of a live room: decides, numbers and appends what is asked of it, many at a time.
//!
//! While one append is under way whatever comes in waits, so the batch grows with the latency of the store
//! and there is no timer. The rules that keep the log without holes and without doubles stand in
//! docs/ARCHITECTURE.md ("The log"); the short of it: a position is tried only behind a committed one, and what
//! may have been stored is only ever sent again as it was ([`super::append`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::append::backoff;
use super::asked::unreadable;
use super::command::{Change, Command, Committed, Members, Refused};
use super::inbox::{Inbox, Queue, Queued};
use super::lane::Bars;
use super::live::{Commit, Shared};
use crate::domain::event::Event;
use crate::domain::message::Digest;
use crate::domain::room::Tail;
use crate::domain::{Body, ConnectionId, Message, RoomId, Seq, Timestamp};
use crate::metrics::{FullQueue, Origin};
use crate::store::{Appended, StoreError};
use crate::telemetry::{Kind, Span, Steps, Trace};

/// Events in one append.
pub(super) const BATCH: usize = 256;

/// Bytes in one append, by a rough bound.
pub(super) const BATCH_BYTES: usize = 512 * 1024;

/// How long a command may take before its sender is told that the outcome is unknown.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Events read at once when another writer was first.
const PAGE: u32 = 500;

/// For how long another writer that was seen counts as there.
const RIVALRY: Duration = Duration::from_secs(1);

/// Milliseconds that a writer waits after an append if there is another: who has just appended knows the tail, and
/// would be first each time otherwise, at the cost of seconds for the others.
const GRACE: std::ops::RangeInclusive<u64> = 3..=6;

/// Starts the writer of a room. It ends when every inbox is dropped.
pub(super) fn start(room: RoomId, shared: Arc<Shared>) -> Inbox {
    let (inbox, queue) = Inbox::new(&shared);
    let writer = Writer {
        room,
        shared,
        state: None,
        bars: Bars::default(),
        queue,
        rival: None,
        has_won: false,
    };
    tokio::spawn(writer.run());
    inbox
}

pub(super) struct Writer {
    pub(super) room: RoomId,
    pub(super) shared: Arc<Shared>,
    /// What is known as of the tail; `None` before the first command, and after an outcome stayed unknown.
    state: Option<Known>,
    /// Runs in which something was refused that its sender is invited to send again: what follows it in the same run is
    /// refused too, or the two would change places.
    pub(super) bars: Bars<ConnectionId>,
    pub(super) queue: Queue,
    /// When another writer of the room was seen last.
    rival: Option<Instant>,
    /// Whether the last append was not preceded by another writer's.
    has_won: bool,
}

#[derive(Clone)]
struct Known {
    members: Members,
    tail: Tail,
}

/// A command with the event that it has become.
pub(super) struct Numbered {
    pub(super) queued: Queued,
    pub(super) event: Event,
    /// The step of its trace that what comes next follows from.
    pub(super) step: Option<Trace>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(waiting) = self.queue.next_batch().await {
            self.decide(waiting).await;
            self.bars.forget_old();
            self.give_way().await;
        }
    }

    /// Carries out what waits, until each command has its answer.
    async fn decide(&mut self, mut waiting: VecDeque<Queued>) {
        while !waiting.is_empty() {
            if let Err(fail) = self.learn().await {
                return self.refuse_all(waiting, &fail).await;
            }
            let numbered = self.number(&mut waiting).await;
            if numbered.is_empty() {
                continue;
            }
            waiting = self.append(numbered, waiting).await;
        }
    }

    /// Lets another writer get through, if this one was first and there is one: seen lately, or the room's owner, whom this
    /// node does not reach.
    async fn give_way(&mut self) {
        let is_rival_near = self.rival.is_some_and(|seen| seen.elapsed() < RIVALRY);
        if std::mem::take(&mut self.has_won) && (is_rival_near || !self.shared.is_owned_here()) {
            let grace = Duration::from_millis(rand::random_range(GRACE));
            tokio::time::sleep(grace).await;
        }
    }

    async fn refuse_all(&mut self, waiting: VecDeque<Queued>, fail: &Fail) {
        for queued in waiting {
            let refused = match fail {
                Fail::Gone => Refused::NotFound,
                Fail::Unavailable => unreadable(),
            };
            self.refuse(queued, refused).await;
        }
    }

    /// Makes sure that the members and the tail are known, as far as this node has heard.
    async fn learn(&mut self) -> Result<(), Fail> {
        self.follow().await;
        if self.state.is_some() {
            return Ok(());
        }
        match self.shared.store.room_state(self.room).await {
            Ok(Some(state)) => {
                let tail = state.tail;
                self.state = Some(Known { members: Members::new(state), tail });
                self.shared.repair(tail.seq).await;
                Ok(())
            }
            Ok(None) => Err(Fail::Gone),
            Err(error) => {
                tracing::warn!(room.id = %self.room, %error, "the state of a room cannot be read");
                Err(Fail::Unavailable)
            }
        }
    }

    /// Applies what the feed has heard of another writer: it was committed before it was told.
    async fn follow(&mut self) {
        let Some(known) = &mut self.state else { return };
        if self.shared.feed.delivered() <= known.tail.seq {
            return;
        }
        self.rival = Some(Instant::now());
        match self.shared.feed.since(known.tail.seq) {
            Some(events) => events.iter().for_each(|event| known.take(event)),
            None => self.catch_up().await,
        }
    }

    /// Decides each command against the state that those before it leave behind, and numbers what is to be
    /// appended. Refusals are told here.
    async fn number(&mut self, waiting: &mut VecDeque<Queued>) -> Vec<Numbered> {
        let Some(known) = &self.state else { return Vec::new() };
        let Known { mut members, mut tail } = known.clone();
        let mut numbered = Vec::with_capacity(waiting.len());
        while let Some(queued) = waiting.pop_front() {
            let asked = &queued.asked;
            if self.is_barred(&queued) {
                self.refuse(queued, Refused::Overloaded).await;
                continue;
            }
            if asked.deadline <= Instant::now() {
                self.shared.metrics.queues.refused.of(FullQueue::Writer).inc();
                self.refuse(queued, Refused::Overloaded).await;
                continue;
            }
            match members.authorise(&asked.command, tail.seq) {
                Ok(body) => {
                    members.apply(&body);
                    let event = next_event(self.room, &mut tail, &asked.command, body);
                    numbered.push(Numbered { queued, event, step: None });
                }
                Err(refused) => self.refuse(queued, refused).await,
            }
        }
        numbered
    }

    /// Whether something before it in its run was refused that is to be sent again.
    fn is_barred(&self, queued: &Queued) -> bool {
        let turn = queued.asked.turn;
        turn.is_some_and(|turn| self.bars.is_barred(&turn.connection, turn.run))
    }

    /// Tells a refusal, unless what was asked stands in the log: stored while it was allowed, or on another way.
    async fn refuse(&mut self, queued: Queued, refused: Refused) {
        let Command { client_id, change, .. } = &queued.asked.command;
        let is_retry = matches!(change, Change::Post { .. }) && client_id.given().is_some();
        if queued.asked.is_again || (is_retry && !refused.is_for_now()) {
            match self.stored(&queued.asked.command).await {
                Ok(Some(event)) => return self.tell_repeated(queued, event).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(room.id = %self.room, %error, "a retry cannot be looked up");
                }
            }
        }
        self.refuse_unseen(queued, refused);
    }

    /// Tells a refusal without a look into the log.
    pub(super) fn refuse_unseen(&mut self, mut queued: Queued, refused: Refused) {
        if refused.is_for_now() || queued.asked.is_again {
            self.bar(&queued);
        }
        queued.asked.refuse(refused);
    }

    pub(super) fn bar(&mut self, queued: &Queued) {
        if let Some(turn) = queued.asked.turn {
            self.bars.bar(turn.connection, turn.run);
        }
    }

    /// Appends what is numbered, until its outcome is known. Answers with what has to be decided again, ahead of what waits.
    async fn append(
        &mut self,
        mut numbered: Vec<Numbered>,
        mut waiting: VecDeque<Queued>,
    ) -> VecDeque<Queued> {
        let mut steps = self.begin_commits(&mut numbered);
        let appended = self.append_until_decided(&mut numbered).await;
        steps.iter_mut().for_each(|step| step.note("natter.outcome", || appended.label()));
        drop(steps);
        self.has_won = !matches!(appended, Appended::PositionTaken { .. } | Appended::Unknown(_));
        match appended {
            Appended::All => self.committed(numbered).await,
            Appended::PositionTaken { index } => {
                let rest = numbered.split_off(index.min(numbered.len()));
                self.committed(numbered).await;
                self.rival = Some(Instant::now());
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
                self.tell_unknown(&mut numbered);
                self.state = None;
            }
        }
        waiting
    }

    /// Begins the steps of what is traced.
    fn begin_commits(&self, numbered: &mut [Numbered]) -> Vec<Span> {
        let (telemetry, batch) = (self.shared.peers.telemetry(), numbered.len());
        let traced = numbered.iter_mut().filter_map(|one| {
            let trace = one.queued.asked.trace?;
            let mut step = telemetry.go_on("commit", Kind::Within, Some(trace));
            step.count("natter.seq", one.event.seq.0);
            step.count("natter.batch", batch as u64);
            one.step = step.place().or(Some(trace));
            Some(step)
        });
        traced.collect()
    }

    /// Tells every sender that the outcome is not known.
    pub(super) fn tell_unknown(&mut self, numbered: &mut [Numbered]) {
        for one in numbered {
            self.bar(&one.queued);
            one.queued.asked.tell(Err(Refused::Unknown));
        }
    }

    /// Takes in what is durable: state, then the room, then the answers. So whoever is told a position finds
    /// that this node has delivered up to it.
    async fn committed(&mut self, numbered: Vec<Numbered>) {
        let at = Instant::now();
        let Some(known) = &mut self.state else { return };
        let mut stored = Vec::with_capacity(numbered.len());
        let mut events = Vec::with_capacity(numbered.len());
        let mut steps = Steps::new();
        for Numbered { queued, event, step } in numbered {
            steps.extend(step.map(|step| (event.seq, step)));
            known.take(&event);
            if matches!(event.body, Body::Message(_)) {
                self.shared.metrics.messages.stored.inc();
            }
            events.push(Arc::new(event));
            stored.push(queued);
        }
        self.shared.announce(&events, Commit { origin: Origin::Here, at }, &steps).await;
        for (mut queued, event) in stored.into_iter().zip(events) {
            queued.asked.tell(Ok(Committed { event, repeated: false }));
        }
    }

    /// Answers a retry with what was stored the first time.
    async fn repeated(&mut self, Numbered { mut queued, .. }: Numbered) {
        match self.stored(&queued.asked.command).await {
            Ok(Some(event)) => self.tell_repeated(queued, event).await,
            // It stands in the log, so nothing but this can be said of it.
            Ok(None) | Err(_) => {
                self.bar(&queued);
                queued.asked.tell(Err(Refused::Unknown));
            }
        }
    }

    /// What stands in the log for the key of a command.
    async fn stored(&mut self, command: &Command) -> Result<Option<Event>, StoreError> {
        let Command { sender, client_id, .. } = command;
        self.shared.store.event_by_client_id(self.room, *sender, client_id).await
    }

    async fn tell_repeated(&mut self, mut queued: Queued, event: Event) {
        if event.seq > self.shared.feed.delivered() {
            self.shared.repair(event.seq).await;
        }
        let outcome = as_repeated(event, &queued.asked.command);
        queued.asked.tell(outcome);
    }

    /// Reads and applies what another writer has appended.
    async fn catch_up(&mut self) {
        let Some(known) = &mut self.state else { return };
        let mut found = false;
        loop {
            let after = known.tail.seq;
            let page = self.shared.store.events(self.room, after, Seq(u64::MAX), PAGE).await;
            let events = match page {
                Ok(events) if events.first().is_some_and(|first| first.seq == after.next()) => {
                    events
                }
                Ok(events) if found && events.is_empty() => return,
                Ok(_) | Err(_) => {
                    // Taken, and yet nothing to be read: the room is deleted, or what was there is trimmed, or the store in
                    // trouble.
                    // Learned anew; the deadlines of the commands bound how often.
                    self.state = None;
                    return tokio::time::sleep(backoff(Duration::ZERO)).await;
                }
            };
            found = true;
            events.iter().for_each(|event| known.take(event));
            let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
            self.shared.deliver(&events, None, &Steps::new()).await;
        }
    }
}

impl Known {
    /// Takes in the event behind the tail.
    fn take(&mut self, event: &Event) {
        self.members.apply(&event.body);
        self.tail = Tail { seq: event.seq, ordinal: event.ordinal, timestamp: event.timestamp };
    }
}

/// Why nothing can be decided.
enum Fail {
    Gone,
    Unavailable,
}

fn put_back(rest: Vec<Numbered>, waiting: &mut VecDeque<Queued>) {
    for one in rest.into_iter().rev() {
        waiting.push_front(one.queued);
    }
}

/// What a command is answered whose key stands in the log already: it is its own event, of an attempt on another way; a
/// message of the same content; or something else.
fn as_repeated(event: Event, command: &Command) -> Result<Committed, Refused> {
    if event.nonce == command.nonce {
        return Ok(Committed { event: Arc::new(event), repeated: false });
    }
    match &command.change {
        Change::Post { message, digest_before }
            if is_same(&event.body, message, *digest_before) =>
        {
            Ok(Committed { event: Arc::new(event), repeated: true })
        }
        _ => Err(Refused::ClientIdConflict),
    }
}

/// Whether what stands in the log is this message: by the digest under either secret, or, whatever the secret was, by what is
/// left to be read.
fn is_same(stored: &Body, message: &Message, digest_before: Option<Digest>) -> bool {
    let digest = match stored {
        Body::Message(stored) if stored.says_the_same(message) => return true,
        Body::Message(stored) => stored.digest,
        Body::Gone { digest } => *digest,
        _ => return false,
    };
    digest == message.digest || digest_before == Some(digest)
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
