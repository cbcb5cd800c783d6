//! What a NATS server sends, told apart, so that messages can be lost, doubled and swapped on the way.

use std::mem;

use bytes::{Bytes, BytesMut};

/// What begins the subjects whose messages are mangled: those of rooms and of users.
const SUBJECTS: [&str; 2] = ["natter.room.", "natter.user."];

/// What becomes of messages about rooms and users: each number stands for one in so many, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mangle {
    /// Never arrive.
    pub(crate) lose: u32,
    /// Arrive twice.
    pub(crate) double: u32,
    /// Arrive behind the next one.
    pub(crate) swap: u32,
}

/// The messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    unread: BytesMut,
    messages: u32,
    held: Option<Bytes>,
    /// How many did not arrive.
    pub(super) lost: u64,
}

impl Frames {
    /// What is sent on for a further piece of what came.
    pub(super) fn pass(&mut self, piece: Bytes, mangle: Mangle) -> Vec<Bytes> {
        self.unread.extend_from_slice(&piece);
        let mut out = Vec::new();
        while let Some(unit) = self.unit() {
            if is_a_hint(&unit) {
                self.message(unit, mangle, &mut out);
            } else {
                out.push(unit);
            }
        }
        out
    }

    /// The next whole line, with its payload if it is a message.
    fn unit(&mut self) -> Option<Bytes> {
        let line = self.unread.windows(2).position(|window| window == b"\r\n")?;
        let head = String::from_utf8_lossy(&self.unread[..line]).into_owned();
        let mut length = line + 2;
        if head.starts_with("MSG ") || head.starts_with("HMSG ") {
            let payload: usize = head.rsplit(' ').next()?.parse().ok()?;
            length += payload + 2;
        }
        (self.unread.len() >= length).then(|| self.unread.split_to(length).freeze())
    }

    fn message(&mut self, unit: Bytes, mangle: Mangle, out: &mut Vec<Bytes>) {
        self.messages = self.messages.wrapping_add(1);
        let is_due = |every: u32| every > 0 && self.messages.is_multiple_of(every);
        if is_due(mangle.lose) {
            self.lost += 1;
            return;
        }
        if is_due(mangle.swap) && self.held.is_none() {
            self.held = Some(unit);
            return;
        }
        if is_due(mangle.double) {
            out.push(unit.clone());
        }
        out.push(unit);
        out.extend(mem::take(&mut self.held));
    }
}

fn is_mangled(subject: &str) -> bool {
    SUBJECTS.iter().any(|begin| subject.starts_with(begin))
}

fn is_a_hint(unit: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(&unit[..unit.len().min(64)]) else { return false };
    let mut words = head.split(' ');
    let verb = words.next();
    matches!(verb, Some("MSG" | "HMSG")) && words.next().is_some_and(is_mangled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32) -> String {
        format!("MSG natter.room.a.events 1 4\r\n\r\n{number:02}\r\n")
    }

    /// What comes out for the messages 1 to 4 and what is not one, cut at every place.
    fn passed(mangle: Mangle) -> Vec<String> {
        let all = ["INFO {}\r\n".to_owned(), message(1), message(2), "PING\r\n".to_owned()];
        let all: String = all.into_iter().chain([message(3), message(4)]).collect();
        let mut results = Vec::new();
        for cut in 0..all.len() {
            let mut frames = Frames::default();
            let mut out = frames.pass(Bytes::from(all[..cut].to_owned()), mangle);
            out.extend(frames.pass(Bytes::from(all[cut..].to_owned()), mangle));
            results.push(out);
        }
        results.dedup();
        assert_eq!(results.len(), 1, "wherever it is cut");
        results[0].iter().map(|unit| String::from_utf8(unit.to_vec()).unwrap()).collect()
    }

    #[test]
    fn messages_pass_are_lost_doubled_and_swapped() {
        let (info, ping) = ("INFO {}\r\n".to_owned(), "PING\r\n".to_owned());
        let [one, two, three, four] = [1, 2, 3, 4].map(message);
        let all = [&info, &one, &two, &ping, &three, &four];
        assert_eq!(passed(Mangle::default()), all.map(String::clone));
        let lost = [&info, &one, &ping, &three];
        assert_eq!(passed(Mangle { lose: 2, ..Mangle::default() }), lost.map(String::clone));
        let doubled = [&info, &one, &two, &two, &ping, &three, &four, &four];
        assert_eq!(passed(Mangle { double: 2, ..Mangle::default() }), doubled.map(String::clone));
        let swapped = [&info, &one, &ping, &three, &two];
        assert_eq!(passed(Mangle { swap: 2, ..Mangle::default() }), swapped.map(String::clone));
    }

    #[test]
    fn only_messages_about_rooms_and_users_are_mangled() {
        let other = "HMSG natter.nodes 1 2 4\r\nabcd\r\n";
        let mut frames = Frames::default();
        let lose = Mangle { lose: 1, ..Mangle::default() };
        assert_eq!(frames.pass(Bytes::from_static(other.as_bytes()), lose), [other.as_bytes()]);
        assert!(frames.pass(Bytes::from(message(1)), lose).is_empty());
        assert_eq!(frames.lost, 1);
    }
}
