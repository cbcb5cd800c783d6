//! Identifiers. To clients all of them are opaque strings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that can be no id of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct MalformedId;

/// Writes `bytes` as lowercase hex.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `N` bytes of lowercase hex: one spelling only, so that an id is equal to itself as text.
fn unhex<const N: usize>(text: &str) -> Result<[u8; N], MalformedId> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(MalformedId),
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return Err(MalformedId);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        ///
        /// 12 bytes, shown as 24 lowercase hex characters: 48 bits of the time in milliseconds, so that
        /// ids made later sort later and pages by id follow creation, then 48 random bits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 12]);

        impl $name {
            /// Makes a new id. `now_ms` is the time in milliseconds since 1970, `random` 48 random bits
            /// (the upper 16 are not used).
            pub fn new(now_ms: u64, random: u64) -> Self {
                let mut bytes = [0; 12];
                bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
                bytes[6..].copy_from_slice(&random.to_be_bytes()[2..]);
                Self(bytes)
            }

            /// The id as it is stored.
            pub const fn as_bytes(&self) -> &[u8; 12] {
                &self.0
            }

            /// The id that is stored as `bytes`.
            pub const fn from_bytes(bytes: [u8; 12]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                unhex(text).map(Self)
            }
        }

        text_form!($name);
    )+};
}

id! {
    /// An account.
    UserId,
    /// A room, group or private.
    RoomId,
    /// A user's place in a room: the id of what the inherited contract calls a session.
    MembershipId,
    /// A request to be let into a group room.
    JoinRequestId,
    /// An uploaded file.
    AttachmentId,
    /// One start of one node: another start is another node to its peers.
    BootId,
    /// One live transport of one user on one node.
    ConnectionId,
}

/// The position of an event in the log of its room: 1, 2, 3 ... without holes. 0 stands before the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first event: the tail of an empty log.
    pub const ZERO: Self = Self(0);

    /// The position behind this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one life of the store: random, changed when an older state is restored, so that positions of
/// before the restore are never mistaken for positions after it. Shown as 8 lowercase hex characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0.to_be_bytes(), f)
    }
}

impl FromStr for Epoch {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        unhex(text).map(|bytes| Self(u32::from_be_bytes(bytes)))
    }
}

text_form!(Epoch);

/// The public id of a message. It holds the place of the message, so that paging by id needs no look-up;
/// whoever uses one checks the epoch and the room, and that the place is not beyond the tail.
/// 24 bytes, shown as 48 lowercase hex characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The life of the store in which the message was stored.
    pub epoch: Epoch,
    /// The room whose log holds it.
    pub room: RoomId,
    /// Its position there.
    pub seq: Seq,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.epoch, self.room)?;
        hex(&self.seq.0.to_be_bytes(), f)
    }
}

impl FromStr for MessageId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        if text.len() != 48 || !text.is_ascii() {
            return Err(MalformedId);
        }
        let (epoch, rest) = text.split_at(8);
        let (room, seq) = rest.split_at(24);
        let seq = Seq(u64::from_be_bytes(unhex(seq)?));
        Ok(Self { epoch: epoch.parse()?, room: room.parse()?, seq })
    }
}

text_form!(MessageId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling_and_survive_it() {
        let id = RoomId::new(1_700_000_000_123, u64::MAX);
        assert_eq!(id.to_string().len(), 24);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "00",
            &id.to_string().to_uppercase(),
            &format!("{id}0"),
            "zz",
            "é00000000000000000000000",
        ] {
            assert_eq!(wrong.parse::<RoomId>(), Err(MalformedId), "{wrong}");
        }
    }

    #[test]
    fn ids_made_later_sort_later() {
        assert!(RoomId::new(2, 0) > RoomId::new(1, u64::MAX));
    }

    #[test]
    fn a_message_id_holds_its_place() {
        let id = MessageId { epoch: Epoch(7), room: RoomId::new(1, 2), seq: Seq(258) };
        assert_eq!(id.to_string().len(), 48);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
