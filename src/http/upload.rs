//! Reads a form with one file as it streams in, however it is sent: in drops, in floods, or not at all.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::CONTENT_TYPE;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::{Refusal, body};
use crate::service::{Error, Result};

/// How long a sender may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// How fast a sender is at the least, on average and beyond the first [`SILENCE`]: bytes a second. Nobody
/// waits so long for a picture; who sends a byte now and then only holds the connection.
const SLOWEST: u64 = 1024;

/// How much may be read that is no content of the file: boundaries, and the headers of its part.
const MOST_AHEAD: usize = 1 << 20;

/// How long, and how much, is still read of a body that was refused. A client that is cut off while it sends
/// does not see why.
const DISCARD_TIME: Duration = Duration::from_secs(10);
const DISCARD_BYTES: usize = 128 << 20;

/// A form on its way in.
pub(super) struct Form {
    parts: Multipart,
    pace: Pace,
    ahead: Arc<Ahead>,
}

impl Form {
    /// Begins to read the form of `request`.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnsupportedMediaType`] if it is none; 422 if its head is malformed.
    pub(super) async fn open(request: Request) -> std::result::Result<Self, Refusal> {
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
            let detail = "The body must be multipart/form-data with one part, file.";
            return Err(Refusal::UnsupportedMediaType(detail));
        }
        body::check_plain(request.headers())?;
        let ahead =
            Arc::new(Ahead { bytes: AtomicUsize::new(0), limit: AtomicUsize::new(MOST_AHEAD) });
        let (head, body) = request.into_parts();
        let paced = Turns { body: body.into_data_stream(), rest: false, ahead: Arc::clone(&ahead) };
        let request = Request::from_parts(head, Body::from_stream(paced));
        let parts = Multipart::from_request(request, &()).await;
        let parts = parts.map_err(|_no_boundary| {
            Error::invalid("body", "must be multipart/form-data with a boundary")
        })?;
        Ok(Self { parts, pace: Pace::begin(), ahead })
    }

    /// The one part, `file`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if another part comes first, or none, or the form is malformed.
    pub(super) async fn file(&mut self) -> Result<FilePart<'_>> {
        let part = self.pace.within(self.parts.next_field()).await?;
        match part.map_err(|error| malformed(&error))? {
            Some(part) if part.name() == Some("file") => {
                self.ahead.taken();
                Ok(FilePart { part, pace: &mut self.pace, ahead: &self.ahead })
            }
            _ => Err(only_file()),
        }
    }

    /// Makes sure that the form ends behind its file.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if another part follows, or the end does not come.
    pub(super) async fn end(&mut self) -> Result<()> {
        let part = self.pace.within(self.parts.next_field()).await?;
        match part.map_err(|error| malformed(&error))? {
            None => Ok(()),
            Some(_) => Err(only_file()),
        }
    }

    /// Reads on without a use for it, for a while, so that the client comes to read the refusal.
    pub(super) fn discard(self) {
        let Self { mut parts, ahead, .. } = self;
        ahead.taken();
        ahead.limit.store(DISCARD_BYTES, Ordering::Relaxed);
        tokio::spawn(tokio::time::timeout(DISCARD_TIME, async move {
            while let Ok(Some(_)) = parts.next_field().await {}
        }));
    }
}

/// Reads `body` without a use for it, for a while, so that the client comes to read the refusal.
pub(super) fn discard(body: Body) {
    let mut body = body.into_data_stream();
    tokio::spawn(tokio::time::timeout(DISCARD_TIME, async move {
        let mut read = 0;
        while let Some(Ok(bytes)) = body.next().await {
            read += bytes.len();
            if read > DISCARD_BYTES {
                break;
            }
        }
    }));
}

fn malformed(error: &MultipartError) -> Error {
    tracing::debug!(error = %error, "a form is malformed, or ended too early");
    Error::invalid("body", "must be a whole multipart/form-data")
}

fn only_file() -> Error {
    Error::invalid("file", "must be given, as the only part of the form")
}

/// The content of the file, as it comes.
pub(super) struct FilePart<'a> {
    part: Field<'a>,
    pace: &'a mut Pace,
    ahead: &'a Ahead,
}

impl FilePart<'_> {
    /// The name that the client gave, or nothing.
    pub(super) fn name(&self) -> &str {
        self.part.file_name().unwrap_or_default()
    }

    /// The next bytes; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the form is malformed or ends too early, or its sender is too slow.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes = self.pace.within(self.part.chunk()).await?;
        let bytes = bytes.map_err(|error| malformed(&error))?;
        self.ahead.taken();
        self.pace.received(bytes.as_ref().map_or(0, Bytes::len));
        Ok(bytes)
    }
}

/// How a sender keeps up.
struct Pace {
    begun: Instant,
    received: u64,
}

impl Pace {
    fn begin() -> Self {
        Self { begun: Instant::now(), received: 0 }
    }

    fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Until when the next bytes have to come, at `now`.
    fn deadline(&self, now: Instant) -> Instant {
        let earned = Duration::from_secs(self.received / SLOWEST);
        (self.begun + SILENCE + earned).min(now + SILENCE)
    }

    /// Awaits what the sender sends next, as long as it may take.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it takes longer.
    async fn within<T>(&self, next: impl Future<Output = T>) -> Result<T> {
        let deadline = self.deadline(Instant::now());
        tokio::time::timeout_at(deadline, next).await.map_err(|_elapsed| {
            Error::invalid("file", format!("must come without a pause of {} s", SILENCE.as_secs()))
        })
    }
}

/// How far the reader of forms has read ahead of who uses the content: it gathers what it is given, without
/// a bound of its own.
struct Ahead {
    bytes: AtomicUsize,
    limit: AtomicUsize,
}

impl Ahead {
    /// What was read so far has been used.
    fn taken(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }
}

/// A body that gives one piece at a time, for the reader of forms takes as much as there is, and that ends in an
/// error when too much was taken that nobody used.
struct Turns {
    body: BodyDataStream,
    /// Whether it is the reader's turn to use what it has.
    rest: bool,
    ahead: Arc<Ahead>,
}

impl Stream for Turns {
    type Item = std::result::Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rest) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = std::task::ready!(self.body.poll_next_unpin(context));
        if let Some(Ok(bytes)) = &next {
            self.rest = true;
            let ahead = self.ahead.bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
            if ahead > self.ahead.limit.load(Ordering::Relaxed) {
                let why = std::io::Error::other("a form with more around its file than in it");
                return Poll::Ready(Some(Err(axum::Error::new(why))));
            }
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_may_pause_but_neither_stop_nor_trickle() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        for (received, now, until, case) in [
            (0, 0, 30, "nothing yet"),
            (0, 29, 30, "nothing still"),
            (100, 29, 30, "a trickle earns no time"),
            (600 * 1024, 100, 130, "a steady sender may pause as long as any"),
            (60 * 1024, 80, 90, "one that is slow on the whole may not"),
        ] {
            let pace = Pace { begun, received };
            assert_eq!(pace.deadline(after(now)), after(until), "{case}");
        }
    }

    #[tokio::test]
    async fn the_reader_is_given_one_piece_at_a_time_and_no_more_than_it_uses() {
        let pieces = (0..4).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"piece")));
        let body = Body::from_stream(futures::stream::iter(pieces)).into_data_stream();
        let ahead = Arc::new(Ahead { bytes: AtomicUsize::new(0), limit: AtomicUsize::new(10) });
        let mut turns = Turns { body, rest: false, ahead: Arc::clone(&ahead) };
        let mut polled = 0;
        for _ in 0..2 {
            assert_eq!(turns.next().await.unwrap().unwrap(), "piece");
            let waiting = futures::poll!(turns.next());
            polled += usize::from(waiting.is_pending());
        }
        assert_eq!(polled, 2, "after each piece it is the reader's turn");
        ahead.taken();
        assert_eq!(turns.next().await.unwrap().unwrap(), "piece");
        ahead.bytes.store(8, Ordering::Relaxed);
        assert!(turns.next().await.unwrap().is_err(), "13 bytes that nobody used are over 10");
    }
}
