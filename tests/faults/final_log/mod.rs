//! The final log, read past the nodes from the store itself, and through them over HTTP.

pub(crate) mod mongo;
mod sqlite;
mod told;

pub(crate) use sqlite::read as sqlite;
pub(crate) use told::{differences, read as told};

use serde_json::Value;

use crate::history::Kind;

/// What an event is, by its kind and body as they are stored.
fn kind(kind: &str, body: Option<&str>) -> Kind {
    let body: Value = body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match kind {
        "message" => Kind::Message(text("text")),
        "gone" => Kind::Gone,
        "member_added" => Kind::Came(text("user")),
        "member_removed" => Kind::Went(text("user")),
        other => Kind::Other(told_as(other).to_owned()),
    }
}

/// How clients are told of an event that is stored as `kind`.
fn told_as(kind: &str) -> &str {
    match kind {
        "edited" => "message_edited",
        "deleted" => "message_deleted",
        "reacted" => "message_reacted",
        "cleared" => "messages_cleared",
        same => same,
    }
}

/// The key if the client gave it: those that the server makes begin with `~`.
fn given(client_id: Option<String>) -> Option<String> {
    client_id.filter(|client_id| !client_id.starts_with('~'))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
