//! How the body of an event is written down, in a store and on the bus: its kind as a word, the rest as JSON.

use serde::{Deserialize, Serialize};

use crate::domain::event::MemberAdded;
use crate::domain::message::Digest;
use crate::domain::{
    Attachment, Body, Email, JoinRequestId, MembershipId, Message, MessageType, RemovalReason,
    Role, Seq, UserId, Username,
};

/// The kind of a message of which something is left. The indexes of messages know it by this word.
pub(crate) const MESSAGE: &str = "message";
/// The kind of what is left of a message otherwise.
pub(crate) const GONE: &str = "gone";

/// The kind of a new member.
pub(crate) const MEMBER_ADDED: &str = "member_added";

/// The kinds of events by which a stay in a room begins or ends.
pub(crate) const STAYS: [&str; 3] = [MEMBER_ADDED, "member_removed", "room_deleted"];

/// The three columns of a body.
pub(crate) struct Stored {
    /// Which of the variants.
    pub(crate) kind: &'static str,
    /// The rest, as JSON, where there is any.
    pub(crate) json: Option<String>,
    /// Of a message, also when nothing else is left of it.
    pub(crate) digest: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct MessageRow {
    username: String,
    text: String,
    #[serde(rename = "type")]
    message_type: MessageType,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment>,
}

#[derive(Serialize, Deserialize)]
struct EditedRow {
    target: Seq,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct DeletedRow {
    target: Seq,
}

#[derive(Serialize, Deserialize)]
struct ReactedRow {
    target: Seq,
    emoji: String,
    users: Vec<UserId>,
}

#[derive(Serialize, Deserialize)]
struct MemberAddedRow {
    membership: MembershipId,
    user: UserId,
    email: String,
    username: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<JoinRequestId>,
}

#[derive(Serialize, Deserialize)]
struct MemberRemovedRow {
    user: UserId,
    username: String,
    reason: RemovalReason,
}

#[derive(Serialize, Deserialize)]
struct RoomUpdatedRow {
    name: String,
    owner: UserId,
    owner_email: String,
    owner_username: String,
}

#[derive(Serialize, Deserialize)]
struct ClearedRow {
    through: Seq,
}

/// A row that no version of natter writes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MalformedBody {
    /// The JSON is not of this kind.
    #[error("the body of an event is not of its kind")]
    Json(#[from] serde_json::Error),
    /// The kind is unknown, or a part of it is missing.
    #[error("an event is of no kind that this natter knows, or lacks a part of it")]
    Kind,
}

fn json(row: &impl Serialize) -> Option<String> {
    Some(serde_json::to_string(row).expect("rows are plain structs, whose keys are texts"))
}

/// What of a message lies in its JSON.
pub(crate) fn message_json(message: &Message) -> Option<String> {
    json(&MessageRow {
        username: message.username.as_str().to_owned(),
        text: message.text.clone(),
        message_type: message.message_type,
        attachment: message.attachment.clone(),
    })
}

/// The columns of `body`.
pub(crate) fn encode(body: &Body) -> Stored {
    let (kind, json, digest) = match body {
        Body::Message(message) => (MESSAGE, message_json(message), Some(message.digest)),
        Body::Gone { digest } => (GONE, None, Some(*digest)),
        Body::Edited { target, text } => {
            ("edited", json(&EditedRow { target: *target, text: text.clone() }), None)
        }
        Body::Deleted { target } => ("deleted", json(&DeletedRow { target: *target }), None),
        Body::Reacted { target, emoji, users } => {
            let row = ReactedRow { target: *target, emoji: emoji.clone(), users: users.clone() };
            ("reacted", json(&row), None)
        }
        Body::MemberAdded(added) => (MEMBER_ADDED, member_added_json(added), None),
        Body::MemberRemoved { user, username, reason } => {
            let username = username.as_str().to_owned();
            let row = MemberRemovedRow { user: *user, username, reason: *reason };
            ("member_removed", json(&row), None)
        }
        Body::RoomUpdated { name, owner, owner_email, owner_username } => {
            let row = RoomUpdatedRow {
                name: name.clone(),
                owner: *owner,
                owner_email: owner_email.as_str().to_owned(),
                owner_username: owner_username.as_str().to_owned(),
            };
            ("room_updated", json(&row), None)
        }
        Body::Cleared { through } => ("cleared", json(&ClearedRow { through: *through }), None),
        Body::RoomDeleted => ("room_deleted", None, None),
    };
    Stored { kind, json, digest }
}

fn member_added_json(added: &MemberAdded) -> Option<String> {
    json(&MemberAddedRow {
        membership: added.membership,
        user: added.user,
        email: added.email.as_str().to_owned(),
        username: added.username.as_str().to_owned(),
        role: added.role,
        request: added.request,
    })
}

/// The body of those columns, in an event of `sender`.
pub(crate) fn decode(
    kind: &str,
    json: Option<&str>,
    digest: Option<Digest>,
    sender: UserId,
) -> Result<Body, MalformedBody> {
    let json = json.unwrap_or_default();
    Ok(match kind {
        MESSAGE => {
            let row: MessageRow = serde_json::from_str(json)?;
            Body::Message(Message {
                sender,
                username: Username::stored(row.username),
                text: row.text,
                message_type: row.message_type,
                attachment: row.attachment,
                digest: digest.ok_or(MalformedBody::Kind)?,
            })
        }
        GONE => Body::Gone { digest: digest.ok_or(MalformedBody::Kind)? },
        "edited" => {
            let EditedRow { target, text } = serde_json::from_str(json)?;
            Body::Edited { target, text }
        }
        "deleted" => Body::Deleted { target: serde_json::from_str::<DeletedRow>(json)?.target },
        "reacted" => {
            let ReactedRow { target, emoji, users } = serde_json::from_str(json)?;
            Body::Reacted { target, emoji, users }
        }
        "cleared" => Body::Cleared { through: serde_json::from_str::<ClearedRow>(json)?.through },
        "room_deleted" => Body::RoomDeleted,
        _ => decode_membership(kind, json)?,
    })
}

fn decode_membership(kind: &str, json: &str) -> Result<Body, MalformedBody> {
    Ok(match kind {
        MEMBER_ADDED => {
            let row: MemberAddedRow = serde_json::from_str(json)?;
            Body::MemberAdded(MemberAdded {
                membership: row.membership,
                user: row.user,
                email: Email::stored(row.email),
                username: Username::stored(row.username),
                role: row.role,
                request: row.request,
            })
        }
        "member_removed" => {
            let row: MemberRemovedRow = serde_json::from_str(json)?;
            let username = Username::stored(row.username);
            Body::MemberRemoved { user: row.user, username, reason: row.reason }
        }
        "room_updated" => {
            let row: RoomUpdatedRow = serde_json::from_str(json)?;
            Body::RoomUpdated {
                name: row.name,
                owner: row.owner,
                owner_email: Email::stored(row.owner_email),
                owner_username: Username::stored(row.owner_username),
            }
        }
        _ => return Err(MalformedBody::Kind),
    })
}
