//! Rooms.

use serde::Serialize;

use super::text::{Invalid, check_name};
use super::{Email, RoomId, Seq, Timestamp, UserId, Username};

/// What kind of conversation a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    /// Has an owner, who lets people in.
    Group,
    /// Between two people, for good: the same pair always gets the same room.
    Private,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Its name; of a private room both usernames at its making.
    pub name: String,
    /// Group or private.
    pub kind: RoomKind,
    /// Who made it and, in a group, lets people in.
    pub owner: RoomOwner,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something was last said or changed. Written behind, so it may lag by some seconds.
    pub last_activity: Timestamp,
}

/// The owner of a room as others see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOwner {
    /// Their account.
    pub id: UserId,
    /// Their address.
    pub email: Email,
    /// Their name.
    pub username: Username,
}

/// Where the log of a room ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// The position of the last event.
    pub seq: Seq,
    /// How many messages there are up to it, deleted ones included.
    pub ordinal: u64,
    /// When the last event was stored; times in a room do not go back.
    pub timestamp: Timestamp,
}

/// The name of a group room: 1 to 100 characters on one line, nothing invisible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomName(String);

impl RoomName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        check_name("name", &text)?;
        if text.chars().count() > Self::MAX_CHARS {
            let message = format!("must be at most {} characters", Self::MAX_CHARS);
            return Err(Invalid::new("name", message));
        }
        Ok(Self(text))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the private room of `one` and `other`.
    pub fn of_pair(one: &Username, other: &Username) -> String {
        format!("{one}, {other}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_are_one_visible_line() {
        assert!(RoomName::parse("Team lunch 🍜").is_ok());
        for wrong in ["", "  ", "a\nb", "a\0", &"x".repeat(101), "\u{200b}"] {
            assert!(RoomName::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
