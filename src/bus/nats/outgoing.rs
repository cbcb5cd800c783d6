//! What this node has for the server and the client library has not yet taken.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::Subscriber;
use async_nats::message::OutboundMessage;
use tokio::sync::{Notify, oneshot};

/// Messages that wait at most, and their bytes; what comes then is dropped. A second of a node that says a great deal.
pub(super) const QUEUE: usize = 8192;
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Subscriptions that wait before those that nobody wants any more are looked for. They wait only while the server is
/// away, and are no more than there are live ones, twice at most.
const FEW: usize = 64;

/// What is to be done next.
pub(super) enum Work {
    /// Subscribe, and hand over what comes of it.
    Subscribe { subject: String, subscribed: oneshot::Sender<Subscriber> },
    /// Tell these that the server knows of all subscriptions.
    Settle(Vec<oneshot::Sender<()>>),
    /// Find out whether the server hears this node and this node the server.
    Prove,
    /// Publish.
    Publish(OutboundMessage),
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The server is away.
    Down,
    /// The queue is full.
    Full,
}

/// The queue. Subscriptions go before everything else: an early one harms nobody.
#[derive(Default)]
pub(super) struct Outgoing {
    state: Mutex<State>,
    stirred: Notify,
}

#[derive(Default)]
struct State {
    is_connected: bool,
    is_closed: bool,
    is_to_prove: bool,
    subscriptions: VecDeque<(String, oneshot::Sender<Subscriber>)>,
    /// At how many of them to look for those that nobody wants.
    prune_at: usize,
    settling: Vec<oneshot::Sender<()>>,
    parting: Vec<oneshot::Sender<()>>,
    messages: VecDeque<OutboundMessage>,
    bytes: usize,
}

impl Outgoing {
    /// Queues a subscription; it waits as long as the server is away.
    pub(super) fn subscribe(&self, subject: String, subscribed: oneshot::Sender<Subscriber>) {
        let mut state = self.state();
        if state.subscriptions.len() >= state.prune_at.max(FEW) {
            state.subscriptions.retain(|(_, subscribed)| !subscribed.is_closed());
            state.prune_at = 2 * state.subscriptions.len();
        }
        state.subscriptions.push_back((subject, subscribed));
        drop(state);
        self.stirred.notify_one();
    }

    /// Queues a message.
    pub(super) fn publish(&self, message: OutboundMessage) -> Result<(), NotTaken> {
        let mut state = self.state();
        if !state.is_connected {
            return Err(NotTaken::Down);
        }
        let bytes = state.bytes + message.payload.len();
        if state.messages.len() >= QUEUE || bytes > QUEUE_BYTES {
            return Err(NotTaken::Full);
        }
        state.bytes = bytes;
        state.messages.push_back(message);
        drop(state);
        self.stirred.notify_one();
        Ok(())
    }

    /// Has `settled` told once the server knows of all subscriptions so far; `false` while the server is away.
    pub(super) fn settle(&self, settled: oneshot::Sender<()>) -> bool {
        self.wait(settled, |state| &mut state.settling)
    }

    /// Has `parted` told once the server has taken all messages so far; `false` while the server is away.
    pub(super) fn part(&self, parted: oneshot::Sender<()>) -> bool {
        self.wait(parted, |state| &mut state.parting)
    }

    fn wait(
        &self,
        told: oneshot::Sender<()>,
        among: impl FnOnce(&mut State) -> &mut Vec<oneshot::Sender<()>>,
    ) -> bool {
        let mut state = self.state();
        if !state.is_connected {
            return false;
        }
        among(&mut state).push(told);
        drop(state);
        self.stirred.notify_one();
        true
    }

    /// Has the link proved, if the server is there.
    pub(super) fn prove(&self) {
        self.state().is_to_prove = true;
        self.stirred.notify_one();
    }

    /// The server is there.
    pub(super) fn connected(&self) {
        let mut state = self.state();
        state.is_connected = true;
        state.is_to_prove = true;
        drop(state);
        self.stirred.notify_one();
    }

    /// The server is away: how many messages are lost by it. Subscriptions wait for its return.
    pub(super) fn disconnected(&self) -> usize {
        let mut state = self.state();
        state.is_connected = false;
        state.settling.clear();
        state.parting.clear();
        state.bytes = 0;
        std::mem::take(&mut state.messages).len()
    }

    /// Ends whoever waits for [`Outgoing::next`].
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.stirred.notify_one();
    }

    /// How many messages wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().messages.len()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state().is_connected
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// What is to be done next, once there is something and the server is there; `None` at the end.
    pub(super) async fn next(&self) -> Option<Work> {
        loop {
            {
                let mut state = self.state();
                if state.is_closed {
                    return None;
                }
                if let Some(work) = state.take() {
                    return Some(work);
                }
            }
            self.stirred.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Work> {
        if !self.is_connected {
            return None;
        }
        while let Some((subject, subscribed)) = self.subscriptions.pop_front() {
            if !subscribed.is_closed() {
                return Some(Work::Subscribe { subject, subscribed });
            }
        }
        if !self.settling.is_empty() {
            return Some(Work::Settle(std::mem::take(&mut self.settling)));
        }
        if std::mem::take(&mut self.is_to_prove) {
            return Some(Work::Prove);
        }
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.payload.len();
            return Some(Work::Publish(message));
        }
        let is_parting = !self.parting.is_empty();
        is_parting.then(|| Work::Settle(std::mem::take(&mut self.parting)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> OutboundMessage {
        OutboundMessage {
            subject: "a".into(),
            reply: None,
            payload: vec![b'a'; bytes].into(),
            headers: None,
        }
    }

    fn connected() -> Outgoing {
        let outgoing = Outgoing::default();
        outgoing.connected();
        assert!(matches!(outgoing.state().take(), Some(Work::Prove)));
        outgoing
    }

    #[test]
    fn what_does_not_fit_is_dropped_by_number_and_by_bytes() {
        let outgoing = connected();
        for _ in 0..QUEUE {
            assert_eq!(outgoing.publish(message(1)), Ok(()));
        }
        assert_eq!(outgoing.publish(message(1)), Err(NotTaken::Full));
        assert_eq!(outgoing.disconnected(), QUEUE);
        assert_eq!(outgoing.publish(message(1)), Err(NotTaken::Down));
        let outgoing = connected();
        assert_eq!(outgoing.publish(message(QUEUE_BYTES)), Ok(()));
        assert_eq!(outgoing.publish(message(1)), Err(NotTaken::Full));
        assert!(matches!(outgoing.state().take(), Some(Work::Publish(_))));
        assert_eq!(outgoing.publish(message(1)), Ok(()));
    }

    #[test]
    fn subscriptions_wait_for_the_server_and_go_first() {
        let outgoing = Outgoing::default();
        let (subscribed, _wanted) = oneshot::channel();
        outgoing.subscribe("a".to_owned(), subscribed);
        assert!(outgoing.state().take().is_none());
        outgoing.connected();
        let (settled, _waiting) = oneshot::channel();
        let (parted, _leaving) = oneshot::channel();
        assert!(outgoing.settle(settled) && outgoing.part(parted));
        assert_eq!(outgoing.publish(message(1)), Ok(()));
        let mut state = outgoing.state();
        assert!(matches!(state.take(), Some(Work::Subscribe { .. })));
        assert!(matches!(state.take(), Some(Work::Settle(_))));
        assert!(matches!(state.take(), Some(Work::Prove)));
        assert!(matches!(state.take(), Some(Work::Publish(_))));
        assert!(matches!(state.take(), Some(Work::Settle(_))));
        assert!(state.take().is_none());
    }

    #[test]
    fn subscriptions_that_come_and_go_while_the_server_is_away_do_not_pile_up() {
        let outgoing = Outgoing::default();
        let mut wanted = Vec::new();
        for nth in 0..100_000 {
            let (subscribed, subscriber) = oneshot::channel();
            outgoing.subscribe("a".to_owned(), subscribed);
            if nth % 1000 == 0 {
                wanted.push(subscriber);
            }
        }
        let waiting = outgoing.state().subscriptions.len();
        assert!((100..=2 * 100).contains(&waiting), "{waiting}");
    }
}
