//! Every subject of the bus.

use std::fmt;

use crate::domain::{BootId, RoomId, UserId};

/// An address on the bus. Ids are hex, so none can hold what separates or matches the parts of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// What lasts in a room: frames, and how far its log goes.
    pub fn room_events(room: RoomId) -> Self {
        Self(format!("natter.room.{room}.events"))
    }

    /// What is fleeting in a room: typing, read markers, presence.
    pub fn room_signals(room: RoomId) -> Self {
        Self(format!("natter.room.{room}.signals"))
    }

    /// What concerns the connections of one user.
    pub fn user(user: UserId) -> Self {
        Self(format!("natter.user.{user}"))
    }

    /// What one node is asked by others.
    pub fn node(node: BootId) -> Self {
        Self(format!("natter.node.{node}"))
    }

    /// What answers to one node are sealed for. They travel to an address of each request's own, which is not known
    /// beforehand, so nothing is published here.
    pub fn answers(node: BootId) -> Self {
        Self(format!("natter.node.{node}.answers"))
    }

    /// Heartbeats of all nodes, and nothing else.
    pub fn nodes() -> Self {
        Self("natter.nodes".to_owned())
    }

    /// What every node tells every other, seldom: what users have used up of their limits.
    pub fn limits() -> Self {
        Self("natter.limits".to_owned())
    }

    /// What somebody on the bus has named as the address for answers: any text at all, see [`Subject::is_inbox`].
    pub(crate) fn reply(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Where the answers to the request number `number` of one process go, within that process.
    pub(crate) fn inbox(number: u64) -> Self {
        Self(format!("natter.inbox.{number}"))
    }

    /// Whether answers may go there: a request of a foreign client could name any subject.
    pub fn is_inbox(&self) -> bool {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let parts = self.0.strip_prefix("natter.inbox.");
        parts.is_some_and(|parts| parts.len() <= 100 && parts.split('.').all(is_part))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_part_of_a_subject_and_nothing_else_is_an_id() {
        for number in [0, 1, 0x2e2e_2e2e_2e2e_2e2e, u64::MAX] {
            let room = Subject::room_events(RoomId::new(number, number));
            let parts: Vec<_> = room.as_str().split('.').collect();
            assert!(matches!(parts[..], ["natter", "room", _, "events"]), "{room}");
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert!(parts[2].len() == 24 && parts[2].bytes().all(is_hex), "{room}");
        }
        let good = RoomId::new(1, 1).to_string();
        assert!(good.parse::<RoomId>().is_ok());
        for evil in [
            "*".to_owned(),
            ">".to_owned(),
            "*".repeat(24),
            format!("{}.>", &good[..22]),
            format!("{}.*", &good[..22]),
            format!("{good}.events"),
            format!("{}\r\n", &good[..22]),
            format!("{good} 1\r\nPUB natter.nodes 2\r\n{{}}"),
            format!("{} ", &good[..23]),
            format!("{}\t", &good[..23]),
            format!("{}\0", &good[..23]),
            good.to_uppercase().replace('0', "A"),
            "\u{ff10}".repeat(8),
            String::new(),
        ] {
            assert!(evil.parse::<RoomId>().is_err(), "{evil:?}");
            assert!(evil.parse::<UserId>().is_err() && evil.parse::<BootId>().is_err());
        }
    }

    #[test]
    fn answers_go_to_inboxes_and_nowhere_else() {
        let boot = BootId::new(1, 2);
        for inbox in ["natter.inbox.7".to_owned(), format!("natter.inbox.{boot}.7")] {
            assert!(Subject::reply(&inbox).is_inbox(), "{inbox}");
        }
        let long = format!("natter.inbox.{}", "a".repeat(101));
        for other in [
            "",
            "natter.inbox",
            "natter.inbox.",
            "natter.inbox..7",
            "natter.inbox.7.",
            "natter.inbox.*",
            "natter.inbox.>",
            "natter.inbox.a b",
            "natter.inbox.a\r\nPUB natter.nodes 2\r\n{}",
            "natter.inbox.a\tb",
            "natter.inbox.\u{fc}",
            "natter.inboxes.7",
            "natter.nodes",
            "natter.room.000000000001000000000001.events",
            "$SYS.REQ.SERVER.PING",
            "_INBOX.7",
            &long,
        ] {
            assert!(!Subject::reply(other).is_inbox(), "{other:?}");
        }
    }
}
