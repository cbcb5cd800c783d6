//! A NATS client that is no node.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::soon;

/// The client, and what the server tells it of itself.
pub(crate) struct Foreign {
    pub(crate) client: Client,
    events: mpsc::UnboundedReceiver<String>,
}

impl Foreign {
    /// A client with a user's name and password; an error if it is not let in.
    pub(crate) async fn connect(port: u16, user: &str, password: &str) -> Result<Self, String> {
        let options = ConnectOptions::new().user_and_password(user.to_owned(), password.to_owned());
        Self::with(port, options).await
    }

    pub(crate) async fn with(port: u16, options: ConnectOptions) -> Result<Self, String> {
        let (told, events) = mpsc::unbounded_channel();
        let options =
            options.connection_timeout(Duration::from_secs(30)).event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    let _ = told.send(error.to_string());
                }
                std::future::ready(())
            });
        let client = options.connect(format!("127.0.0.1:{port}")).await;
        let client = client.map_err(|error| error.to_string())?;
        Ok(Self { client, events })
    }

    /// What comes to `subject` from now on.
    pub(crate) async fn listens(&mut self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.is_taken().await;
        subscriber
    }

    /// Waits until the server has taken everything so far, which it does in order: then it hands back, or refuses, what this
    /// client tells itself.
    async fn is_taken(&mut self) {
        let subject = format!("natter.{:016x}", rand::random::<u64>());
        let mut own = self.client.subscribe(subject.clone()).await.unwrap();
        self.publishes(&subject, "").await;
        tokio::select! {
            _ = own.next() => {}
            refused = self.events.recv() => {
                assert!(refused.unwrap().contains(&subject));
                // To listen, then to publish.
                let refused = soon("a refusal", self.events.recv()).await.unwrap();
                assert!(refused.contains(&subject), "{refused}");
            }
        }
    }

    pub(crate) async fn publishes(&self, subject: &str, payload: impl Into<bytes::Bytes>) {
        self.client.publish(subject.to_owned(), payload.into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// Says `payload` on `subject`, and asks for an answer at `reply`.
    pub(crate) async fn asks(&self, subject: &str, reply: &str, payload: impl Into<bytes::Bytes>) {
        let (subject, reply) = (subject.to_owned(), reply.to_owned());
        self.client.publish_with_reply(subject, reply, payload.into()).await.unwrap();
    }

    /// Whether the server refuses it to listen to `subject`.
    pub(crate) async fn may_not_listen(&mut self, subject: &str) {
        let _subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.is_refused("subscription", subject).await;
    }

    /// Whether the server refuses it to publish to `subject`.
    pub(crate) async fn may_not_publish(&mut self, subject: &str) {
        self.publishes(subject, "{}").await;
        self.is_refused("publish", subject).await;
    }

    async fn is_refused(&mut self, what: &str, subject: &str) {
        let told = soon("a refusal", self.events.recv()).await.unwrap();
        let told_lower = told.to_lowercase();
        let expected =
            format!("permissions violation for {what} to \"{}\"", subject.to_lowercase());
        assert!(told_lower.contains(&expected), "{told:?} instead of {expected:?}");
    }

    /// What the server has complained of.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

pub(crate) async fn next(heard: &mut Subscriber) -> Message {
    soon("a message", heard.next()).await.unwrap()
}
