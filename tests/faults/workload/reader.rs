//! Somebody who listens to all their rooms, goes now and then, and comes back to where they were.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{SETTLED_WITHIN, Stage};
use crate::client::{NotConnected, Person, Socket, Told, text};
use crate::history::{Heard, Kind, Said, Tape};

/// How long a server may be silent: the client's side of its pings.
const SILENCE: Duration = Duration::from_secs(25);

/// Between two attempts to get somewhere.
const BREATH: Duration = Duration::from_millis(200);

/// Up to where each room is to be heard in the end; `None` as long as that is not known.
pub(super) type End = watch::Receiver<Option<BTreeMap<String, u64>>>;

/// A reader.
pub(super) struct Reader {
    person: Person,
    stage: Stage,
    end: End,
    /// How long a connection may last.
    stay: Duration,
    chance: StdRng,
    tape: Tape,
    positions: HashMap<String, (u64, String)>,
}

impl Reader {
    pub(super) fn new(
        name: &str,
        person: &Person,
        stay: Duration,
        stage: &Stage,
        end: End,
    ) -> Self {
        let chance = stage.chance(name);
        let tape = Tape { name: name.to_owned(), user: person.id.clone(), heard: Vec::new() };
        let (person, stage) = (person.clone(), stage.clone());
        Self { person, stage, end, stay, chance, tape, positions: HashMap::new() }
    }

    /// Listens until everything is heard that is to be.
    pub(super) async fn run(mut self) -> Tape {
        let mut give_up = None;
        while !self.has_heard_all() {
            if self.end.borrow().is_some() {
                let end = *give_up.get_or_insert_with(|| Instant::now() + SETTLED_WITHIN);
                if Instant::now() >= end {
                    break;
                }
            }
            let node = self.stage.balancer.any(&mut self.chance);
            match Socket::connect(node, self.auth()).await {
                Ok(socket) => self.listen(socket).await,
                Err(NotConnected::Away) => {}
                Err(NotConnected::Refused(why)) => panic!("{}: {why}", self.tape.name),
            }
            tokio::time::sleep(BREATH).await;
        }
        self.tape
    }

    fn auth(&self) -> Value {
        let after: serde_json::Map<String, Value> = self
            .positions
            .iter()
            .map(|(room, (seq, epoch))| (room.clone(), json!({"seq": seq, "epoch": epoch})))
            .collect();
        json!({"token": self.person.token, "after": after})
    }

    fn has_heard_all(&self) -> bool {
        let end = self.end.borrow();
        let Some(rooms) = end.as_ref() else { return false };
        rooms
            .iter()
            .all(|(room, tail)| self.positions.get(room).is_some_and(|(seq, _)| seq >= tail))
    }

    async fn listen(&mut self, mut socket: Socket) {
        let longest = u64::try_from(self.stay.as_millis()).unwrap_or(u64::MAX).max(1);
        let stay = Duration::from_millis(self.chance.random_range(longest / 4..=longest));
        let leave = Instant::now() + stay;
        let mut end = self.end.clone();
        loop {
            let is_over = end.borrow_and_update().is_some();
            if is_over && self.has_heard_all() {
                break;
            }
            tokio::select! {
                told = tokio::time::timeout(SILENCE, socket.next()) => match told {
                    Ok(Told::Event(name, payload)) => self.hear(&name, &payload),
                    Ok(Told::Closed | Told::Disconnected) | Err(_) => break,
                    Ok(_) => {}
                },
                // In the end nobody goes any more.
                () = tokio::time::sleep_until(leave), if !is_over => break,
                _ = end.changed(), if !is_over => {}
            }
        }
        socket.close().await;
    }

    fn hear(&mut self, name: &str, payload: &Value) {
        match name {
            "ready" => self.ready(payload),
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
        if !self.positions.contains_key(&room) && kind == Kind::Came(self.person.id.clone()) {
            self.note(&room, Said::From(seq - 1));
        }
        let is_end = kind == Kind::Went(self.person.id.clone());
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
        let at = self.stage.clock.now();
        self.tape.heard.push(Heard { at, room: room.to_owned(), said });
    }
}

fn place(payload: &Value) -> (String, u64) {
    let seq = payload["seq"].as_u64().expect("a position");
    (text(&payload["chat_room_id"]).to_owned(), seq)
}

/// What a lasting event says.
pub(crate) fn kind(name: &str, payload: &Value) -> Kind {
    let user = || text(&payload["user"]["id"]).to_owned();
    match name {
        "chat" => Kind::Message(text(&payload["message"]["content"]).to_owned()),
        "message_gone" => Kind::Gone,
        "member_added" => Kind::Came(user()),
        "member_removed" => Kind::Went(user()),
        other => Kind::Other(other.to_owned()),
    }
}
