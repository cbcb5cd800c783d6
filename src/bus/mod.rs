//! How nodes tell each other that something happened: the port, and its adapters.
//!
//! The bus is a hint, never the truth. Whoever publishes does not wait and may lose the message; whoever listens repairs from the store
//! what is missing. Every subject is built in [`subject`], and [`codec`] says what travels.
//!
//! Contract: `tests/it/bus.rs`, run on every adapter.

pub mod codec;
mod local;
pub mod subject;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

pub use local::LocalBus;
pub use subject::Subject;

use crate::config::BusUrl;

/// The bus of a node.
pub type DynBus = Arc<dyn Bus>;

/// Messages that wait for one subscriber; what comes when it is full is lost for it, and is repaired like any other loss.
pub const SUBSCRIPTION_QUEUE: usize = 1024;

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The scheme of the URL is known, and this build has no adapter for it.
    #[error("no adapter for bus.url in this build")]
    Unsupported,
}

/// The bus that `url` names.
///
/// # Errors
///
/// [`BusError`].
pub fn connect(url: &BusUrl) -> Result<DynBus, BusError> {
    match url {
        BusUrl::Local => Ok(Arc::new(LocalBus::alone())),
        BusUrl::Nats { .. } => Err(BusError::Unsupported),
    }
}

/// Publishes, and listens.
pub trait Bus: Send + Sync {
    /// Hands `payload` to everybody who listens to `subject`, the publisher included. Never waits; what cannot be taken is lost.
    fn publish(&self, subject: &Subject, payload: Bytes);

    /// Listens to `subject` from now on, until the subscription is dropped. Messages of one publisher come in the order of publishing.
    fn subscribe(&self, subject: &Subject) -> Subscription;

    /// Whether other nodes may listen. If not, nothing need be published or listened to.
    fn reaches_others(&self) -> bool;
}

/// What is published to one subject. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    messages: mpsc::Receiver<Bytes>,
}

impl Subscription {
    /// A subscription, and the end that feeds it.
    pub(crate) fn channel() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, messages) = mpsc::channel(SUBSCRIPTION_QUEUE);
        (sender, Self { messages })
    }

    /// The next message; `None` once the bus is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.messages.recv().await
    }
}
