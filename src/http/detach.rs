//! Keeps a handler running when its client leaves, and the connection open when a handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;

use crate::app::App;
use crate::service::Error;

/// Lets a request that changes something run to its end, even if its client leaves: hyper drops the handler
/// then, and a use case that ends half way would leave half of a change. A panic is a 500 like others.
pub(crate) async fn detach(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_safe = request.method().is_safe();
    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    if is_safe {
        return answering.await.unwrap_or_else(panicked);
    }
    match app.tasks.spawn(answering.in_current_span()).await {
        Ok(answered) => answered.unwrap_or_else(panicked),
        Err(cancelled) => Error::internal(cancelled).into_response(),
    }
}

/// The panic itself is told by the panic hook; the answer only names the request.
fn panicked(_payload: Box<dyn Any + Send>) -> Response {
    Error::internal("a handler panicked").into_response()
}
