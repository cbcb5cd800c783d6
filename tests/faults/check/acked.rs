//! V1 and V2: what was acknowledged is there, and nothing is there twice.

use std::collections::HashMap;

use super::{Findings, Rule};
use crate::history::{Answer, Entry, History, Kind, Outcome, Replica, Sent};

/// V1: every acked message is in the log exactly once, at the acked position.
pub(super) fn acked(history: &History, log: &Replica, findings: &mut Findings) {
    let words = Words::of(log);
    for send in &history.sends {
        let Outcome::Acked(seq, _) = send.outcome() else { continue };
        let places = words.places(send);
        if places != [seq] && !(places.is_empty() && is_blank(send, log, seq)) {
            findings.add(Rule::V1, || {
                format!("{} was acked at {seq} and is in the log at {places:?}", shown(send))
            });
        }
        for (_, answer) in send.attempts.iter().filter_map(|attempt| attempt.answered.as_ref()) {
            if let Answer::Stored(other) = answer
                && *other != seq
            {
                findings
                    .add(Rule::V1, || format!("{} was acked at {seq} and at {other}", shown(send)));
            }
        }
    }
}

/// Whether what was sent stood there, and nothing is left of it.
fn is_blank(send: &Sent, log: &Replica, seq: u64) -> bool {
    log.at(&send.room, seq).is_some_and(|entry| {
        entry.kind == Kind::Gone && entry.sender == send.sender && entry.client_id == send.client_id
    })
}

/// V2: no client_id twice; an unknown message at most once, a refused one never, none that nobody sent.
pub(super) fn once(history: &History, log: &Replica, findings: &mut Findings) {
    let words = Words::of(log);
    for send in &history.sends {
        let places = words.places(send);
        let most = usize::from(send.outcome() != Outcome::Refused);
        if places.len() > most {
            findings.add(Rule::V2, || {
                format!("{} ({:?}) is in the log at {places:?}", shown(send), send.outcome())
            });
        }
    }
    for (room, entries) in &log.rooms {
        twice(room, entries, findings);
    }
    let said: std::collections::HashSet<_> =
        history.sends.iter().map(|send| (send.room.as_str(), send.content.as_str())).collect();
    for (room, content) in words.0.keys() {
        if !said.contains(&(*room, *content)) {
            findings.add(Rule::V2, || format!("{content:?} is in {room}, and nobody sent it"));
        }
    }
}

fn twice(room: &str, entries: &[Entry], findings: &mut Findings) {
    let mut keys: HashMap<(&str, &str), u64> = HashMap::new();
    for entry in entries {
        let Some(client_id) = &entry.client_id else { continue };
        if let Some(first) = keys.insert((&entry.sender, client_id), entry.seq) {
            let second = entry.seq;
            findings.add(Rule::V2, || {
                format!("client_id {client_id} stands at {first} and {second} of {room}")
            });
        }
    }
}

/// Where each text stands.
struct Words<'a>(HashMap<(&'a str, &'a str), Vec<(u64, &'a str)>>);

impl<'a> Words<'a> {
    fn of(log: &'a Replica) -> Self {
        let mut words: HashMap<_, Vec<_>> = HashMap::new();
        for (room, entries) in &log.rooms {
            for entry in entries {
                if let Kind::Message(content) = &entry.kind {
                    let places = words.entry((room.as_str(), content.as_str())).or_default();
                    places.push((entry.seq, entry.sender.as_str()));
                }
            }
        }
        Self(words)
    }

    /// The positions at which what was sent stands in its sender's name.
    fn places(&self, send: &Sent) -> Vec<u64> {
        let found = self.0.get(&(send.room.as_str(), send.content.as_str()));
        let of_sender = found.into_iter().flatten().filter(|(_, sender)| *sender == send.sender);
        of_sender.map(|(seq, _)| *seq).collect()
    }
}

fn shown(send: &Sent) -> String {
    let key = send.client_id.as_deref().unwrap_or("no client_id");
    format!("{:?} ({key}) of room {}", send.content, send.room)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, history, log, rules};
    use super::*;
    use crate::history::{At, Attempt};

    #[test]
    fn a_good_run_breaks_nothing() {
        assert_eq!(rules(&history(), &[log()]), []);
    }

    #[test]
    fn an_acked_message_that_is_not_in_the_log_is_lost() {
        broken(&[Rule::V1], |_, log| {
            let entries = log.rooms.get_mut("r").unwrap();
            entries.retain(|entry| entry.client_id.as_deref() != Some("k1"));
            for (seq, entry) in (1..).zip(entries) {
                entry.seq = seq;
            }
        });
    }

    #[test]
    fn what_was_cleared_stood_where_it_was_acked() {
        broken(&[], |_, log| log.rooms.get_mut("r").unwrap()[3].kind = Kind::Gone);
        broken(&[Rule::V1], |_, log| {
            let cleared = &mut log.rooms.get_mut("r").unwrap()[3];
            cleared.kind = Kind::Gone;
            cleared.client_id = Some("of another message".to_owned());
        });
    }

    #[test]
    fn an_acked_message_stands_where_it_was_acked() {
        broken(&[Rule::V1], |history, _| {
            let (_, answer) = history.sends[0].attempts[0].answered.as_mut().unwrap();
            *answer = Answer::Stored(9);
        });
    }

    #[test]
    fn two_acks_of_one_message_name_one_position() {
        broken(&[Rule::V1], |history, _| {
            let answered = Some((At(90), Answer::Stored(4)));
            let again = Attempt { connection: 7, place: 1, invoked: At(80), answered };
            history.sends[0].attempts.push(again);
        });
    }

    #[test]
    fn a_message_is_there_once() {
        broken(&[Rule::V2], |_, log| {
            let entries = log.rooms.get_mut("r").unwrap();
            let mut again = entries.iter().find(|entry| entry.client_id.is_some()).unwrap().clone();
            again.seq = entries.len() as u64 + 1;
            entries.push(again);
        });
    }

    #[test]
    fn an_unknown_message_is_there_once_at_most() {
        broken(&[Rule::V2], |history, log| {
            history.sends[1].attempts[0].answered = None;
            let entries = log.rooms.get_mut("r").unwrap();
            let mut again = entries[3].clone();
            again.seq = entries.len() as u64 + 1;
            entries.push(again);
        });
    }

    #[test]
    fn a_refused_message_is_not_there() {
        broken(&[Rule::V2], |history, _| {
            let (_, answer) = history.sends[1].attempts[0].answered.as_mut().unwrap();
            *answer = Answer::Refused("overloaded".to_owned());
        });
    }

    #[test]
    fn what_nobody_sent_is_not_there() {
        broken(&[Rule::V2], |history, _| {
            history.sends.pop();
        });
    }
}
