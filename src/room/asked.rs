//! A command on its way to the log, with whoever waits for its answer.

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::command::{Command, Committed, Refused};
use super::lane::{Lane, Turn};
use super::ways::Ticket;
use crate::domain::RoomId;
use crate::store::StoreError;
use crate::telemetry::Trace;

/// Tells the sender what became of a command. Called exactly once.
pub type Reply = Box<dyn FnOnce(Result<Committed, Refused>) + Send>;

/// A command on its way to the log.
pub(super) struct Asked {
    pub(super) room: RoomId,
    pub(super) command: Command,
    /// The lane of the connection of this node that asks, if it is one.
    pub(super) lane: Option<Lane>,
    /// Whose run it belongs to, wherever it comes from.
    pub(super) turn: Option<Turn>,
    /// The step of its trace that it follows from, if it is traced.
    pub(super) trace: Option<Trace>,
    /// Until when it may be tried for the first time.
    pub(super) deadline: Instant,
    /// Whether another node may have stored it already, or may yet: then nothing is told but what that decides.
    pub(super) is_again: bool,
    /// Whether this node is to append it, whoever owns the room.
    pub(super) is_direct: bool,
    /// How often an owner has not taken it.
    pub(super) bounces: u8,
    /// Its number among those of its lane that are not decided.
    pub(super) nth: u64,
    reply: Option<Reply>,
    held: Held,
}

/// What a command holds until it is answered; dropped in this order.
#[derive(Default)]
pub(super) struct Held {
    /// Its part in the order of its lane.
    pub(super) ticket: Option<Ticket>,
    /// Its place in a bounded queue.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// Keeps the node from going.
    pub(super) open: Option<TaskTrackerToken>,
}

impl Asked {
    pub(super) fn new(
        room: RoomId,
        command: Command,
        deadline: Instant,
        reply: Reply,
    ) -> Box<Self> {
        Box::new(Self {
            room,
            command,
            lane: None,
            turn: None,
            trace: None,
            deadline,
            is_again: false,
            is_direct: false,
            bounces: 0,
            nth: 0,
            reply: Some(reply),
            held: Held::default(),
        })
    }

    /// What it holds until it is answered.
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    /// Whether its sender has been told of a refusal since, which it follows.
    pub(super) fn is_over(&self) -> bool {
        self.lane.as_ref().is_some_and(Lane::is_over)
    }

    /// Answers; nothing the second time. What it holds is free from then on.
    pub(super) fn tell(&mut self, outcome: Result<Committed, Refused>) {
        if let Some(reply) = self.reply.take() {
            reply(outcome);
        }
        self.held = Held::default();
    }

    /// Answers that it was refused, without a look into the log: what may be stored on another way is unknown then.
    pub(super) fn refuse(&mut self, refused: Refused) {
        self.tell(Err(match refused {
            refused if !self.is_again => refused,
            Refused::ClientIdConflict => Refused::ClientIdConflict,
            _ => Refused::Unknown,
        }));
    }
}

/// What is told when a room cannot be read.
pub(super) fn unreadable() -> Refused {
    Refused::Unavailable(StoreError::Unavailable("the room cannot be read".into()))
}
