//! V4 and V5: what readers are told.

use std::collections::HashMap;

use super::{Findings, Rule};
use crate::history::{Heard, History, Kind, Replica, Said, Tape};

/// V4: all readers see the same at each position, rising, without a gap, and in the end all of it.
pub(super) fn readers(history: &History, log: &Replica, findings: &mut Findings) {
    let mut seen: HashMap<(&str, u64), (&str, &Kind)> = HashMap::new();
    for tape in &history.tapes {
        let positions = follow(tape, findings);
        for (room, position) in positions {
            let tail = log.tail(room);
            if position != tail && log.is_member(room, &tape.user) {
                let name = &tape.name;
                findings.add(Rule::V4, || {
                    format!("{name} heard {room} up to {position}, it goes up to {tail}")
                });
            }
        }
        for Heard { room, said, .. } in &tape.heard {
            let Said::Event(seq, kind) = said else { continue };
            let (first, before) = seen.entry((room, *seq)).or_insert((&tape.name, kind));
            if !is_same(before, kind) {
                let name = &tape.name;
                findings.add(Rule::V4, || {
                    format!("{seq} of {room} is {before:?} to {first} and {kind:?} to {name}")
                });
            }
        }
    }
}

/// Follows one reader, and answers where it is in each room at the end.
fn follow<'a>(tape: &'a Tape, findings: &mut Findings) -> HashMap<&'a str, u64> {
    let mut positions: HashMap<&str, u64> = HashMap::new();
    for Heard { room, said, .. } in &tape.heard {
        match said {
            Said::From(seq) => {
                positions.insert(room, *seq);
            }
            Said::Cut(seq) => {
                let before = positions.insert(room, *seq);
                if before.is_some_and(|before| before > *seq) {
                    let name = &tape.name;
                    findings.add(Rule::V4, || format!("{name} was cut back in {room} to {seq}"));
                }
            }
            Said::Left => {
                positions.remove(room.as_str());
            }
            Said::Event(seq, _) => {
                let before = positions.insert(room, *seq);
                if before.is_none_or(|before| before + 1 != *seq) {
                    let name = &tape.name;
                    findings.add(Rule::V4, || {
                        format!("{name} heard {seq} of {room} behind {before:?}")
                    });
                }
            }
        }
    }
    positions
}

/// V5: whatever was delivered is in the final log.
pub(super) fn in_the_log(history: &History, log: &Replica, findings: &mut Findings) {
    for tape in &history.tapes {
        for Heard { room, said, .. } in &tape.heard {
            let Said::Event(seq, kind) = said else { continue };
            let stored = log.at(room, *seq).map(|entry| &entry.kind);
            if !stored.is_some_and(|stored| is_same(stored, kind)) {
                let name = &tape.name;
                findings.add(Rule::V5, || {
                    format!("{name} heard {kind:?} at {seq} of {room}; the log has {stored:?}")
                });
            }
        }
    }
}

/// Whether both are the same event, up to a message's blanking.
fn is_same(one: &Kind, other: &Kind) -> bool {
    let is_message = |kind: &Kind| matches!(kind, Kind::Message(_) | Kind::Gone);
    let is_blank = *one == Kind::Gone || *other == Kind::Gone;
    one == other || (is_blank && is_message(one) && is_message(other))
}

#[cfg(test)]
mod tests {
    use super::super::sample::broken;
    use super::*;

    fn position(tape: &Tape, wanted: u64) -> usize {
        let is_it = |heard: &Heard| matches!(&heard.said, Said::Event(seq, _) if *seq == wanted);
        tape.heard.iter().position(is_it).unwrap()
    }

    #[test]
    fn a_reader_misses_nothing() {
        broken(&[Rule::V4], |history, _| {
            let tape = &mut history.tapes[0];
            tape.heard.remove(position(tape, 3));
        });
    }

    #[test]
    fn a_reader_hears_nothing_twice() {
        broken(&[Rule::V4], |history, _| {
            let tape = &mut history.tapes[0];
            let place = position(tape, 4);
            tape.heard.insert(place, tape.heard[place].clone());
        });
    }

    #[test]
    fn a_reader_hears_the_end() {
        broken(&[Rule::V4], |history, _| {
            history.tapes[0].heard.pop();
        });
    }

    #[test]
    fn a_cut_goes_forward_only() {
        broken(&[Rule::V4], |history, _| {
            let tape = &mut history.tapes[0];
            let place = position(tape, 4);
            let back = Heard { said: Said::Cut(2), ..tape.heard[place].clone() };
            let again = tape.heard[position(tape, 3)].clone();
            tape.heard.splice(place..place, [back, again]);
        });
    }

    #[test]
    fn all_readers_hear_the_same_and_it_is_in_the_log() {
        // Whoever differs from another reader differs from the log as well.
        broken(&[Rule::V4, Rule::V5], |history, _| {
            let tape = &mut history.tapes[1];
            let place = position(tape, 4);
            tape.heard[place].said = Said::Event(4, Kind::Message("other words".to_owned()));
        });
    }

    #[test]
    fn what_was_delivered_is_in_the_log() {
        broken(&[Rule::V5], |history, _| {
            for tape in &mut history.tapes {
                let place = position(tape, 4);
                tape.heard[place].said = Said::Event(4, Kind::Message("never stored".to_owned()));
            }
        });
    }

    #[test]
    fn a_message_may_be_blank_by_now() {
        broken(&[], |_, log| {
            log.rooms.get_mut("r").unwrap()[3].kind = Kind::Gone;
        });
    }
}
