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
}

impl Ear {
    /// The ear of `person`, by this name.
    pub(crate) fn new(name: &str, person: &Person, clock: Clock) -> Self {
        let (name, user) = (name.to_owned(), person.id.clone());
        let tape = Tape { name, user, ..Tape::default() };
        Self { token: person.token.clone(), clock, tape, positions: HashMap::new() }
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
        if !self.positions.contains_key(&room) && kind == Kind::Came(self.tape.user.clone()) {
            self.note(&room, Said::From(seq - 1));
        }
        let is_end = kind == Kind::Went(self.tape.user.clone());
        self.note(&room, Said::Event(seq, kind));
        if is_end {
            self.positions.remove(&room);
            self.note(&room, Said::Left);
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
