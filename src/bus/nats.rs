//! The bus over core NATS.
//!
//! Three things of the client library decide the form of this adapter. Its `publish` waits as long as its queue is full, as
//! it is soon while the server is away: so what is said goes into [`outgoing`], which drops what does not fit, and a
//! task of its own hands it on. Its `flush` only empties buffers: so whoever wants to know that the server has taken a
//! subscription sends a message to this node's own [`inbox`] and waits until it is back, for a server works off one connection in order. And it
//! says that it is connected before it has subscribed anew: so the link counts as up when such a message came back.

mod inbox;
mod line;
mod options;
mod outgoing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::client::traits::Publisher;
use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{Client, Message};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::{Bus, BusError, Delivery, Link, Replies, Reply, SETTLE_TIMEOUT, Subject, Subscription};
use crate::config::{BusAccess, NatsUrl};
use crate::domain::BootId;
use crate::metrics::{Direction, Metrics};
use inbox::Probe;
use line::Line;
use options::Options;
use outgoing::Work;

/// How long a start waits for the server before it goes on without.
const FIRST_CONNECT: Duration = Duration::from_secs(10);

/// How often the state of the link is compared with what the client library says.
const LOOK: Duration = Duration::from_secs(1);

/// A connection to one server of a NATS cluster, which is made again for ever.
pub struct NatsBus {
    client: Client,
    line: Arc<Line>,
    /// Takes in what comes to this node's own addresses.
    taking_in: AbortHandle,
}

impl NatsBus {
    /// Connects to the servers of `url` as who `access` says, for the node `boot`. Without a server it goes on trying, and the
    /// link is down until then.
    ///
    /// # Errors
    ///
    /// [`BusError`]: what is configured can never work, or the server refuses the credentials.
    pub async fn connect(
        url: &NatsUrl,
        access: &BusAccess,
        boot: BootId,
        metrics: Metrics,
    ) -> Result<Self, BusError> {
        let line = Arc::new(Line::new(boot, metrics));
        let servers = options::servers(url)?;
        let options = Options::new(url, access, &line)?;
        let first = options.build()?.connect(&servers[..]);
        let (client, is_there) = match tokio::time::timeout(FIRST_CONNECT, first).await {
            Ok(Ok(client)) => (client, true),
            Ok(Err(error)) if options::is_refusal(&error) => return Err(options.refused(&error)),
            failed => {
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tracing::warn!(%error, "the bus is not there yet; it is tried again and again");
                let again = options.build()?.retry_on_initial_connect().connect(&servers[..]);
                (again.await.map_err(|error| options::unusable("bus.url", error))?, false)
            }
        };
        let answers = listen(&line, line.inbox.everything());
        let taking_in = tokio::spawn(inbox::take_in(Arc::clone(&line), answers)).abort_handle();
        tokio::spawn(drive(client.clone(), Arc::clone(&line)));
        tokio::spawn(look(client.clone(), Arc::clone(&line)));
        let bus = Self { client, line, taking_in };
        if is_there {
            let mut link = bus.link();
            // Whoever starts with a bus that is there need not know that it may be away.
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, link.wait_for(|link| link.is_up)).await;
        }
        Ok(bus)
    }

    fn send(&self, subject: &Subject, reply: Option<String>, payload: Bytes) -> bool {
        let message = OutboundMessage {
            subject: subject.as_str().into(),
            reply: reply.map(Into::into),
            payload,
            headers: None,
        };
        self.line.send(message, self.client.max_payload())
    }
}

#[async_trait]
impl Bus for NatsBus {
    fn publish(&self, subject: &Subject, payload: Bytes) {
        self.send(subject, None, payload);
    }

    fn request(&self, subject: &Subject, payload: Bytes) -> Replies {
        let (asker, replies) = Replies::channel();
        let number = self.line.inbox.expect(asker.clone());
        let address = self.line.inbox.address(number);
        if !self.send(subject, Some(address), payload) {
            self.line.inbox.forget(number);
            // The queue is new, so there is a place.
            let _ = asker.try_send(Reply::NoResponders);
        }
        replies
    }

    fn subscribe(&self, subject: &Subject) -> Subscription {
        let metrics = self.line.metrics.clone();
        let deliveries = listen(&self.line, subject.as_str().to_owned()).map(move |message| {
            metrics.bus.carried(Direction::In, message.payload.len());
            Delivery {
                payload: message.payload,
                reply: message.reply.map(|reply| Subject::reply(reply.as_str())),
            }
        });
        Subscription::of(deliveries.boxed())
    }

    async fn settled(&self) {
        let (settled, is_settled) = oneshot::channel();
        if self.line.outgoing.settle(settled) {
            // An error is the end of the connection: then there is nothing to wait for.
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, is_settled).await;
        }
    }

    async fn close(&self) {
        let (parted, has_parted) = oneshot::channel();
        if self.line.outgoing.part(parted) {
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, has_parted).await;
        }
    }

    fn reaches_others(&self) -> bool {
        true
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.line.link.subscribe()
    }

    fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    fn queue(&self) -> (usize, usize) {
        (self.line.outgoing.waiting(), outgoing::QUEUE)
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        self.line.outgoing.close();
        self.line.inbox.clear();
        self.taking_in.abort();
    }
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus").field("link", &*self.line.link.borrow()).finish_non_exhaustive()
    }
}

/// The messages to `subject`, which may hold a wildcard, once the server knows of it.
fn listen(line: &Line, subject: String) -> stream::BoxStream<'static, Message> {
    let (subscribed, subscriber) = oneshot::channel();
    line.outgoing.subscribe(subject, subscribed);
    let messages = subscriber.map(|subscriber| stream::iter(subscriber.ok()).flatten());
    messages.flatten_stream().boxed()
}

/// Hands on to the client library what waits, one after the other. Here it may wait for the server.
async fn drive(client: Client, line: Arc<Line>) {
    while let Some(work) = line.outgoing.next().await {
        let message = match work {
            Work::Subscribe { subject, subscribed } => {
                match client.subscribe(subject).await {
                    // Whoever no longer wants it drops it, which unsubscribes.
                    Ok(subscriber) => _ = subscribed.send(subscriber),
                    Err(error) => tracing::warn!(%error, "the bus cannot be listened to"),
                }
                continue;
            }
            Work::Publish(message) => {
                line.metrics.bus.carried(Direction::Out, message.payload.len());
                message
            }
            Work::Settle(settling) => line.inbox.probe(Probe::Settle(settling)),
            Work::Prove => line.inbox.probe(Probe::Prove),
        };
        if let Err(error) = client.publish_message(message).await {
            tracing::warn!(%error, "a message does not get to the bus");
        }
    }
}

/// Looks from time to time whether the link is as it is believed to be: word of a change may be lost when there is much of it.
async fn look(client: Client, line: Arc<Line>) {
    let statistics = client.statistics();
    let mut before = None;
    while !line.outgoing.is_closed() {
        tokio::time::sleep(LOOK).await;
        let is_connected = client.connection_state() == State::Connected;
        let now = Some((is_connected, statistics.connects.load(Ordering::Relaxed)));
        // What has just changed is about to be told.
        if let (Some((is_connected, connections)), true) = (now, now == before) {
            line.compare(is_connected, connections);
        }
        before = now;
    }
}
