//! Rooms, memberships and join requests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MessageView, UserBrief, UserName};
use crate::domain::room::RoomOwner;
use crate::domain::{
    Epoch, JoinRequest, JoinRequestId, Membership, MembershipId, Role, Room, RoomId, RoomKind, Seq,
    Timestamp,
};

/// A room.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RoomView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RoomId,
    /// Its name; of a private room both usernames.
    pub name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether it is a group; a private room if not.
    pub is_group: bool,
    /// When something last happened in it.
    #[schema(value_type = String, format = DateTime)]
    pub last_activity: Timestamp,
    /// Who owns it.
    pub owner: UserBrief,
}

impl From<&Room> for RoomView {
    fn from(room: &Room) -> Self {
        Self {
            id: room.id,
            name: room.name.clone(),
            created_at: room.created_at,
            is_group: room.kind == RoomKind::Group,
            last_activity: room.last_activity,
            owner: (&room.owner).into(),
        }
    }
}

impl From<&RoomOwner> for UserBrief {
    fn from(owner: &RoomOwner) -> Self {
        Self {
            id: owner.id,
            email: owner.email.as_str().to_owned(),
            username: owner.username.as_str().to_owned(),
        }
    }
}

/// A room as one of its members sees it in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RoomEntryView {
    /// The room.
    #[serde(flatten)]
    pub room: RoomView,
    /// What the member may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// How many messages are behind the member's read marker.
    pub unread: u64,
    /// Up to where the member has read.
    #[schema(value_type = u64)]
    pub read_seq: Seq,
    /// The position of the room's last event.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// The life of the store that positions belong to.
    #[schema(value_type = String)]
    pub epoch: Epoch,
    /// The newest message.
    pub last_message: Option<MessageView>,
    /// The other person of a private room.
    pub peer: Option<UserName>,
}

/// A user's place in a room: what the inherited contract calls a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MembershipView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: MembershipId,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the member was last connected to the room.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// The member.
    pub user: UserBrief,
    /// The room.
    pub chat_room: RoomView,
}

impl MembershipView {
    /// `membership` of `room`.
    pub fn new(membership: &Membership, room: &Room) -> Self {
        Self {
            id: membership.id,
            created_at: membership.created_at,
            last_seen: membership.last_seen,
            user: (&membership.user).into(),
            chat_room: room.into(),
        }
    }
}

/// A member of a room, as the other members see them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemberView {
    /// The id of the membership.
    #[schema(value_type = String)]
    pub id: MembershipId,
    /// The person.
    pub user: UserBrief,
    /// What they may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When they were last connected to the room.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// Whether they are present in the room, or declare to be online.
    pub is_online: bool,
    /// Up to where they have read.
    #[schema(value_type = u64)]
    pub read_seq: Seq,
}

/// A request to be let into a group room.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JoinRequestView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JoinRequestId,
    /// What the requester said to the owner.
    pub message: Option<String>,
    /// `null` until the owner has decided.
    pub approved: Option<bool>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who asks.
    pub user: UserBrief,
    /// The room.
    pub chat_room: RoomView,
}

impl JoinRequestView {
    /// `request` for `room`.
    pub fn new(request: &JoinRequest, room: &Room) -> Self {
        Self {
            id: request.id,
            message: request.message.clone(),
            approved: request.approved,
            created_at: request.created_at,
            user: (&request.user).into(),
            chat_room: room.into(),
        }
    }
}

/// `POST /chat-rooms`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateRoom {
    /// 1 to 100 characters on one line.
    pub name: String,
}

/// A room that was made, and its maker's place in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedRoom {
    /// The room.
    pub chat_room: RoomView,
    /// The maker's membership.
    pub session: MembershipView,
}

/// `GET /chat-room-details`: what only the owner sees.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomDetails {
    /// The room.
    pub chat_room_details: RoomView,
    /// The requests to be let in, answered ones too, oldest first, in pages.
    pub chat_room_join_requests: Vec<JoinRequestView>,
}

/// `POST /join-request`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AskToJoin {
    /// The group room.
    pub chat_room_id: String,
    /// Words to the owner, at most 1 KiB.
    #[serde(default)]
    pub message: Option<String>,
}

/// `POST /handle-join-request`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AnswerJoinRequest {
    /// The request.
    pub join_request_id: String,
    /// Whether to let the requester in.
    pub approval_status: bool,
}

/// How a join request was answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnsweredJoinRequest {
    /// `approved` or `refused`.
    pub status: Answer,
    /// The membership, if there is one now.
    pub session: Option<MembershipView>,
}

/// What the owner said to a join request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Come in.
    Approved,
    /// Stay out.
    Refused,
}

/// `POST /user/submitted-chat-rooms`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SubmittedRooms {
    /// Group rooms, or private ones.
    pub is_group: bool,
}

/// `POST /pv-chat-room`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct OpenPrivateRoom {
    /// Whom to talk to.
    pub addressed_users_id: String,
}

/// A private room, and the places of its two people.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrivateRoom {
    /// The room.
    pub chat_room: RoomView,
    /// The membership of who asked.
    pub requesters_session: MembershipView,
    /// The membership of the other.
    pub addresseds_session: MembershipView,
}

/// `PUT /chat-rooms/{id}/read-marker`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct MarkRead {
    /// The position of the last event that was read.
    #[schema(value_type = u64)]
    pub seq: Seq,
}

/// `POST /chat-rooms/{id}/typing`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct TypingChange {
    /// Whether the caller is typing.
    pub is_typing: bool,
}

/// `POST /admin/chat-rooms`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateRoomFor {
    /// The name of a group; a private room gets both usernames.
    #[serde(default)]
    pub name: Option<String>,
    /// Who is to own it; the caller without.
    #[serde(default)]
    pub owner_id: Option<String>,
    /// The other person of a private room.
    #[serde(default)]
    pub addressed_users_id: Option<String>,
}

/// `PATCH /admin/chat-rooms/{id}`: what is not given stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RoomChange {
    /// A new name.
    #[serde(default)]
    pub name: Option<String>,
    /// A new owner, who is a member already.
    #[serde(default)]
    pub owner_id: Option<String>,
}
