//! A closed loop of messages, and who hears them in which order.
//!
//! A speaker goes on when it hears its own words, like all in the room: were it to wait for the acknowledgement alone, a server that
//! stores faster than clients read would be told ever more, and let go of those who lag.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::crew::gather;
use crate::frames::Wire;
use crate::plan::{Chat, Plan};
use crate::socket::{PONG, Told, find, read};
use crate::{cpu, plan};

/// How long what was begun may take to come to its end.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes of a message by which all that hear it know it from others.
const MARK: usize = 16;

/// What the sockets are to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Say nothing new.
    Still,
    /// Speak.
    Talk,
    /// Go.
    End,
}

/// What all sockets together have done so far.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    acked: AtomicU64,
    refused: AtomicU64,
    heard: AtomicU64,
    /// How often what was acknowledged is to be heard.
    expected: AtomicU64,
}

impl Counts {
    fn is_drained(&self) -> bool {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        load(&self.sent) == load(&self.acked) + load(&self.refused)
            && load(&self.heard) >= load(&self.expected)
    }

    fn now(&self) -> [u64; 4] {
        [&self.acked, &self.refused, &self.heard, &self.expected]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// What one socket has seen.
#[derive(Debug, Default)]
struct Seen {
    room: String,
    /// From sending to the acknowledgement, in microseconds, since speaking began last.
    waits: Vec<u64>,
    /// Follows from what was heard, and in which order.
    order: u64,
    /// Why the connection ended before it was to.
    lost: Option<String>,
}

/// One socket.
struct Speaker {
    wire: Wire,
    work: Chat,
    speaks: bool,
    /// How many hear what it says.
    listeners: u64,
    counts: Arc<Counts>,
    phase: watch::Receiver<Phase>,
    said: u64,
    /// How often it has heard its own words.
    echoed: u64,
    /// With what its own messages begin.
    name: String,
    waiting: HashMap<u64, Instant>,
    seen: Seen,
}

/// Lets all in, has them speak until it is warm, and then measures.
pub(crate) async fn run(plan: &Plan, work: Chat) -> Value {
    assert!(work.bytes >= MARK, "a message has {MARK} bytes at least");
    let mut listeners = BTreeMap::<&str, u64>::new();
    for member in &plan.sockets {
        *listeners.entry(&member.room).or_default() += 1;
    }
    let counts = Arc::new(Counts::default());
    let (tell, phase) = watch::channel(Phase::Still);
    let mut crew = gather(plan, |number, wire| {
        let member: &plan::Member = &plan.sockets[number];
        let speaker = Speaker {
            wire,
            work,
            speaks: member.speaks,
            listeners: listeners[member.room.as_str()],
            counts: counts.clone(),
            phase: phase.clone(),
            said: 0,
            echoed: 0,
            name: format!("{number:06}-"),
            waiting: HashMap::new(),
            seen: Seen { room: member.room.clone(), ..Seen::default() },
        };
        speaker.run()
    })
    .await;
    talk(&tell, &counts, work.warm_seconds).await;
    let (before, began, cpu) = (counts.now(), Instant::now(), cpu::seconds(&plan.watched));
    talk(&tell, &counts, work.seconds).await;
    let cpu = cpu::between(&cpu, &cpu::seconds(&plan.watched));
    let seconds = began.elapsed().as_secs_f64();
    let after = counts.now();
    tell.send_replace(Phase::End);
    let mut seen = Vec::new();
    while let Some(one) = crew.tasks.join_next().await {
        seen.push(one.expect("a socket does not panic"));
    }
    let [messages, refused, deliveries, expected] =
        [0, 1, 2, 3].map(|one| after[one] - before[one]);
    json!({
        "sockets": plan.sockets.len(),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "messages": messages,
        "refused": refused,
        "deliveries": deliveries,
        "missing": expected.saturating_sub(deliveries),
        "orders_in_one_room": orders(&seen),
        "ack_ms": waits(&seen),
        "lost_sockets": seen.iter().filter_map(|one| one.lost.as_ref()).collect::<Vec<_>>(),
    })
}

/// Has them speak for a while, and waits until all of it is acknowledged and heard.
async fn talk(tell: &watch::Sender<Phase>, counts: &Counts, seconds: f64) {
    tell.send_replace(Phase::Talk);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    tell.send_replace(Phase::Still);
    let end = Instant::now() + DRAINED_WITHIN;
    while !counts.is_drained() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

/// In how many different orders the messages of one room were heard, at most.
fn orders(seen: &[Seen]) -> usize {
    let mut rooms = BTreeMap::<&str, BTreeSet<u64>>::new();
    for one in seen {
        rooms.entry(&one.room).or_default().insert(one.order);
    }
    rooms.values().map(BTreeSet::len).max().unwrap_or_default()
}

/// The middle and the ninety-ninth hundredth of all waits, in milliseconds.
fn waits(seen: &[Seen]) -> Value {
    let mut waits: Vec<_> = seen.iter().flat_map(|one| one.waits.iter().copied()).collect();
    waits.sort_unstable();
    let at = |part: usize| {
        let place = (waits.len() * part / 100).min(waits.len().saturating_sub(1));
        waits.get(place).map(|wait| *wait as f64 / 1000.0)
    };
    json!({"p50": at(50), "p99": at(99)})
}

impl Speaker {
    async fn run(mut self) -> Seen {
        if let Err(error) = self.serve().await {
            self.seen.lost = Some(error.to_string());
        }
        self.seen
    }

    /// Until the end of the last phase.
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            self.take_in()?;
            self.wire.flush().await?;
            tokio::select! {
                filled = self.wire.fill() => filled?,
                changed = self.phase.changed() => {
                    changed.map_err(io::Error::other)?;
                    if *self.phase.borrow_and_update() == Phase::End {
                        return Ok(());
                    }
                    self.begin();
                }
            }
        }
    }

    fn is_to_speak(&self) -> bool {
        self.speaks && *self.phase.borrow() == Phase::Talk
    }

    fn begin(&mut self) {
        if !self.is_to_speak() {
            return;
        }
        self.seen.waits.clear();
        self.go_on();
    }

    /// As many messages as may be under way.
    fn go_on(&mut self) {
        while self.is_to_speak() && self.said - self.echoed < self.work.depth {
            self.say();
        }
    }

    /// Takes in all that was read.
    fn take_in(&mut self) -> io::Result<()> {
        let mut heard = 0;
        while let Some(packet) = self.wire.next()? {
            match read(packet) {
                Told::Ping => self.wire.say(PONG),
                Told::Event(b"chat", packet) => {
                    let words = words(packet);
                    heard += 1;
                    self.echoed += u64::from(words.starts_with(self.name.as_bytes()));
                    self.seen.order = mixed(self.seen.order, words);
                }
                Told::Ack { number, is_ok } => self.answered(number, is_ok),
                Told::Refused => {
                    let why = String::from_utf8_lossy(packet).into_owned();
                    return Err(io::Error::other(why));
                }
                _ => {}
            }
        }
        self.counts.heard.fetch_add(heard, Ordering::Relaxed);
        self.go_on();
        Ok(())
    }

    fn answered(&mut self, number: u64, is_ok: bool) {
        if let Some(since) = self.waiting.remove(&number) {
            let wait = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.seen.waits.push(wait);
        }
        if is_ok {
            self.counts.expected.fetch_add(self.listeners, Ordering::Relaxed);
            self.counts.acked.fetch_add(1, Ordering::Relaxed);
        } else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn say(&mut self) {
        self.said += 1;
        let said = self.said;
        let mut content = format!("{}{said:08}-", self.name);
        content.extend(std::iter::repeat_n('x', self.work.bytes - MARK));
        let payload = json!(["chat", {"content": content, "message_type": "text"}]);
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        self.wire.say(format!("42{said}{payload}").as_bytes());
        self.waiting.insert(said, Instant::now());
    }
}

/// The first words of a message, which no other has.
fn words(packet: &[u8]) -> &[u8] {
    const BEFORE: &[u8] = b"\"content\":\"";
    let from = find(packet, BEFORE).map_or(packet.len(), |place| place + BEFORE.len());
    &packet[from..packet.len().min(from + MARK)]
}

/// What follows from having heard these words behind those before.
fn mixed(order: u64, words: &[u8]) -> u64 {
    words.iter().fold(order ^ 0xcbf2_9ce4_8422_2325, |mixed, byte| {
        (mixed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(said: &[&str]) -> Seen {
        let mut seen = Seen::default();
        for content in said {
            let packet = format!(r#"42["chat",{{"message":{{"content":"{content}"}}}}]"#);
            seen.order = mixed(seen.order, words(packet.as_bytes()));
        }
        seen
    }

    #[test]
    fn who_hears_the_same_in_another_order_is_told_apart() {
        let (one, two) = ("000001-00000001-", "000002-00000001-");
        assert_eq!(orders(&[heard(&[one, two]), heard(&[one, two])]), 1);
        assert_eq!(orders(&[heard(&[one, two]), heard(&[two, one])]), 2);
        assert_eq!(orders(&[heard(&[one, two]), heard(&[one])]), 2);
    }

    #[test]
    fn waits_are_told_in_milliseconds() {
        let seen = Seen { waits: (1..=200).map(|wait| wait * 1000).collect(), ..Seen::default() };
        assert_eq!(waits(&[seen]), json!({"p50": 101.0, "p99": 199.0}));
        assert_eq!(waits(&[]), json!({"p50": null, "p99": null}));
    }
}
