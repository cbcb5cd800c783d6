//! How nodes tell each other that something happened: the port, and its adapters.
//!
//! The bus is a hint, never the truth. Whoever publishes does not wait and may lose the message; whoever listens repairs from the store
//! what is missing. Every subject is built in [`subject`], [`codec`] says what travels, and [`seal`] how it is known whose it is.
//!
//! Contract: `tests/it/bus.rs`, run on every adapter.

pub mod codec;
mod local;
mod nats;
pub mod seal;
pub mod subject;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, watch};

pub use local::LocalBus;
pub use nats::NatsBus;
pub use subject::Subject;

use crate::config::{BusAccess, BusUrl, NatsUrl};
use crate::domain::BootId;
use crate::metrics::Metrics;

/// The bus of a node.
pub type DynBus = Arc<dyn Bus>;

/// Messages that wait for one subscriber; what comes when it is full is lost for it, and is repaired like any other loss.
pub const SUBSCRIPTION_QUEUE: usize = 1024;

/// The largest payload of a bus that knows no other: what NATS servers take unless they are told otherwise.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// How long [`Bus::settled`] waits at most.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// What is configured can never work.
    #[error("{setting}: {why}")]
    Unusable {
        /// The setting with it.
        setting: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The server is there and does not let this node in.
    #[error("{setting}: the NATS server refuses the credentials ({why})")]
    Refused {
        /// The setting with the credentials.
        setting: &'static str,
        /// What the server says.
        why: String,
    },
}

/// The bus that `url` names, for the node `boot`, which is to it who `access` says. One that is away is tried for ever, and its link is down until then.
///
/// # Errors
///
/// [`BusError`].
pub async fn connect(
    url: &BusUrl,
    access: &BusAccess,
    boot: BootId,
    metrics: Metrics,
) -> Result<DynBus, BusError> {
    match url {
        BusUrl::Local => Ok(Arc::new(LocalBus::alone())),
        BusUrl::Nats { url } => {
            let url = NatsUrl::parse(url.expose());
            let url = url.map_err(|why| BusError::Unusable { setting: "bus.url", why })?;
            Ok(Arc::new(NatsBus::connect(&url, access, boot, metrics).await?))
        }
    }
}

/// How the way from this node to the others is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether the node is connected to the bus now.
    pub is_up: bool,
    /// How often messages may have been lost so far: at each end of a connection, at each new one, and when a
    /// subscriber did not keep up. Whoever relies on having heard everything looks into the store when it rises.
    pub losses: u64,
}

/// Publishes, listens, and asks.
///
/// Nothing here waits for the network but [`Bus::settled`], [`Subscription::next`] and [`Replies::next`].
#[async_trait]
pub trait Bus: Send + Sync {
    /// Hands `payload` to everybody who listens to `subject`, the publisher included. Never waits; what cannot be taken is lost.
    fn publish(&self, subject: &Subject, payload: Bytes);

    /// Hands `payload` to everybody who listens to `subject`, with an address for answers. The answers come to
    /// this caller alone; see [`Replies`].
    fn request(&self, subject: &Subject, payload: Bytes) -> Replies;

    /// Listens to `subject` from now on, until the subscription is dropped. Messages of one publisher come in the order of publishing.
    fn subscribe(&self, subject: &Subject) -> Subscription;

    /// Returns once the bus knows of every earlier [`Bus::subscribe`] of this node: what is published from then on,
    /// on the same server, is heard. At the latest after [`SETTLE_TIMEOUT`], at once while the link is down.
    async fn settled(&self);

    /// Returns once the bus has taken what was published so far: to be awaited before the process ends. At the latest after
    /// [`SETTLE_TIMEOUT`].
    async fn close(&self) {}

    /// Whether other nodes may listen. If not, nothing need be published or listened to.
    fn reaches_others(&self) -> bool;

    /// How the link is, and word of when that changes.
    fn link(&self) -> watch::Receiver<Link>;

    /// How many messages wait to be taken, and how many may; none where nothing waits.
    fn queue(&self) -> (usize, usize) {
        (0, 0)
    }

    /// The largest payload, in bytes: a larger one is lost, and counted.
    fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }
}

/// One message of the bus.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What was published.
    pub payload: Bytes,
    /// Where an answer goes, if one is asked for: [`Bus::publish`] to it, once or several times.
    pub reply: Option<Subject>,
}

/// What is published to one subject. Dropping it ends it.
pub struct Subscription(Source);

enum Source {
    Queue(mpsc::Receiver<Delivery>),
    Stream(BoxStream<'static, Delivery>),
}

impl Subscription {
    /// A subscription, and the end that feeds it.
    pub fn channel() -> (mpsc::Sender<Delivery>, Self) {
        let (sender, messages) = mpsc::channel(SUBSCRIPTION_QUEUE);
        (sender, Self(Source::Queue(messages)))
    }

    /// A subscription to what an adapter has a stream of; its queue is the adapter's.
    pub(crate) fn of(messages: BoxStream<'static, Delivery>) -> Self {
        Self(Source::Stream(messages))
    }

    /// The next message; `None` once the bus is gone. Nothing is lost if the wait is given up.
    pub async fn next(&mut self) -> Option<Delivery> {
        match &mut self.0 {
            Source::Queue(messages) => messages.recv().await,
            Source::Stream(messages) => messages.next().await,
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// One answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Somebody answers.
    Answer(Bytes),
    /// Nobody listens to what was asked, or the link is down. Nothing follows.
    NoResponders,
}

/// The answers to one request, in the order in which they come. Dropping it ends it. At most
/// [`Replies::QUEUE`] wait; further ones are lost.
#[derive(Debug)]
pub struct Replies {
    answers: mpsc::Receiver<Reply>,
}

impl Replies {
    /// Answers that wait for whoever asked.
    pub const QUEUE: usize = 8;

    /// Answers, and the end that feeds them.
    pub fn channel() -> (mpsc::Sender<Reply>, Self) {
        let (sender, answers) = mpsc::channel(Self::QUEUE);
        (sender, Self { answers })
    }

    /// The next answer; `None` once none can come any more. Whoever waits sets the time.
    pub async fn next(&mut self) -> Option<Reply> {
        self.answers.recv().await
    }
}
