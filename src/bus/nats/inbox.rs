//! What is addressed to this node alone: answers to what it has asked, and its own probes.
//!
//! One subscription with a wildcard serves all of it; the last part of an address is a number that is given once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::Message;
use async_nats::message::OutboundMessage;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};

use super::super::Reply;
use super::line::Line;
use crate::domain::BootId;

/// What a server answers with if nobody listens to what was asked.
const NO_RESPONDERS: u16 = 503;

/// Questions that are open before those whose asker is gone are looked for.
const FEW: usize = 256;

/// What a node tells itself over the server.
pub(super) enum Probe {
    /// The server knows of all subscriptions.
    Settle(Vec<oneshot::Sender<()>>),
    /// The server hears this node, and this node the server.
    Prove,
}

enum Expected {
    Answers(mpsc::Sender<Reply>),
    Probe(Probe),
}

/// The addresses that something is expected at. Bounded by who waits for it: twice that at most.
pub(super) struct Inbox {
    boot: BootId,
    prefix: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: u64,
    expected: HashMap<u64, Expected>,
    prune_at: usize,
}

impl Inbox {
    pub(super) fn new(boot: BootId) -> Self {
        Self { boot, prefix: format!("natter.inbox.{boot}."), state: Mutex::default() }
    }

    /// What the server is told this node is called.
    pub(super) fn name(&self) -> String {
        format!("natter {}", self.boot)
    }

    /// The subject of all that comes here.
    pub(super) fn everything(&self) -> String {
        format!("{}*", self.prefix)
    }

    pub(super) fn address(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// A new number, at which `asker` waits for answers.
    pub(super) fn expect(&self, asker: mpsc::Sender<Reply>) -> u64 {
        self.state().expect(Expected::Answers(asker))
    }

    /// Nothing is expected at `number` any more.
    pub(super) fn forget(&self, number: u64) {
        self.state().expected.remove(&number);
    }

    /// A message to this node itself.
    pub(super) fn probe(&self, probe: Probe) -> OutboundMessage {
        let number = self.state().expect(Expected::Probe(probe));
        let subject = self.address(number).into();
        OutboundMessage { subject, reply: None, payload: Bytes::new(), headers: None }
    }

    /// The server is away: nobody answers any more, and probes do not come back.
    pub(super) fn clear(&self) {
        let expected = std::mem::take(&mut self.state().expected);
        for expected in expected.into_values() {
            if let Expected::Answers(asker) = expected {
                // A full queue holds answers already.
                let _ = asker.try_send(Reply::NoResponders);
            }
        }
    }

    /// Hands a message to whoever expects it; the probe that it may be.
    fn take(&self, message: Message) -> Option<Probe> {
        let number = message.subject.strip_prefix(self.prefix.as_str())?.parse().ok()?;
        let mut state = self.state();
        let is_last = match state.expected.get(&number)? {
            Expected::Probe(_) => true,
            Expected::Answers(asker)
                if message.status.is_some_and(|status| status.as_u16() == NO_RESPONDERS) =>
            {
                let _ = asker.try_send(Reply::NoResponders);
                true
            }
            // What does not fit is lost, which whoever asked has to live with anyhow.
            Expected::Answers(asker) => match asker.try_send(Reply::Answer(message.payload)) {
                Err(mpsc::error::TrySendError::Closed(_)) => true,
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => false,
            },
        };
        match is_last.then(|| state.expected.remove(&number))?? {
            Expected::Probe(probe) => Some(probe),
            Expected::Answers(_) => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn expect(&mut self, expected: Expected) -> u64 {
        if self.expected.len() >= self.prune_at.max(FEW) {
            self.expected.retain(|_, expected| match expected {
                Expected::Answers(asker) => !asker.is_closed(),
                Expected::Probe(Probe::Settle(settling)) => {
                    settling.iter().any(|one| !one.is_closed())
                }
                Expected::Probe(Probe::Prove) => true,
            });
            self.prune_at = 2 * self.expected.len();
        }
        self.given += 1;
        self.expected.insert(self.given, expected);
        self.given
    }
}

/// Takes in whatever comes to this node's addresses.
pub(super) async fn take_in(line: Arc<Line>, mut messages: BoxStream<'static, Message>) {
    while let Some(message) = messages.next().await {
        match line.inbox.take(message) {
            Some(Probe::Settle(settling)) => {
                for settled in settling {
                    // Whoever waits no longer need not be told.
                    let _ = settled.send(());
                }
            }
            Some(Probe::Prove) => line.proved(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Inbox {
        Inbox::new(BootId::new(1, 1))
    }

    fn message(subject: String) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: Bytes::from_static(b"answer"),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn an_answer_goes_to_whoever_asked_and_anything_else_nowhere() {
        let inbox = inbox();
        let (asker, mut replies) = mpsc::channel(2);
        let number = inbox.expect(asker);
        for other in ["", "x", "1x", "-1", "99", "1.1", "18446744073709551616"] {
            assert!(inbox.take(message(format!("{}{other}", inbox.prefix))).is_none());
        }
        assert!(inbox.take(message("natter.nodes".to_owned())).is_none());
        assert!(replies.try_recv().is_err());
        assert!(inbox.take(message(inbox.address(number))).is_none());
        assert_eq!(replies.try_recv(), Ok(Reply::Answer(Bytes::from_static(b"answer"))));
    }

    #[test]
    fn questions_whose_asker_is_gone_do_not_pile_up() {
        let inbox = inbox();
        let (asker, _replies) = mpsc::channel(1);
        let waits = inbox.expect(asker);
        for _ in 0..100_000 {
            inbox.expect(mpsc::channel(1).0);
        }
        let state = inbox.state();
        assert!(state.expected.len() <= FEW && state.expected.contains_key(&waits));
    }

    #[test]
    fn whoever_waits_is_told_of_the_end() {
        let inbox = inbox();
        let (asker, mut replies) = mpsc::channel(1);
        inbox.expect(asker);
        let (settled, mut is_settled) = oneshot::channel();
        let probe = inbox.probe(Probe::Settle(vec![settled]));
        inbox.clear();
        assert_eq!(replies.try_recv(), Ok(Reply::NoResponders));
        assert!(is_settled.try_recv().is_err());
        assert!(inbox.take(message(probe.subject.to_string())).is_none());
    }
}
