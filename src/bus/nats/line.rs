//! How the connection is, and everything that hangs on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_nats::message::OutboundMessage;
use async_nats::{Event, Server, ServerError};
use tokio::sync::watch;

use super::super::Link;
use super::inbox::Inbox;
use super::outgoing::{NotTaken, Outgoing};
use crate::domain::BootId;
use crate::metrics::{Drop, Metrics};

/// The state of one connection.
pub(super) struct Line {
    pub(super) outgoing: Outgoing,
    pub(super) inbox: Inbox,
    pub(super) link: watch::Sender<Link>,
    pub(super) metrics: Metrics,
    /// Of how many connections this node has heard.
    connections: AtomicU64,
    /// What was logged last of attempts that failed.
    told: Mutex<String>,
}

impl Line {
    pub(super) fn new(boot: BootId, metrics: Metrics) -> Self {
        Self {
            outgoing: Outgoing::default(),
            inbox: Inbox::new(boot),
            link: watch::Sender::new(Link { is_up: false, losses: 0 }),
            metrics,
            connections: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// Queues a message; `false`, and it is counted, if it is lost at once.
    pub(super) fn send(&self, message: OutboundMessage, max_payload: usize) -> bool {
        if message.payload.len() > max_payload {
            tracing::error!(bytes = message.payload.len(), max_payload, "too large for the bus");
            self.metrics.bus.dropped.of(Drop::TooLarge).inc();
            self.lost();
            return false;
        }
        match self.outgoing.publish(message) {
            Ok(()) => true,
            Err(NotTaken::Down) => {
                self.metrics.bus.dropped.of(Drop::Down).inc();
                false // That the link comes back counts as a loss.
            }
            Err(NotTaken::Full) => {
                self.metrics.bus.dropped.of(Drop::Full).inc();
                self.lost();
                false
            }
        }
    }

    /// What the client library tells, in order.
    pub(super) fn happened(&self, event: &Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected | Event::Closed => self.disconnected(),
            Event::SlowConsumer(_) => {
                self.metrics.bus.dropped.of(Drop::Slow).inc();
                self.lost();
            }
            Event::ServerError(ServerError::SlowConsumer(_)) => self.lost(),
            Event::ServerError(error) => tracing::warn!(%error, "the bus complains"),
            // An attempt that failed: `retrying` knows more of it.
            Event::ClientError(error) => tracing::debug!(%error, "the bus cannot be reached"),
            Event::LameDuckMode => tracing::info!("the server of the bus is about to go"),
            Event::Draining => {}
        }
    }

    /// Another attempt to connect is about to be made: tells why those before it failed, unless that is told already.
    pub(super) fn retrying(&self, servers: &[Server]) {
        let failed = servers.iter().filter_map(|server| {
            let error = server.last_error.as_ref()?;
            Some(format!("{}:{}: {error}", server.addr.host(), server.addr.port()))
        });
        let why = failed.collect::<Vec<_>>().join(", ");
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !why.is_empty() && *told != why {
            tracing::warn!(error = why, "the bus cannot be reached; it is tried again and again");
            *told = why;
        }
    }

    fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.metrics.bus.connects.inc();
        self.down();
        self.outgoing.connected();
    }

    fn disconnected(&self) {
        let lost = self.outgoing.disconnected();
        self.metrics.bus.dropped.of(Drop::Down).inc_by(lost as u64);
        self.down();
    }

    /// Whatever was under way on the connection before is over.
    fn down(&self) {
        self.inbox.clear();
        let was_up = self.link.borrow().is_up;
        if was_up {
            tracing::warn!("the bus is away");
            self.metrics.bus.up.set(0);
            self.metrics.bus.losses.inc();
            self.link.send_modify(|link| *link = Link { is_up: false, losses: link.losses + 1 });
        }
    }

    /// A message of this node to itself came back, after all its subscriptions.
    pub(super) fn proved(&self) {
        let is_news = !self.link.borrow().is_up;
        if is_news {
            tracing::info!("the bus is there");
            self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.metrics.bus.up.set(1);
            self.metrics.bus.losses.inc();
            self.link.send_modify(|link| *link = Link { is_up: true, losses: link.losses + 1 });
        }
    }

    fn lost(&self) {
        self.metrics.bus.losses.inc();
        self.link.send_modify(|link| link.losses += 1);
    }

    /// Makes good for events that the client library had no place for.
    pub(super) fn compare(&self, is_connected: bool, connections: u64) {
        let is_believed = self.outgoing.is_connected();
        if is_connected && connections > self.connections.load(Ordering::Relaxed) {
            self.connected();
            self.connections.store(connections, Ordering::Relaxed);
        } else if !is_connected && is_believed {
            self.disconnected();
        } else if is_connected && is_believed && !self.link.borrow().is_up {
            self.outgoing.prove();
        }
    }
}
