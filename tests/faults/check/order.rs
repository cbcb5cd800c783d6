//! V3, V6 and V7: positions, and the order that they give.

use std::collections::{BTreeMap, HashMap};

use super::{Findings, Rule};
use crate::history::{Answer, At, Entry, History, Kind, Outcome, Replica};

/// V3: positions of a room are 1 to k without holes, the same on every replica.
pub(super) fn positions(replicas: &[Replica], findings: &mut Findings) {
    for replica in replicas {
        for (room, entries) in &replica.rooms {
            let hole = (1..).zip(entries).find(|(expected, entry)| entry.seq != *expected);
            let Some((expected, entry)) = hole else { continue };
            let (name, seq) = (&replica.name, entry.seq);
            findings
                .add(Rule::V3, || format!("{room} has {seq} where {expected} should be ({name})"));
        }
    }
    let Some((first, others)) = replicas.split_first() else { return };
    for other in others {
        for room in first.rooms.keys().chain(other.rooms.keys()) {
            differs(first, other, room, findings);
        }
    }
}

fn differs(first: &Replica, other: &Replica, room: &str, findings: &mut Findings) {
    let (ours, theirs) = (first.room(room), other.room(room));
    let place = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
    if place.is_none() && ours.len() == theirs.len() {
        return;
    }
    let place = place.unwrap_or(ours.len().min(theirs.len()));
    findings.add(Rule::V3, || {
        let told = |entries: &[Entry]| format!("{:?}", entries.get(place));
        let (here, there) = (&first.name, &other.name);
        format!("{room} differs: {here} has {}, {there} {}", told(ours), told(theirs))
    });
}

/// V6: one connection's pipelined sends keep their order.
///
/// What a sender sent again elsewhere has lost its place, so only what was acked where it was sent first counts.
pub(super) fn pipelined(history: &History, findings: &mut Findings) {
    let mut lines: BTreeMap<(u64, &str), Vec<(u64, u64)>> = BTreeMap::new();
    for send in &history.sends {
        let Some(first) = send.attempts.first() else { continue };
        if let Some((_, Answer::Stored(seq))) = &first.answered {
            let line = lines.entry((first.connection, send.room.as_str())).or_default();
            line.push((first.place, *seq));
        }
    }
    for ((connection, room), mut line) in lines {
        line.sort_unstable();
        for pair in line.windows(2) {
            if pair[0].1 >= pair[1].1 {
                findings.add(Rule::V6, || {
                    let ((before, first), (after, second)) = (pair[0], pair[1]);
                    format!(
                        "connection {connection} sent {before} before {after}; in {room} they are {first} and {second}"
                    )
                });
            }
        }
    }
}

/// V7: acked before another was sent: the smaller position.
pub(super) fn real_time(history: &History, log: &Replica, findings: &mut Findings) {
    let mut acks: HashMap<&str, Vec<(At, u64)>> = HashMap::new();
    for send in &history.sends {
        if let Outcome::Acked(seq, at) = send.outcome() {
            acks.entry(&send.room).or_default().push((at, seq));
        }
    }
    for acks in acks.values_mut() {
        acks.sort_unstable();
        let mut highest = 0;
        for (_, seq) in acks {
            highest = highest.max(*seq);
            *seq = highest;
        }
    }
    let places = places(log);
    for send in &history.sends {
        let place = places.get(&(send.room.as_str(), send.content.as_str()));
        let (Some(invoked), Some(seq), Some(acks)) =
            (send.invoked(), place, acks.get(send.room.as_str()))
        else {
            continue;
        };
        let before = acks.partition_point(|(at, _)| *at < invoked);
        let Some((_, highest)) = before.checked_sub(1).and_then(|last| acks.get(last)) else {
            continue;
        };
        if highest >= seq {
            findings.add(Rule::V7, || {
                let content = &send.content;
                format!("{content:?} is at {seq}, and was sent when {highest} had been acked")
            });
        }
    }
}

/// The first position of each text.
fn places(log: &Replica) -> HashMap<(&str, &str), u64> {
    let mut places = HashMap::new();
    for (room, entries) in &log.rooms {
        for entry in entries {
            if let Kind::Message(content) = &entry.kind {
                places.entry((room.as_str(), content.as_str())).or_insert(entry.seq);
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, history, log, rules};
    use super::*;

    #[test]
    fn positions_have_no_holes() {
        broken(&[Rule::V3], |_, log| {
            let last = log.rooms.get_mut("r").unwrap().last_mut().unwrap();
            last.seq += 1;
        });
    }

    #[test]
    fn every_replica_has_the_same() {
        let mut other = log();
        other.name = "second".to_owned();
        assert_eq!(rules(&history(), &[log(), other.clone()]), []);
        other.rooms.get_mut("r").unwrap().pop();
        assert_eq!(rules(&history(), &[log(), other.clone()]), [Rule::V3]);
        other.rooms.clear();
        assert_eq!(rules(&history(), &[log(), other]), [Rule::V3]);
    }

    #[test]
    fn a_connections_sends_keep_their_order() {
        broken(&[Rule::V6], |history, _| {
            history.sends[0].attempts[0].place = 2;
            history.sends[1].attempts[0].place = 1;
        });
    }

    #[test]
    fn what_was_acked_earlier_stands_earlier() {
        broken(&[Rule::V7], |history, _| {
            // The one at 3, sent when the one at 4 had been acked.
            history.sends[0].attempts[0].invoked = At(41);
        });
    }
}
