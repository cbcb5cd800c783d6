//! The bus within one process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::{Bus, Delivery, Link, Replies, Reply, Subject, Subscription};

/// A bus between the nodes of one process. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct LocalBus {
    shared: Arc<Shared>,
    is_shared: bool,
}

#[derive(Debug)]
struct Shared {
    listeners: Mutex<HashMap<Subject, Vec<mpsc::Sender<Delivery>>>>,
    /// Who waits for answers, by the address that was given for them.
    asking: Mutex<HashMap<Subject, mpsc::Sender<Reply>>>,
    asked: AtomicU64,
    link: watch::Sender<Link>,
}

impl LocalBus {
    /// The bus of a node that has the process to itself: it reaches nobody else.
    pub fn alone() -> Self {
        let shared = Shared {
            listeners: Mutex::default(),
            asking: Mutex::default(),
            asked: AtomicU64::new(0),
            link: watch::Sender::new(Link { is_up: true, losses: 0 }),
        };
        Self { shared: Arc::new(shared), is_shared: false }
    }

    /// A bus for several nodes of one process, each with a clone.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::alone() }
    }

    /// Hands `delivery` to whoever listens; whether anybody does.
    fn hand_over(&self, subject: &Subject, delivery: &Delivery) -> bool {
        let mut listeners = self.shared.listeners();
        let Some(senders) = listeners.get_mut(subject) else { return false };
        senders.retain(|sender| match sender.try_send(delivery.clone()) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                self.shared.link.send_modify(|link| link.losses += 1);
                true
            }
        });
        let is_heard = !senders.is_empty();
        if !is_heard {
            listeners.remove(subject);
        }
        is_heard
    }

    /// Hands `payload` to the one who waits for answers at `address`; whether it is such an address.
    fn answer(&self, address: &Subject, payload: &Bytes) -> bool {
        let mut asking = self.shared.asking();
        let Some(asker) = asking.get(address) else { return false };
        if asker.try_send(Reply::Answer(payload.clone())).is_err() {
            asking.remove(address);
        }
        true
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn publish(&self, subject: &Subject, payload: Bytes) {
        if payload.len() > self.max_payload() {
            self.shared.link.send_modify(|link| link.losses += 1);
        } else if !self.answer(subject, &payload) {
            self.hand_over(subject, &Delivery { payload, reply: None });
        }
    }

    fn request(&self, subject: &Subject, payload: Bytes) -> Replies {
        let (asker, replies) = Replies::channel();
        let address = Subject::inbox(self.shared.asked.fetch_add(1, Ordering::Relaxed));
        {
            let mut asking = self.shared.asking();
            asking.retain(|_, asker| !asker.is_closed());
            asking.insert(address.clone(), asker.clone());
        }
        let delivery = Delivery { payload, reply: Some(address.clone()) };
        if !self.hand_over(subject, &delivery) {
            self.shared.asking().remove(&address);
            // The queue is new, so there is a place.
            let _ = asker.try_send(Reply::NoResponders);
        }
        replies
    }

    fn subscribe(&self, subject: &Subject) -> Subscription {
        let (sender, subscription) = Subscription::channel();
        let mut listeners = self.shared.listeners();
        let senders = listeners.entry(subject.clone()).or_default();
        senders.retain(|sender| !sender.is_closed());
        senders.push(sender);
        subscription
    }

    async fn settled(&self) {}

    fn reaches_others(&self) -> bool {
        self.is_shared
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }
}

impl Shared {
    fn listeners(&self) -> MutexGuard<'_, HashMap<Subject, Vec<mpsc::Sender<Delivery>>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Subject, mpsc::Sender<Reply>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
