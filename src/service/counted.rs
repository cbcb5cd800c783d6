//! What clients are told, as it is counted.

use super::Error;
use crate::api::ErrorCode;
use crate::app::App;
use crate::metrics::{Answer, Labels, Refusal};
use crate::room::{Committed, Refused};

/// Counts what the sender of a message is told.
pub(crate) fn answered(app: &App, told: std::result::Result<&Committed, &Error>) {
    let answer = match told {
        Ok(Committed { repeated: true, .. }) => Answer::Repeated,
        Ok(_) => Answer::Stored,
        Err(error) => answer(error),
    };
    app.metrics.messages.answers.of(answer).inc();
}

/// What became of a message, in the word under which it is counted.
pub(crate) fn outcome(outcome: &std::result::Result<Committed, Refused>) -> &'static str {
    let answer = match outcome {
        Ok(Committed { repeated: true, .. }) => Answer::Repeated,
        Ok(_) => Answer::Stored,
        Err(Refused::NotFound | Refused::Forbidden | Refused::NoMember) => Answer::Forbidden,
        Err(Refused::AlreadyMember | Refused::OwnerStays | Refused::ClientIdConflict) => {
            Answer::Conflict
        }
        Err(Refused::Overloaded) => Answer::Overloaded,
        Err(Refused::Unknown) => Answer::Unknown,
        Err(Refused::Unavailable(_)) => Answer::Unavailable,
    };
    answer.values()[0]
}

/// Why a message was refused before that, in the word under which it is counted.
pub(crate) fn refusal(error: &Error) -> &'static str {
    answer(error).values()[0]
}

fn answer(error: &Error) -> Answer {
    match error {
        Error::Invalid(_) | Error::Malformed(_) | Error::TooLarge(_) => Answer::Invalid,
        Error::Unauthorized(_) | Error::Forbidden(_) | Error::SignupClosed | Error::NotFound(_) => {
            Answer::Forbidden
        }
        Error::Conflict(..) | Error::ClientIdConflict => Answer::Conflict,
        Error::RateLimited { .. } => Answer::RateLimited,
        Error::Overloaded => Answer::Overloaded,
        Error::Unavailable(_) => Answer::Unavailable,
        Error::Unknown => Answer::Unknown,
        Error::Draining => Answer::Draining,
        Error::StorageFull => Answer::StorageFull,
        Error::Internal(_) => Answer::Internal,
    }
}

/// Counts a client that is not let in.
pub(crate) fn turned_away(app: &App, error: &Error) {
    let refusal = match error.code() {
        ErrorCode::Unauthorized => Refusal::Unauthorized,
        ErrorCode::Forbidden | ErrorCode::NotFound => Refusal::NoMember,
        ErrorCode::RateLimited => Refusal::RateLimited,
        ErrorCode::Draining => Refusal::Draining,
        ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::Internal => {
            Refusal::Unavailable
        }
        _ => Refusal::Invalid,
    };
    app.metrics.sockets.refused.of(refusal).inc();
}
