//! One node's way to a bus that others are on, which can be cut.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use natter::bus::{Bus, Delivery, DynBus, Link, Replies, Reply, Subject, Subscription};
use tokio::sync::{mpsc, watch};

/// The way of one node to a bus. While it is cut nothing goes out and nothing comes in, and the node is told so.
pub(crate) struct Wire {
    bus: DynBus,
    state: Arc<State>,
    link: watch::Sender<Link>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    /// What is lost on the way in, and nobody knows.
    deaf_to: Mutex<Option<Subject>>,
    received: Mutex<HashMap<Subject, u64>>,
}

impl Wire {
    /// A way to `bus`.
    pub(crate) fn to(bus: DynBus) -> Arc<Self> {
        let link = watch::Sender::new(Link { is_up: true, losses: 0 });
        Arc::new(Self { bus, state: Arc::default(), link })
    }

    /// Cuts it.
    pub(crate) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.link.send_modify(|link| *link = Link { is_up: false, losses: link.losses + 1 });
    }

    /// Joins it again.
    pub(crate) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
        self.link.send_modify(|link| *link = Link { is_up: true, losses: link.losses + 1 });
    }

    /// From now on what is said to this subject does not come in, and nobody knows.
    pub(crate) fn deafen(&self, to: Option<Subject>) {
        *self.state.deaf_to.lock().unwrap() = to;
    }

    /// What the node has received so far, by subject.
    pub(crate) fn received(&self) -> HashMap<Subject, u64> {
        self.state.received.lock().unwrap().clone()
    }

    fn is_cut(&self) -> bool {
        self.state.is_cut.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Bus for Wire {
    fn publish(&self, subject: &Subject, payload: Bytes) {
        if !self.is_cut() {
            self.bus.publish(subject, payload);
        }
    }

    fn request(&self, subject: &Subject, payload: Bytes) -> Replies {
        if !self.is_cut() {
            return self.bus.request(subject, payload);
        }
        let (asker, replies) = Replies::channel();
        asker.try_send(Reply::NoResponders).unwrap();
        replies
    }

    fn subscribe(&self, subject: &Subject) -> Subscription {
        let (sender, subscription) = Subscription::channel();
        let mut heard = self.bus.subscribe(subject);
        let (state, subject) = (Arc::clone(&self.state), subject.clone());
        tokio::spawn(async move {
            while let Some(delivery) = until_closed(&sender, heard.next()).await {
                let is_deaf = state.deaf_to.lock().unwrap().as_ref() == Some(&subject);
                if is_deaf || state.is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                *state.received.lock().unwrap().entry(subject.clone()).or_default() += 1;
                if sender.send(delivery).await.is_err() {
                    return;
                }
            }
        });
        subscription
    }

    async fn settled(&self) {
        self.bus.settled().await;
    }

    fn reaches_others(&self) -> bool {
        self.bus.reaches_others()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }
}

/// What comes next, unless nobody listens any more.
async fn until_closed(
    sender: &mpsc::Sender<Delivery>,
    next: impl Future<Output = Option<Delivery>>,
) -> Option<Delivery> {
    tokio::select! {
        delivery = next => delivery,
        () = sender.closed() => None,
    }
}
