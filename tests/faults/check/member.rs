//! V8: nothing is stored from, or delivered to, who is not in the room.

use std::collections::{HashMap, HashSet};

use super::{Findings, Rule};
use crate::history::{At, Heard, History, Kind, Replica, Said};

/// Every message is of somebody who was a member just before it.
pub(super) fn stored(log: &Replica, findings: &mut Findings) {
    for (room, entries) in &log.rooms {
        let mut members: HashSet<&str> = HashSet::new();
        for entry in entries {
            match &entry.kind {
                Kind::Came(user) => {
                    members.insert(user);
                }
                Kind::Went(user) => {
                    members.remove(user.as_str());
                }
                Kind::Message(_) | Kind::Gone if !members.contains(entry.sender.as_str()) => {
                    let (seq, sender) = (entry.seq, &entry.sender);
                    findings.add(Rule::V8, || {
                        format!("{seq} of {room} is of {sender}, who is no member there")
                    });
                }
                _ => {}
            }
        }
    }
}

/// Nobody is told what follows the end of their stay, unless they are let in again by then.
///
/// A member may read the whole history, so what was stored while one was away is told when one is back. Whether
/// one is back is known to the run only from when that was asked for on.
pub(super) fn delivered(history: &History, log: &Replica, findings: &mut Findings) {
    let adds = adds(history);
    for tape in &history.tapes {
        let mut stays: HashMap<&str, Vec<(u64, Option<u64>)>> = HashMap::new();
        for Heard { at, room, said } in &tape.heard {
            let Said::Event(seq, _) = said else { continue };
            let stays = stays.entry(room).or_insert_with(|| log.stays(room, &tape.user));
            // The end of one's own stay is the last that one is told of it.
            let is_inside = |(begin, end): &(u64, Option<u64>)| {
                begin <= seq && end.is_none_or(|end| *seq <= end)
            };
            if stays.iter().any(is_inside) {
                continue;
            }
            let later = stays.iter().filter(|(begin, _)| begin > seq).count();
            let asked =
                adds.get(&(room.as_str(), tape.user.as_str())).map_or(&[][..], Vec::as_slice);
            // The last `later` times that somebody let them in come behind the event.
            let back = later.checked_sub(1).and_then(|more| asked.iter().rev().nth(more));
            if later == 0 || back.is_some_and(|back| at < back) {
                let name = &tape.name;
                findings.add(Rule::V8, || {
                    format!("{name} was told {seq} of {room} when it was not in there")
                });
            }
        }
    }
}

/// When each user was let into each room, in order.
fn adds(history: &History) -> HashMap<(&str, &str), Vec<At>> {
    let mut adds: HashMap<_, Vec<At>> = HashMap::new();
    for change in history.changes.iter().filter(|change| change.is_add) {
        adds.entry((change.room.as_str(), change.user.as_str())).or_default().push(change.invoked);
    }
    adds
}

#[cfg(test)]
mod tests {
    use super::super::sample::broken;
    use super::*;

    #[test]
    fn only_members_are_heard() {
        broken(&[Rule::V8], |_, log| {
            // The room's first member, ann, who says everything, comes in as somebody else.
            log.rooms.get_mut("r").unwrap()[0].kind = Kind::Came("carl".to_owned());
        });
    }

    #[test]
    fn only_members_are_told() {
        broken(&[Rule::V8], |history, _| {
            // At 6 the message behind the removal of bob, at 5.
            let tape = &mut history.tapes[1];
            let left = tape.heard.iter().position(|heard| heard.said == Said::Left).unwrap();
            let mut late = tape.heard[left].clone();
            late.said = Said::Event(6, Kind::Message("three".to_owned()));
            tape.heard.insert(left, late);
        });
    }

    #[test]
    fn who_is_back_is_told_what_was_missed() {
        broken(&[], |history, log| {
            let entries = log.rooms.get_mut("r").unwrap();
            let mut back = entries[1].clone();
            back.seq = 7;
            entries.push(back);
            let change = crate::history::Change {
                room: "r".to_owned(),
                user: "bob".to_owned(),
                is_add: true,
                invoked: At(70),
            };
            history.changes.push(change);
            for tape in &mut history.tapes {
                tape.heard.retain(|heard| heard.said != Said::Left);
                let mut missed = tape.heard[0].clone();
                missed.at = At(75);
                let from = if tape.user == "bob" { 6 } else { 7 };
                for seq in from..=7 {
                    let kind = log.at("r", seq).unwrap().kind.clone();
                    missed.said = Said::Event(seq, kind);
                    tape.heard.push(missed.clone());
                }
            }
        });
    }
}
