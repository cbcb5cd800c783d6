//! Somebody who writes, and sends again what has a client_id until it is known what became of it.

use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Plan, SETTLED_WITHIN, Stage};
use crate::client::{NotConnected, Person, Socket, Told};
use crate::history::{Answer, Attempt, Outcome, Sent};

/// Sends without an answer; beyond it the writer waits.
const WINDOW: usize = 64;

/// How long an answer may take before the writer goes elsewhere, as a client does whose server is silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts to get somewhere.
const BREATH: Duration = Duration::from_millis(200);

/// How much somebody writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between two bursts.
    pub(crate) every: Duration,
    /// The most that is sent at once.
    pub(crate) burst: usize,
}

/// A writer.
pub(super) struct Writer {
    pub(super) person: Person,
    pub(super) rooms: Vec<String>,
    pub(super) pace: Pace,
    is_keyed: bool,
    padding: usize,
    pub(super) stage: Stage,
    chance: StdRng,
    sent: Vec<Sent>,
}

/// What is under way on one connection: what was sent and which attempt it is, by the number of its acknowledgement.
type UnderWay = HashMap<u64, (usize, usize)>;

impl Writer {
    pub(super) fn new(person: &Person, rooms: &[String], plan: &Plan, stage: &Stage) -> Self {
        let chance = stage.chance(&person.name);
        let (person, stage, rooms) = (person.clone(), stage.clone(), rooms.to_vec());
        let Plan { pace, is_keyed, padding, .. } = *plan;
        Self { person, rooms, pace, is_keyed, padding, stage, chance, sent: Vec::new() }
    }

    /// Writes until nothing new is to be begun, and everything that can be is decided.
    pub(super) async fn run(mut self) -> Vec<Sent> {
        let (mut give_up, mut cut_off) = (None, None);
        loop {
            if self.stage.is_closed() {
                let end = *give_up.get_or_insert_with(|| Instant::now() + SETTLED_WITHIN);
                if Instant::now() >= end || self.undecided().is_empty() {
                    return self.sent;
                }
            }
            let node = self.stage.balancer.any(&mut self.chance);
            let auth = json!({"token": self.person.token});
            match Socket::connect(node, auth).await {
                Ok(socket) => {
                    if let Some(since) = cut_off {
                        self.stage.is_back(&self.person.name, since);
                    }
                    cut_off = self.talk(socket).await.then(Instant::now);
                }
                Err(NotConnected::Away) => {}
                Err(NotConnected::Refused(why)) => panic!("{}: {why}", self.person.name),
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// What has to be sent again, in order.
    fn undecided(&self) -> Vec<usize> {
        let is_open = |sent: &Sent| {
            sent.client_id.is_some()
                && match sent.outcome() {
                    Outcome::Acked(..) => false,
                    Outcome::Unknown => true,
                    Outcome::Refused => sent.attempts.last().is_none_or(invites_to_repeat),
                }
        };
        let open = self.sent.iter().enumerate().filter(|(_, sent)| is_open(sent));
        open.map(|(place, _)| place).collect()
    }

    /// Sends and listens, until there is nothing left to do, or it is cut off: whether it was.
    async fn talk(&mut self, mut socket: Socket) -> bool {
        let connection = self.stage.connection();
        let mut under_way = UnderWay::new();
        let again = self.undecided();
        self.send(&mut socket, connection, &again, &mut under_way).await;
        // Not all in one moment, for they may all have been cut off in one.
        let first = self.pace.every.mul_f64(self.chance.random());
        let (mut next, mut silent_since) = (Instant::now() + first, Instant::now());
        let was_cut_off = loop {
            let is_closed = self.stage.is_closed();
            if under_way.is_empty() {
                if is_closed {
                    break false;
                }
                silent_since = Instant::now();
            }
            let may_send = !is_closed && under_way.len() < WINDOW;
            tokio::select! {
                told = socket.next() => match told {
                    Told::Ack(number, answer) => {
                        silent_since = Instant::now();
                        self.answered(&mut under_way, number, &answer);
                    }
                    Told::Closed | Told::Disconnected => break true,
                    _ => {}
                },
                () = tokio::time::sleep_until(silent_since + PATIENCE) => {
                    if !under_way.is_empty() {
                        break true;
                    }
                }
                () = tokio::time::sleep_until(next), if may_send => {
                    next = Instant::now() + self.pace.every;
                    let new = self.think();
                    self.send(&mut socket, connection, &new, &mut under_way).await;
                }
                () = self.stage.pause(PATIENCE), if !is_closed => {}
            }
            if under_way.is_empty() && !self.undecided().is_empty() {
                // What was refused for now goes again, elsewhere.
                break false;
            }
        };
        socket.close().await;
        was_cut_off
    }

    /// New words, each to a room of its own choice; every other has a client_id, or each.
    fn think(&mut self) -> Vec<usize> {
        let first = self.sent.len();
        for number in first..first + self.chance.random_range(1..=self.pace.burst) {
            let name = &self.person.name;
            let room = &self.rooms[self.chance.random_range(0..self.rooms.len())];
            let padding = "x".repeat(self.chance.random_range(0..self.padding));
            self.sent.push(Sent {
                sender: self.person.id.clone(),
                room: room.clone(),
                client_id: (self.is_keyed || number % 2 == 0).then(|| format!("{name}-{number}")),
                content: format!("{name} says {number} {padding}").trim_end().to_owned(),
                attempts: Vec::new(),
            });
        }
        (first..self.sent.len()).collect()
    }

    async fn send(
        &mut self,
        socket: &mut Socket,
        connection: u64,
        places: &[usize],
        under_way: &mut UnderWay,
    ) {
        let payloads: Vec<Value> = places.iter().map(|place| chat(&self.sent[*place])).collect();
        let invoked = self.stage.clock.now();
        let first = socket.send_all("chat", &payloads).await;
        for (number, place) in (first..).zip(places) {
            let attempts = &mut self.sent[*place].attempts;
            under_way.insert(number, (*place, attempts.len()));
            attempts.push(Attempt { connection, place: number, invoked, answered: None });
        }
    }

    fn answered(&mut self, under_way: &mut UnderWay, number: u64, answer: &Value) {
        if let Some((place, attempt)) = under_way.remove(&number) {
            let answered = Some((self.stage.clock.now(), read(answer)));
            self.sent[place].attempts[attempt].answered = answered;
        }
    }
}

fn chat(sent: &Sent) -> Value {
    let mut payload =
        json!({"chat_room_id": sent.room, "content": sent.content, "message_type": "text"});
    if let Some(client_id) = &sent.client_id {
        payload["client_id"] = json!(client_id);
    }
    payload
}

/// What an acknowledgement says.
pub(crate) fn read(answer: &Value) -> Answer {
    if answer["ok"] == true {
        return Answer::Stored(
            answer["message"]["seq"].as_u64().expect("a stored message has one"),
        );
    }
    match answer["error"]["code"].as_str() {
        Some("unknown") => Answer::Unknown,
        Some(code) => Answer::Refused(code.to_owned()),
        None => panic!("an acknowledgement without a code: {answer}"),
    }
}

/// Whether the answer says that it may be stored at another time.
fn invites_to_repeat(attempt: &Attempt) -> bool {
    match &attempt.answered {
        Some((_, Answer::Refused(code))) => {
            matches!(code.as_str(), "overloaded" | "unavailable" | "draining" | "rate_limited")
        }
        _ => true,
    }
}
