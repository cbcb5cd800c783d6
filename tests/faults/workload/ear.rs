//! What reaches one reader, made into a tape, and where it is in each room.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::client::{Person, text};
use crate::history::{Clock, Heard, Kind, Said, Tape};

/// The ear of one reader, over all of its connections.
pub(crate) struct Ear {
    token: String,
    clock: Clock,
    /// What it heard.
    pub(crate) tape: Tape,
    positions: HashMap<String, (u64, String)>,
    /// Where its own stays have ended.
    ended: HashMap<String, u64>,
}

impl Ear {
    /// The ear of `person`, by this name.
    pub(crate) fn new(name: &str, person: &Person, clock: Clock) -> Self {
        let (name, user) = (name.to_owned(), person.id.clone());
        let tape = Tape { name, user, ..Tape::default() };
        Self {
            token: person.token.clone(),
            clock,
            tape,
            positions: HashMap::new(),
            ended: HashMap::new(),
        }
    }

    /// What a session socket says to go on where the last one ended.
    pub(crate) fn auth(&self) -> Value {
        let after: serde_json::Map<String, Value> = self
            .positions
            .iter()
            .map(|(room, (seq, epoch))| (room.clone(), json!({"seq": seq, "epoch": epoch})))
            .collect();
        json!({"token": self.token, "after": after})
    }

    /// Whether it has heard a room up to there.
    pub(crate) fn is_at(&self, room: &str, tail: u64) -> bool {
        self.positions.get(room).is_some_and(|(seq, _)| *seq >= tail)
    }

    /// What a room socket says to go on where the last one ended.
    pub(crate) fn auth_of(&self, room: &str) -> Value {
        let mut auth = self.auth();
        auth["chat_room_id"] = json!(room);
        auth
    }

    /// Takes in one event.
    pub(crate) fn hear(&mut self, name: &str, payload: &Value) {
        match name {
            "ready" => self.ready(payload),
            "joined" => {
                let ((room, seq), epoch) = (place(payload), text(&payload["epoch"]));
                if !self.positions.contains_key(&room) {
                    self.positions.insert(room.clone(), (seq, epoch.to_owned()));
                    self.note(&room, Said::From(seq));
                }
            }
            "resume_truncated" => {
                let (room, seq) = place(payload);
                let epoch = text(&payload["epoch"]).to_owned();
                self.positions.insert(room.clone(), (seq, epoch));
                self.note(&room, Said::Cut(seq));
            }
            _ if payload["seq"].is_u64() && payload["user_id"].is_null() => {
                self.lasting(name, payload);
            }
            _ => {}
        }
    }

    /// Where every room stands. Those that it does not name any more are gone, new ones begin there.
    fn ready(&mut self, payload: &Value) {
        let rooms = payload["rooms"].as_array().expect("ready names rooms");
        let named: HashMap<&str, &Value> =
            rooms.iter().map(|room| (text(&room["chat_room_id"]), room)).collect();
        let gone = self.positions.extract_if(|room, _| !named.contains_key(room.as_str()));
        for (room, _) in gone.collect::<Vec<_>>() {
            self.note(&room, Said::Left);
        }
        for room in rooms {
            let ((name, seq), epoch) = (place(room), text(&room["epoch"]));
            if !self.positions.contains_key(&name) {
                self.positions.insert(name.clone(), (seq, epoch.to_owned()));
                self.note(&name, Said::From(seq));
            }
        }
    }

    fn lasting(&mut self, name: &str, payload: &Value) {
        let (room, seq) = place(payload);
        let kind = kind(name, payload);
        let epoch = self.epoch();
        if !self.positions.contains_key(&room) {
            // What goes on behind the end of a stay is a replay for who has come again: a member may read all of a room.
            let goes_on = self.ended.get(&room).is_some_and(|left| left + 1 == seq);
            if goes_on || kind == Kind::Came(self.tape.user.clone()) {
                self.note(&room, Said::From(seq - 1));
            }
        }
        let is_end = kind == Kind::Went(self.tape.user.clone());
        self.note(&room, Said::Event(seq, kind));
        if is_end {
            self.positions.remove(&room);
            self.note(&room, Said::Left);
            self.ended.insert(room, seq);
        } else {
            self.positions.insert(room, (seq, epoch));
        }
    }

    /// The epoch, which all rooms share.
    fn epoch(&self) -> String {
        self.positions.values().next().map_or_else(String::new, |(_, epoch)| epoch.clone())
    }

    fn note(&mut self, room: &str, said: Said) {
        let at = self.clock.now();
        self.tape.heard.push(Heard { at, room: room.to_owned(), said });
    }
}

fn place(payload: &Value) -> (String, u64) {
    let seq = payload["seq"].as_u64().expect("a position");
    (text(&payload["chat_room_id"]).to_owned(), seq)
}

/// What a lasting event says.
fn kind(name: &str, payload: &Value) -> Kind {
    let user = || text(&payload["user"]["id"]).to_owned();
    match name {
        "chat" => Kind::Message(text(&payload["message"]["content"]).to_owned()),
        "message_gone" => Kind::Gone,
        "member_added" => Kind::Came(user()),
        "member_removed" => Kind::Went(user()),
        other => Kind::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "ann";

    fn ear() -> Ear {
        let tape = Tape { user: ANN.to_owned(), ..Tape::default() };
        let (token, clock) = (String::new(), Clock::start());
        Ear { token, clock, tape, positions: HashMap::new(), ended: HashMap::new() }
    }

    fn event(seq: u64) -> Value {
        json!({"chat_room_id": "r", "seq": seq, "message": {"content": seq.to_string()}, "user": {"id": ANN}})
    }

    fn said(ear: &Ear) -> Vec<Said> {
        ear.tape.heard.iter().map(|heard| heard.said.clone()).collect()
    }

    #[test]
    fn a_replay_goes_on_behind_the_end_of_a_stay() {
        let mut ear = ear();
        ear.hear("joined", &json!({"chat_room_id": "r", "seq": 4, "epoch": "e"}));
        for (name, seq) in [("member_removed", 5), ("chat", 6), ("member_added", 7)] {
            ear.hear(name, &event(seq));
        }
        let message = Said::Event(6, Kind::Message("6".to_owned()));
        let (went, came) = (Kind::Went(ANN.to_owned()), Kind::Came(ANN.to_owned()));
        let (went, came) = (Said::Event(5, went), Said::Event(7, came));
        assert_eq!(said(&ear), [Said::From(4), went, Said::Left, Said::From(5), message, came]);
    }

    #[test]
    fn what_comes_out_of_nowhere_is_noted_as_such() {
        let mut ear = ear();
        ear.hear("joined", &json!({"chat_room_id": "r", "seq": 4, "epoch": "e"}));
        ear.hear("member_removed", &event(5));
        ear.hear("chat", &event(7));
        let [.., before, last] = &said(&ear)[..] else { panic!("too little was noted") };
        assert_eq!((before, last), (&Said::Left, &Said::Event(7, Kind::Message("7".to_owned()))));
    }
}
