//! Answers to the events of clients: in the acknowledgement, and refusals as an `error` event as well.

use std::sync::Arc;

use serde::Serialize;

use crate::api::{AnswerError, Refusal, RefusedAnswer};
use crate::domain::RoomId;
use crate::room::{Connection, Packet, Question, encode};
use crate::service::Error;

/// Characters of an event's name that an answer repeats. None that exists is near; others can be as long as a packet.
const NAME_CHARS: usize = 64;

/// Where the answer to one event of a client goes.
pub(super) struct Ack {
    connection: Arc<Connection>,
    /// The number that the client gave the event, if it wants to know.
    number: Option<i64>,
    event: Box<str>,
    /// Counts the event among those without an answer.
    _question: Question,
}

#[derive(Serialize)]
struct Done<'a, T> {
    ok: bool,
    #[serde(flatten)]
    fields: &'a T,
}

impl Ack {
    /// The answer to the event `event` of `connection`.
    pub(super) fn new(connection: &Arc<Connection>, number: Option<i64>, event: &str) -> Self {
        Self {
            connection: Arc::clone(connection),
            number,
            event: event.chars().take(NAME_CHARS).collect::<String>().into(),
            _question: connection.questions.ask(),
        }
    }

    /// Tells that it was done.
    pub(super) fn done(&self, fields: &impl Serialize) {
        self.reply(&Done { ok: true, fields });
    }

    /// Tells why not. `room` is what the event named.
    pub(super) fn refuse(&self, error: &Error, room: Option<RoomId>) {
        if let Error::Internal(source) = error {
            tracing::error!(error = source, event = &*self.event, "an event of a client failed");
        }
        let (code, detail) = (error.code(), error.to_string());
        let retry_after = error.retry_after().map(|after| after.as_secs().max(1));
        let refusal = Refusal {
            code,
            detail: detail.clone(),
            event: self.event.to_string(),
            chat_room_id: room,
        };
        self.reply(&RefusedAnswer { ok: false, error: AnswerError { code, detail, retry_after } });
        self.connection.tell("error", &refusal);
    }

    fn reply(&self, answer: &impl Serialize) {
        if let Some(number) = self.number {
            self.connection.outbox.push(Packet::Reply(number, encode(answer)));
        }
    }
}
