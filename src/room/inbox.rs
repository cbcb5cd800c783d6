//! What waits for the writer of a room: commands of this node's own, and those that other nodes bring to the owner.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::asked::Asked;
use super::command::Change;
use super::live::Shared;
use super::writer::{BATCH, BATCH_BYTES};

/// Commands of this node without an answer in one room; beyond it they wait for a place, and are refused as `overloaded` at
/// their deadline.
pub(crate) const QUEUE: usize = 1024;

/// The same for changes of membership, which go ahead of everything else.
const HEAD_QUEUE: usize = 64;

/// A command that waits, or is being appended.
pub(super) struct Queued {
    pub(super) asked: Box<Asked>,
    _pending: Pending,
}

/// Counts a command among those that keep the room live, as long as it is not decided.
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

/// Where commands for one room go in. Its channels have no bound of their own: everything in them holds a place, here
/// or where it came from.
pub(crate) struct Inbox {
    head: mpsc::UnboundedSender<Queued>,
    tail: mpsc::UnboundedSender<Queued>,
    head_places: Arc<Semaphore>,
    tail_places: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Inbox {
    /// The inbox of a room, and where its writer takes what comes in.
    pub(super) fn new(shared: &Arc<Shared>) -> (Self, Queue) {
        let (head, head_queue) = mpsc::unbounded_channel();
        let (tail, tail_queue) = mpsc::unbounded_channel();
        let inbox = Self {
            head,
            tail,
            head_places: Arc::new(Semaphore::new(HEAD_QUEUE)),
            tail_places: Arc::new(Semaphore::new(QUEUE)),
            shared: Arc::clone(shared),
        };
        (inbox, Queue { head: Line::new(head_queue), tail: Line::new(tail_queue) })
    }

    /// A place for a command of this node; `None` if there is none until `deadline`.
    pub(super) async fn place(
        &self,
        change: &Change,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        let places = if goes_ahead(change) { &self.head_places } else { &self.tail_places };
        let place = Arc::clone(places).acquire_owned();
        tokio::time::timeout_at(deadline, place).await.ok()?.ok()
    }

    /// Queues a command that has a place somewhere; changes of membership go ahead of messages.
    ///
    /// # Errors
    ///
    /// The command, if there is no writer: the node is ending.
    pub(super) fn put(&self, asked: Box<Asked>) -> Result<(), Box<Asked>> {
        let line = if goes_ahead(&asked.command.change) { &self.head } else { &self.tail };
        let queued = Queued { asked, _pending: Pending::new(&self.shared) };
        line.send(queued).map_err(|refused| refused.0.asked)
    }
}

fn goes_ahead(change: &Change) -> bool {
    match change {
        Change::Post { .. } | Change::Clear | Change::Update { .. } => false,
        Change::Add(_) | Change::Remove { .. } | Change::Delete => true,
    }
}

/// What has come in, in the order of coming.
struct Line {
    incoming: mpsc::UnboundedReceiver<Queued>,
    waiting: VecDeque<Queued>,
}

impl Line {
    fn new(incoming: mpsc::UnboundedReceiver<Queued>) -> Self {
        Self { incoming, waiting: VecDeque::new() }
    }

    fn look(&mut self) {
        while let Ok(queued) = self.incoming.try_recv() {
            self.waiting.push_back(queued);
        }
    }
}

/// Where the writer takes what has come in.
pub(super) struct Queue {
    head: Line,
    tail: Line,
}

impl Queue {
    /// What waits, changes of membership first, as much as one append may hold; waits for the first. `None` once every
    /// inbox is dropped and nothing waits any more.
    pub(super) async fn next_batch(&mut self) -> Option<VecDeque<Queued>> {
        self.head.look();
        self.tail.look();
        if self.head.waiting.is_empty() && self.tail.waiting.is_empty() {
            tokio::select! {
                biased;
                Some(queued) = self.head.incoming.recv() => self.head.waiting.push_back(queued),
                Some(queued) = self.tail.incoming.recv() => self.tail.waiting.push_back(queued),
                else => return None,
            }
            self.head.look();
            self.tail.look();
        }
        let mut batch = VecDeque::new();
        let mut bytes = 0;
        while batch.len() < BATCH {
            let line = if self.head.waiting.is_empty() { &mut self.tail } else { &mut self.head };
            let Some(first) = line.waiting.front() else { break };
            bytes += first.weight();
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            batch.extend(line.waiting.pop_front());
        }
        Some(batch)
    }

    /// Takes out what waits beyond its deadline.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Queued> {
        let mut expired = Vec::new();
        for line in [&mut self.head, &mut self.tail] {
            line.look();
            for queued in std::mem::take(&mut line.waiting) {
                match queued.asked.deadline <= now {
                    true => expired.push(queued),
                    false => line.waiting.push_back(queued),
                }
            }
        }
        expired
    }
}

impl Queued {
    fn weight(&self) -> usize {
        match &self.asked.command.change {
            Change::Post { message, .. } => 256 + message.text.len(),
            _ => 256,
        }
    }
}
