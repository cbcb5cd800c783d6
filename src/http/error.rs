//! Failures as HTTP tells them: the one place that knows a status.

use std::sync::Arc;

use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::{ErrorBody, ErrorCode, FieldError};
use crate::service::Error;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (status(&self), Json(body(&self))).into_response();
        let headers = response.headers_mut();
        if matches!(self, Self::Unauthorized(_)) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // The request log, which has the request's span, tells the chain of sources from here.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The status of a failure, as the table in docs/PROTOCOL.md has it.
fn status(error: &Error) -> StatusCode {
    match error {
        Error::Malformed(_) => StatusCode::BAD_REQUEST,
        Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) | Error::SignupClosed => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Conflict(code, _) => status_of_conflict(*code),
        Error::ClientIdConflict => StatusCode::CONFLICT,
        Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Overloaded | Error::Unavailable(_) | Error::Unknown | Error::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The inherited calls tell a state that does not allow something with 400, the newer ones with 409.
fn status_of_conflict(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::EmailTaken
        | ErrorCode::UsernameTaken
        | ErrorCode::AlreadyMember
        | ErrorCode::AlreadyRequested
        | ErrorCode::OwnRoom
        | ErrorCode::AlreadyHandled
        | ErrorCode::PrivateWithOneself => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    }
}

fn body(error: &Error) -> ErrorBody {
    let errors = match error {
        Error::Invalid(errors) => errors.iter().map(field_error).collect(),
        _ => Vec::new(),
    };
    ErrorBody { detail: error.to_string(), code: error.code(), errors }
}

fn field_error(invalid: &crate::domain::Invalid) -> FieldError {
    FieldError { field: invalid.field.to_string(), message: invalid.message.clone() }
}

/// What only HTTP knows to refuse, before any use case is asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// As the use cases refuse.
    Service(Error),
    /// No such path.
    NoSuchPath,
    /// The path is there, for other methods.
    MethodNotAllowed,
    /// A body of another type, or compressed.
    UnsupportedMediaType(&'static str),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Self::Service(error) => return error.into_response(),
            Self::NoSuchPath => {
                (StatusCode::NOT_FOUND, ErrorCode::NotFound, "There is nothing at this path.")
            }
            Self::MethodNotAllowed => {
                let detail = "This path does not know this method.";
                (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, detail)
            }
            Self::UnsupportedMediaType(detail) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedMediaType, detail)
            }
        };
        let body = ErrorBody { detail: detail.to_owned(), code, errors: Vec::new() };
        let mut response = (status, Json(body)).into_response();
        // axum fills in the methods of the path.
        if status != StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().remove(ALLOW);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_passes_says_when_to_come_back_and_a_401_what_is_wanted() {
        let wait = Duration::from_millis(2_100);
        let limited = Error::RateLimited { detail: "Too much.", retry_after: wait };
        let response = limited.into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        let response = Error::Overloaded.into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let response = Error::Unauthorized("No.").into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn the_cause_of_a_failure_is_for_the_log_alone() {
        let error = Error::internal("/var/lib/secret.db: locked");
        assert!(!serde_json::to_string(&body(&error)).unwrap().contains("secret.db"));
        let response = error.into_response();
        let kept = response.extensions().get::<Arc<Error>>().unwrap();
        assert!(std::error::Error::source(kept).unwrap().to_string().contains("secret.db"));
    }
}
