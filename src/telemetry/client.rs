//! The way to the collector: the SDK exports from a thread of its own, and the client wants the runtime.

use std::error::Error;
use std::iter;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

use crate::tls;

/// Between two lines in the log about a collector that takes nothing; the metric has each batch.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// The most that is read of an answer, in bytes: nothing in it is needed, but a connection whose answer was read can be used again.
const MOST: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    runtime: Handle,
    complaints: Mutex<Complaints>,
}

impl Client {
    /// A client on the runtime of the caller.
    pub(super) fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        tls::install();
        // What goes to the collector may carry its password, and follows nobody elsewhere.
        let stay = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(timeout).redirect(stay).build()?;
        Ok(Self { http, runtime: Handle::current(), complaints: Mutex::default() })
    }

    fn complain(&self, error: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.are_due(Instant::now()) {
            tracing::warn!(
                error,
                "the collector does not take traces; they are lost until it does"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request));
        let outcome = sent.await.map_err(HttpError::from).flatten();
        match &outcome {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.complain(&format!("it answers {}", response.status())),
            Err(error) => self.complain(&chain(&**error)),
        }
        outcome
    }
}

async fn send(
    http: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = http.execute(request.try_into()?).await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    let mut read = 0;
    while let Some(chunk) = answer.chunk().await? {
        read += chunk.len();
        if read > MOST {
            break;
        }
    }
    Ok(response.body(Bytes::new())?)
}

/// An error and all that led to it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let all = iter::successors(Some(error), |&error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// When something was last complained about.
#[derive(Debug, Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    /// Whether to complain again, which then counts as done.
    fn are_due(&mut self, now: Instant) -> bool {
        let are_due = self.0.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if are_due {
            self.0 = Some(now);
        }
        are_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_stays_away_is_complained_about_seldom() {
        let (mut complaints, began) = (Complaints::default(), Instant::now());
        let due =
            (0..=3600).filter(|second| complaints.are_due(began + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [0, 600, 1200, 1800, 2400, 3000, 3600]);
    }
}
