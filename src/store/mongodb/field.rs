//! How the types of the domain lie in documents.
//!
//! Ids are binary, so that they sort as they are made; times are dates, so that an operator can read them.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, RawBsonRef, RawDocument, RawDocumentBuf};

use crate::domain::{
    AttachmentId, AttachmentState, ClientId, Email, Generation, JoinRequestId, MembershipId, Nonce,
    Role, RoomId, Seq, Timestamp, UserId, Username,
};
use crate::store::{Result, StoreError};

/// Bytes of the key of an event: its room and its position.
const PLACE: usize = 20;

/// The key of an event. As keys sort by their bytes, those of a room lie together, in the order of its log.
pub(super) fn place(room: RoomId, seq: Seq) -> Binary {
    binary([room.as_bytes().as_slice(), seq.0.to_be_bytes().as_slice()].concat())
}

/// The key of a membership: its room and its user.
pub(super) fn seat(room: RoomId, user: UserId) -> Binary {
    binary([room.as_bytes().as_slice(), user.as_bytes().as_slice()].concat())
}

/// The key of a pair's private room.
pub(super) fn pair(low: UserId, high: UserId) -> Binary {
    binary([low.as_bytes().as_slice(), high.as_bytes().as_slice()].concat())
}

/// The bytes as a value of a document.
pub(super) fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

/// A count, which ends at 2^63 in a document: what is beyond compares as if it were there.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An id by which lists are paged.
pub(super) trait Id: Copy + Into<Bson> {}

macro_rules! ids {
    ($($name:ident),+) => {$(
        impl From<$name> for Bson {
            fn from(id: $name) -> Self {
                Self::Binary(binary(id.as_bytes().to_vec()))
            }
        }

        impl Field for $name {
            fn read(value: RawBsonRef<'_>) -> Option<Self> {
                <[u8; 12]>::read(value).map(Self::from_bytes)
            }
        }

        impl Id for $name {}
    )+};
}

macro_rules! texts {
    ($($name:ident),+) => {$(
        impl From<&$name> for Bson {
            fn from(text: &$name) -> Self {
                Self::String(text.as_str().to_owned())
            }
        }

        impl Field for $name {
            fn read(value: RawBsonRef<'_>) -> Option<Self> {
                String::read(value).map(Self::stored)
            }
        }
    )+};
}

/// What can be read from a field of a document.
pub(super) trait Field: Sized {
    /// The value; `None` if it is of another kind.
    fn read(value: RawBsonRef<'_>) -> Option<Self>;
}

ids!(UserId, RoomId, MembershipId, JoinRequestId, AttachmentId);
texts!(Email, Username, ClientId);

impl<const N: usize> Field for [u8; N] {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        value.as_binary()?.bytes.try_into().ok()
    }
}

/// Bytes of any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub Vec<u8>);

impl Field for Bytes {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        value.as_binary().map(|binary| Self(binary.bytes.to_vec()))
    }
}

impl Field for String {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Field for bool {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl Field for u64 {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        // Whoever edits by hand may have stored the shorter form.
        let number = value.as_i64().or_else(|| value.as_i32().map(i64::from))?;
        Self::try_from(number).ok()
    }
}

impl Field for u32 {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        u64::read(value)?.try_into().ok()
    }
}

impl Field for Generation {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        u32::read(value).map(Self)
    }
}

impl Field for Nonce {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        Field::read(value).map(Self)
    }
}

impl From<Seq> for Bson {
    fn from(seq: Seq) -> Self {
        Self::Int64(count(seq.0))
    }
}

impl Field for Seq {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        u64::read(value).map(Self)
    }
}

impl From<Timestamp> for Bson {
    fn from(at: Timestamp) -> Self {
        Self::DateTime(DateTime::from_millis(at.0))
    }
}

impl Field for Timestamp {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        value.as_datetime().map(|at| Self(at.timestamp_millis()))
    }
}

impl From<Role> for Bson {
    fn from(role: Role) -> Self {
        Self::from(match role {
            Role::Owner => "owner",
            Role::Member => "member",
        })
    }
}

impl Field for Role {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        match value.as_str()? {
            "owner" => Some(Self::Owner),
            "member" => Some(Self::Member),
            _ => None,
        }
    }
}

impl From<AttachmentState> for Bson {
    fn from(state: AttachmentState) -> Self {
        Self::from(match state {
            AttachmentState::Unattached => "unattached",
            AttachmentState::Attached => "attached",
            AttachmentState::Deleting => "deleting",
        })
    }
}

impl Field for AttachmentState {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        match value.as_str()? {
            "unattached" => Some(Self::Unattached),
            "attached" => Some(Self::Attached),
            "deleting" => Some(Self::Deleting),
            _ => None,
        }
    }
}

/// The place that an event's key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub RoomId, pub Seq);

impl Field for Place {
    fn read(value: RawBsonRef<'_>) -> Option<Self> {
        let bytes = <[u8; PLACE]>::read(value)?;
        let (room, seq) = bytes.split_at(12);
        let room = RoomId::from_bytes(room.try_into().ok()?);
        Some(Self(room, Seq(u64::from_be_bytes(seq.try_into().ok()?))))
    }
}

/// A document that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a>(pub &'a RawDocument);

impl<'a> Row<'a> {
    pub(super) fn of(document: &'a RawDocumentBuf) -> Self {
        Self(document)
    }

    /// The value of `field`, which has to be there.
    pub(super) fn get<T: Field>(&self, field: &'static str) -> Result<T> {
        self.find(field)?.ok_or_else(|| malformed(field, "is missing"))
    }

    /// The value of `field`, if it is there.
    pub(super) fn find<T: Field>(&self, field: &'static str) -> Result<Option<T>> {
        match self.raw(field)? {
            None | Some(RawBsonRef::Null) => Ok(None),
            Some(value) => match T::read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(malformed(field, "is of no form that natter writes")),
            },
        }
    }

    /// The text of `field`, without a copy.
    pub(super) fn text(&self, field: &'static str) -> Result<Option<&'a str>> {
        Ok(self.raw(field)?.and_then(|value| value.as_str()))
    }

    /// Whether there is such a field.
    pub(super) fn has(&self, field: &'static str) -> Result<bool> {
        Ok(self.raw(field)?.is_some())
    }

    /// The value of `field` as it lies in the document.
    pub(super) fn raw(&self, field: &'static str) -> Result<Option<RawBsonRef<'a>>> {
        self.0.get(field).map_err(|error| StoreError::Malformed(error.into()))
    }
}

fn malformed(field: &str, what: &str) -> StoreError {
    StoreError::Malformed(format!("the field {field} of a document {what}").into())
}
