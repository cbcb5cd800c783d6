//! A bus whose messages a test decides about, one by one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use natter::bus::{Bus, Link, LocalBus, Replies, Subject, Subscription};
use natter::domain::BootId;
use tokio::sync::watch;

/// What becomes of a message on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives.
    Arrives,
    /// It does not, and nobody says so.
    Lost,
    /// It arrives after this time.
    Late(Duration),
}

type Judge = Box<dyn Fn(&Subject) -> Fate + Send + Sync>;

/// The bus as one node has it.
pub(crate) struct Judged {
    bus: LocalBus,
    /// Decides about what the node publishes and asks.
    judge: Mutex<Judge>,
    is_cut: AtomicBool,
    link: watch::Sender<Link>,
    /// Where questions go that nobody is to answer.
    nowhere: Subject,
    _silence: Mutex<Subscription>,
}

impl Judged {
    /// The bus of `node`, on which everything arrives.
    pub(crate) fn new(bus: &LocalBus, node: BootId) -> Arc<Self> {
        let nowhere = Subject::answers(node);
        Arc::new(Self {
            bus: bus.clone(),
            judge: Mutex::new(Box::new(|_| Fate::Arrives)),
            is_cut: AtomicBool::new(false),
            link: watch::Sender::new(Link { is_up: true, losses: 0 }),
            _silence: Mutex::new(bus.subscribe(&nowhere)),
            nowhere,
        })
    }

    /// From now on `judge` decides about what the node publishes and asks.
    pub(crate) fn judged(&self, judge: impl Fn(&Subject) -> Fate + Send + Sync + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// Cuts the node off, or connects it again: nothing goes out, and it knows.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
        self.link.send_modify(|link| {
            link.is_up = !is_cut;
            link.losses += 1;
        });
    }

    fn fate(&self, subject: &Subject) -> Fate {
        if self.is_cut.load(Ordering::SeqCst) {
            return Fate::Lost;
        }
        (self.judge.lock().unwrap())(subject)
    }
}

#[async_trait]
impl Bus for Judged {
    fn publish(&self, subject: &Subject, payload: Bytes) {
        match self.fate(subject) {
            Fate::Arrives => self.bus.publish(subject, payload),
            Fate::Lost => {}
            Fate::Late(delay) => {
                let (bus, subject) = (self.bus.clone(), subject.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    bus.publish(&subject, payload);
                });
            }
        }
    }

    fn request(&self, subject: &Subject, payload: Bytes) -> Replies {
        match self.fate(subject) {
            Fate::Arrives | Fate::Late(_) => self.bus.request(subject, payload),
            Fate::Lost => self.bus.request(&self.nowhere, payload),
        }
    }

    fn subscribe(&self, subject: &Subject) -> Subscription {
        self.bus.subscribe(subject)
    }

    async fn settled(&self) {}

    fn reaches_others(&self) -> bool {
        true
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }
}
