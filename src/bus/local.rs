//! The bus within one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Bus, Subject, Subscription};

/// A bus between the nodes of one process. Clones are the same bus.
#[derive(Debug, Clone, Default)]
pub struct LocalBus {
    listeners: Arc<Mutex<HashMap<Subject, Vec<mpsc::Sender<Bytes>>>>>,
    is_shared: bool,
}

impl LocalBus {
    /// The bus of a node that has the process to itself: it reaches nobody else.
    pub fn alone() -> Self {
        Self::default()
    }

    /// A bus for several nodes of one process, each with a clone.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }
}

impl Bus for LocalBus {
    fn publish(&self, subject: &Subject, payload: Bytes) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(senders) = listeners.get_mut(subject) else { return };
        senders.retain(|sender| {
            let sent = sender.try_send(payload.clone());
            !matches!(sent, Err(TrySendError::Closed(_)))
        });
        if senders.is_empty() {
            listeners.remove(subject);
        }
    }

    fn subscribe(&self, subject: &Subject) -> Subscription {
        let (sender, subscription) = Subscription::channel();
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = listeners.entry(subject.clone()).or_default();
        senders.retain(|sender| !sender.is_closed());
        senders.push(sender);
        subscription
    }

    fn reaches_others(&self) -> bool {
        self.is_shared
    }
}
