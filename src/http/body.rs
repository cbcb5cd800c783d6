//! Bodies that are no uploads: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::error::Refusal;
use crate::service::Error;

/// The longest body that is no upload: 1 MiB.
pub(super) const MAX: usize = 1024 * 1024;

/// Bodies up to this are read before anybody looks at the request, see [`ahead`].
const SMALL: usize = 16 * 1024;

/// How long a body may take: a mebibyte at the speed of a bad phone line.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a small body before the request is answered.
///
/// An answer that does not wait for the body (401, 404, 415 ...) leaves it on the connection, and hyper closes
/// that behind the answer unless all of it has arrived by then. A client that keeps the connection for
/// its next call would now and then find it gone.
pub(super) async fn ahead(request: Request, next: Next) -> Response {
    if !is_small(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(PATIENCE, to_bytes(body, SMALL)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        _ => incomplete().into_response(),
    }
}

fn is_small(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length| (1..=SMALL).contains(&length))
}

/// Reads a body of at most [`MAX`].
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    check_plain(request.headers())?;
    let read = tokio::time::timeout(PATIENCE, Bytes::from_request(request, state)).await;
    let Ok(read) = read else { return Err(incomplete().into()) };
    read.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Error::TooLarge(format!("The body must be at most {MAX} bytes.")).into()
        } else {
            incomplete().into()
        }
    })
}

/// Refuses a body that says it is compressed: nothing here unpacks one.
pub(super) fn check_plain(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(Refusal::UnsupportedMediaType("The body must not be compressed."))
        }
        _ => Ok(()),
    }
}

fn incomplete() -> Error {
    Error::Malformed("The body did not come whole, or not in time.".to_owned())
}
