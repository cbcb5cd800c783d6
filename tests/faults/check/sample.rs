//! A small run in which everything is as it should be, for tests to break.

use super::{Rule, check};
use crate::history::{Answer, At, Attempt, Entry, Heard, History, Kind, Replica, Said, Sent, Tape};

fn entry(seq: u64, client_id: Option<&str>, kind: Kind) -> Entry {
    Entry { seq, sender: "ann".to_owned(), client_id: client_id.map(str::to_owned), kind }
}

/// ann comes in, lets bob in, says "one" and "two", takes bob out and says "three".
pub(super) fn log() -> Replica {
    let message = |text: &str| Kind::Message(text.to_owned());
    let entries = vec![
        entry(1, None, Kind::Came("ann".to_owned())),
        entry(2, None, Kind::Came("bob".to_owned())),
        entry(3, Some("k1"), message("one")),
        entry(4, None, message("two")),
        entry(5, None, Kind::Went("bob".to_owned())),
        entry(6, Some("k3"), message("three")),
    ];
    Replica { name: "first".to_owned(), rooms: [("r".to_owned(), entries)].into() }
}

fn send(content: &str, client_id: Option<&str>, place: u64, seq: u64) -> Sent {
    let at = At(seq * 10);
    let answered = Some((at, Answer::Stored(seq)));
    Sent {
        sender: "ann".to_owned(),
        room: "r".to_owned(),
        client_id: client_id.map(str::to_owned),
        content: content.to_owned(),
        attempts: vec![Attempt { connection: 1, place, invoked: At(at.0 - 20), answered }],
    }
}

/// ann and bob each heard all that they should have.
pub(super) fn history() -> History {
    let sends = vec![
        send("one", Some("k1"), 1, 3),
        send("two", None, 2, 4),
        send("three", Some("k3"), 3, 6),
    ];
    let tapes = vec![tape("ann", 6), tape("bob", 5)];
    History { sends, tapes, changes: Vec::new() }
}

fn tape(user: &str, through: u64) -> Tape {
    let heard = |seq: u64, said| Heard { at: At(seq * 10 + 5), room: "r".to_owned(), said };
    let mut all = vec![heard(0, Said::From(2))];
    for entry in log().room("r").iter().filter(|entry| entry.seq > 2 && entry.seq <= through) {
        all.push(heard(entry.seq, Said::Event(entry.seq, entry.kind.clone())));
    }
    if user == "bob" {
        all.push(heard(through, Said::Left));
    }
    Tape { name: format!("{user}'s reader"), user: user.to_owned(), heard: all }
}

/// The rules that do not hold, each once.
pub(super) fn rules(history: &History, replicas: &[Replica]) -> Vec<Rule> {
    let mut rules: Vec<_> =
        check(history, replicas).into_iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

/// Breaks the good run, and checks that `expected` is among what the checker finds; exactly that for nothing.
pub(super) fn broken(expected: &[Rule], breaks: impl FnOnce(&mut History, &mut Replica)) {
    let (mut history, mut log) = (history(), log());
    breaks(&mut history, &mut log);
    let found = rules(&history, &[log]);
    if expected.is_empty() {
        assert_eq!(found, []);
    }
    for rule in expected {
        assert!(found.contains(rule), "{rule:?} is not among {found:?}");
    }
}
