//! The MongoDB adapter: one replica set or sharded cluster behind any number of nodes.
//!
//! The event is the commit: an append is one insert into `events`, and no transaction spans it ([`append`]).
//! What else an event changes is marked as pending in the event itself and done right behind the insert, or by
//! whoever reads it first, on any node ([`settle`], [`derive`]). Every read is of what a majority has, every write
//! waits for a majority and its journals.

mod admins;
mod append;
mod committed;
mod connect;
mod derive;
mod entries;
mod erasure;
mod error;
mod event;
mod facts;
mod field;
mod indexes;
mod line;
mod log;
mod making;
mod memberships;
mod read;
mod requests;
mod retention;
mod rooms;
mod settle;
mod uploads;
mod users;
mod wipe;
mod write;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::Document;
use mongodb::{Client, Database};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::committed::Committed;
use self::line::Line;
use self::read::{Query, Rows};
use super::{Result, Store, StoreError};
use crate::domain::Epoch;

/// How long things may take, after which the answer is that the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// One attempt to open the store, each of its steps.
    pub attempt: Duration,
    /// A command to the server.
    pub call: Duration,
    /// An append, whose insert goes on by itself then; and the wait for a majority.
    pub append: Duration,
    /// A check whether the store can be written.
    pub check: Duration,
}

impl Default for Times {
    /// 5 s for an attempt, 10 s for a command, 5 s for an append, after which senders are told that the outcome is not
    /// known, and less for a check than the 2 s that probes wait.
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(5),
            call: Duration::from_secs(10),
            append: Duration::from_secs(5),
            check: Duration::from_millis(1_800),
        }
    }
}

/// The store in MongoDB. Clones are the same one.
pub struct Mongodb(Arc<Base>);

/// What every part of the adapter works with.
pub(super) struct Base {
    database: Database,
    events: Rows,
    rooms: Rows,
    pairs: Rows,
    memberships: Rows,
    users: Rows,
    requests: Rows,
    uploads: Rows,
    facts: Rows,
    nodes: Rows,
    /// Up to where logs are known to be committed.
    committed: Committed,
    /// Where appends of one event wait for each other.
    line: Line,
    /// Why nothing may be written, if an index is not as it has to be.
    unprepared: RwLock<Option<String>>,
    /// Whether it is known that somebody administers, or did.
    has_first_admin: std::sync::atomic::AtomicBool,
    times: Times,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Base {
    fn new(database: Database, times: Times) -> Self {
        let rows = |name: &str| database.collection(name);
        Self {
            events: rows("events"),
            rooms: rows("rooms"),
            pairs: rows("pairs"),
            memberships: rows("memberships"),
            users: rows("users"),
            requests: rows("join_requests"),
            uploads: rows("uploads"),
            facts: rows("facts"),
            nodes: rows("nodes"),
            committed: Committed::default(),
            line: Line::default(),
            unprepared: RwLock::new(None),
            has_first_admin: false.into(),
            times,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            database,
        }
    }

    fn client(&self) -> &Client {
        self.database.client()
    }

    /// A query of `rows` by the index `hint`.
    fn query<'a>(&self, rows: &'a Rows, filter: Document, hint: &str) -> Query<'a> {
        Query::new(rows, self.times.call, filter, hint)
    }

    /// Refuses what relies on the unique indexes while one of them is not there.
    fn check_prepared(&self) -> Result<()> {
        let unprepared = self.unprepared.read().unwrap_or_else(PoisonError::into_inner);
        unprepared.clone().map_or(Ok(()), |sentence| Err(StoreError::Unprepared(sentence)))
    }
}

#[async_trait]
impl Store for Mongodb {
    async fn epoch(&self) -> Result<Epoch> {
        self.0.epoch().await
    }

    async fn renew_epoch(&self) -> Result<Epoch> {
        self.0.renew_epoch().await
    }

    async fn check(&self) -> Result<()> {
        self.0.check_prepared()?;
        self.0.check_writable().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
