//! How long messages of a room are kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::RoomId;

/// How long messages of a room are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RetentionView {
    /// The room.
    #[schema(value_type = String)]
    pub chat_room_id: RoomId,
    /// Days, 0 for ever; `null` is as long as the server keeps them.
    pub days: Option<u32>,
    /// What holds: days, 0 for ever.
    pub effective_days: u32,
}

/// How long messages are to be kept.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub struct RetentionChange {
    /// Days, at most 36500, 0 for ever; `null` is as long as the server keeps them.
    #[serde(deserialize_with = "Option::deserialize")] // Without this, a field that is missing would be null.
    #[schema(required = true, maximum = 36500)]
    pub days: Option<u32>,
}
