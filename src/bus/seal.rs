//! How it is known that a message of the bus is a node's of this cluster.
//!
//! Every payload is JSON: `{"v": 1, "node": "<boot id>", "n": <counter>, "at": <milliseconds since 1970>, "mac": "<base64url>",
//! "body": ...}`. The MAC is HMAC-SHA256 with the cluster's key for the bus over the subject, the version, the node, the counter,
//! the time and the bytes of the body, so what was said to one subject counts for nothing on another. Anybody who may
//! subscribe can read the body; nobody without the key can say anything.
//!
//! What may come twice without harm (frames, signals) has the counter 0. What must not (requests, heartbeats)
//! has one that rises, and whoever takes it in asks [`Replays`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Subject;
use crate::domain::{BootId, Timestamp};
use crate::keys::KeyRing;
use crate::metrics::{BusRefusal, Metrics};

/// The form of what is said here. Another is not understood, and repaired from the store.
const VERSION: u8 = 1;

/// How old, or how far ahead, a guarded message may be. Clocks of nodes have to agree within it.
pub const MAX_AGE: Duration = Duration::from_secs(30);

/// How far behind the newest counter of a node an older one may come.
const WINDOW: u64 = 1024;

/// Signs what this node says, and knows what other nodes of the cluster have said. Clones are the same.
#[derive(Clone)]
pub struct Seal(Arc<Inner>);

struct Inner {
    node: BootId,
    keys: KeyRing,
    counter: AtomicU64,
    metrics: Metrics,
    /// When a refusal was logged last, in milliseconds since 1970.
    complained: AtomicI64,
}

/// How long after one refused message the next one that is refused is not logged: anybody with an account on the bus can send
/// as many as they like. Each is counted.
const QUIET: i64 = 1000;

/// What a node has said.
#[derive(Debug)]
pub struct Opened<T> {
    /// Who says it.
    pub node: BootId,
    /// Its counter; 0 for what may come twice.
    pub counter: u64,
    /// When it was said, by the clock of the node that says it.
    pub at: Timestamp,
    /// What.
    pub body: T,
}

/// Why a payload is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// It is of no form, or no version, that this node knows.
    #[error("no message that this node understands")]
    Malformed,
    /// Its MAC is not of this cluster, or of another subject.
    #[error("not said by a node of this cluster on this subject")]
    Forged,
    /// It is older than [`MAX_AGE`], from the future, or was taken before.
    #[error("too old, or said before")]
    Stale,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    v: u8,
    node: BootId,
    n: u64,
    at: i64,
    mac: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Seal {
    /// The seal of the node `node` with the cluster's key for the bus.
    pub fn new(node: BootId, keys: KeyRing) -> Self {
        Self::counted(node, keys, Metrics::new())
    }

    /// The same; what it refuses is counted in `metrics`.
    pub fn counted(node: BootId, keys: KeyRing, metrics: Metrics) -> Self {
        let (counter, complained) = (AtomicU64::new(0), AtomicI64::new(0));
        Self(Arc::new(Inner { node, keys, counter, metrics, complained }))
    }

    /// Whose seal it is.
    pub fn node(&self) -> BootId {
        self.0.node
    }

    /// `body` for `subject`, as something that may come twice.
    pub fn seal<T: Serialize + ?Sized>(&self, subject: &Subject, body: &T) -> Bytes {
        self.sealed(subject, body, 0)
    }

    /// `body` for `subject`, as something that counts once.
    pub fn seal_once<T: Serialize + ?Sized>(&self, subject: &Subject, body: &T) -> Bytes {
        self.sealed(subject, body, self.0.counter.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn sealed<T: Serialize + ?Sized>(&self, subject: &Subject, body: &T, n: u64) -> Bytes {
        let body = serde_json::value::to_raw_value(body)
            .expect("what travels has string keys and no failing parts");
        let (node, at) = (self.0.node, Timestamp::now().0);
        let mac = self.0.keys.sign(&parts(subject, node, n, at, &body));
        let mac = URL_SAFE_NO_PAD.encode(mac).into();
        let envelope = Envelope { v: VERSION, node, n, at, mac, body: &body };
        serde_json::to_vec(&envelope).expect("an envelope is plain JSON").into()
    }

    /// What `payload`, which came on `subject`, says, and who says it. A refusal is counted, and logged unless there are many.
    ///
    /// # Errors
    ///
    /// [`NotOpened::Malformed`], [`NotOpened::Forged`].
    pub fn open<T: DeserializeOwned>(
        &self,
        subject: &Subject,
        payload: &[u8],
    ) -> Result<Opened<T>, NotOpened> {
        let opened = parse(payload).and_then(|envelope| self.verified(subject, envelope));
        opened.inspect_err(|refused| self.complain(subject, *refused))
    }

    /// The same for what may come once only, and has not yet, as `replays` knows.
    ///
    /// # Errors
    ///
    /// [`NotOpened`].
    pub fn open_once<T: DeserializeOwned>(
        &self,
        subject: &Subject,
        payload: &[u8],
        replays: &mut Replays,
        now: Timestamp,
    ) -> Result<Opened<T>, NotOpened> {
        let opened = self.open(subject, payload)?;
        let admitted = replays.admit(&opened, now);
        admitted.inspect_err(|refused| self.complain(subject, *refused))?;
        Ok(opened)
    }

    /// The same for what is nothing new to the node that says it: `None` without a further look if that is this one.
    ///
    /// # Errors
    ///
    /// [`NotOpened::Malformed`], [`NotOpened::Forged`].
    pub fn open_of_others<T: DeserializeOwned>(
        &self,
        subject: &Subject,
        payload: &[u8],
    ) -> Result<Option<Opened<T>>, NotOpened> {
        let opened = parse(payload).and_then(|envelope| match envelope.node == self.0.node {
            true => Ok(None),
            false => self.verified(subject, envelope).map(Some),
        });
        opened.inspect_err(|refused| self.complain(subject, *refused))
    }

    fn complain(&self, subject: &Subject, refused: NotOpened) {
        let refusal = match refused {
            NotOpened::Malformed => BusRefusal::Malformed,
            NotOpened::Forged => BusRefusal::Forged,
            NotOpened::Stale => BusRefusal::Stale,
        };
        self.0.metrics.bus.refused.of(refusal).inc();
        let now = Timestamp::now().0;
        let last = self.0.complained.load(Ordering::Relaxed);
        if now.abs_diff(last) >= QUIET.unsigned_abs() {
            self.0.complained.store(now, Ordering::Relaxed);
            tracing::warn!(%subject, error = %refused, "a message of the bus is not taken");
        }
    }

    fn verified<T: DeserializeOwned>(
        &self,
        subject: &Subject,
        envelope: Envelope<'_>,
    ) -> Result<Opened<T>, NotOpened> {
        let Envelope { node, n, at, body, .. } = envelope;
        let mac = URL_SAFE_NO_PAD.decode(envelope.mac.as_bytes());
        let mac = mac.map_err(|_base64| NotOpened::Malformed)?;
        if !self.0.keys.verify(&parts(subject, node, n, at, body), &mac) {
            return Err(NotOpened::Forged);
        }
        let body = serde_json::from_str(body.get()).map_err(|_json| NotOpened::Malformed)?;
        Ok(Opened { node, counter: n, at: Timestamp(at), body })
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("node", &self.0.node).finish_non_exhaustive()
    }
}

fn parse(payload: &[u8]) -> Result<Envelope<'_>, NotOpened> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(payload).map_err(|_json| NotOpened::Malformed)?;
    if envelope.v == VERSION { Ok(envelope) } else { Err(NotOpened::Malformed) }
}

/// What a MAC is over. `V1` tells this form from any other that these keys may ever sign.
fn parts(subject: &Subject, node: BootId, n: u64, at: i64, body: &RawValue) -> [Vec<u8>; 6] {
    [
        b"V1".to_vec(),
        subject.as_str().as_bytes().to_vec(),
        node.as_bytes().to_vec(),
        n.to_be_bytes().to_vec(),
        at.to_be_bytes().to_vec(),
        body.get().as_bytes().to_vec(),
    ]
}

/// What a listener has taken in already, by node: refuses what comes again or too late. Nodes that have said nothing
/// for twice [`MAX_AGE`] are forgotten, for what they said then is too old by itself.
#[derive(Debug, Default)]
pub struct Replays {
    nodes: HashMap<BootId, Window>,
}

#[derive(Debug)]
struct Window {
    highest: u64,
    /// Whether `highest - i` was taken, bit by bit.
    taken: [u64; (WINDOW / 64) as usize],
    last: Timestamp,
}

impl Replays {
    /// Takes `opened` in, at most once.
    ///
    /// # Errors
    ///
    /// [`NotOpened::Stale`].
    pub fn admit<T>(&mut self, opened: &Opened<T>, now: Timestamp) -> Result<(), NotOpened> {
        let age = now.0.abs_diff(opened.at.0);
        if u128::from(age) > MAX_AGE.as_millis() || opened.counter == 0 {
            return Err(NotOpened::Stale);
        }
        let kept = i64::try_from(2 * MAX_AGE.as_millis()).unwrap_or(i64::MAX);
        self.nodes.retain(|_, window| now.0.saturating_sub(window.last.0) <= kept);
        let window = self.nodes.entry(opened.node).or_insert(Window {
            highest: 0,
            taken: [0; (WINDOW / 64) as usize],
            last: now,
        });
        window.last = now;
        if window.admit(opened.counter) { Ok(()) } else { Err(NotOpened::Stale) }
    }
}

impl Window {
    fn admit(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            self.advance(counter - self.highest);
            self.highest = counter;
        }
        let behind = self.highest - counter;
        if behind >= WINDOW {
            return false;
        }
        let (word, bit) = ((behind / 64) as usize, 1 << (behind % 64));
        let is_new = self.taken[word] & bit == 0;
        self.taken[word] |= bit;
        is_new
    }

    /// Moves every bit `by` places on.
    fn advance(&mut self, by: u64) {
        let (words, bits) = ((by / 64).min(WINDOW / 64) as usize, (by % 64) as u32);
        self.taken.rotate_right(words);
        self.taken[..words].fill(0);
        if bits > 0 {
            let mut carry = 0;
            for word in &mut self.taken {
                let next = *word >> (64 - bits);
                *word = *word << bits | carry;
                carry = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    fn seal(secret: &str, node: u64) -> Seal {
        let keys = Keys::derive(secret.as_bytes(), None).bus;
        Seal::new(BootId::new(1, node), keys)
    }

    const SECRET: &str = "a secret of at least thirty-two bytes";

    #[test]
    fn what_is_sealed_for_a_subject_opens_there_and_nowhere_else() {
        let (one, other) = (seal(SECRET, 1), seal(SECRET, 2));
        let payload = one.seal(&Subject::nodes(), "hello");
        let opened: Opened<String> = other.open(&Subject::nodes(), &payload).unwrap();
        assert_eq!((opened.node, opened.counter, opened.body.as_str()), (one.node(), 0, "hello"));
        let elsewhere = other.open::<String>(&Subject::limits(), &payload);
        assert_eq!(elsewhere.unwrap_err(), NotOpened::Forged);
        let stranger = seal("another secret of thirty-two bytes or more", 1);
        let forged = stranger.open::<String>(&Subject::nodes(), &payload);
        assert_eq!(forged.unwrap_err(), NotOpened::Forged);
    }

    #[test]
    fn what_is_refused_is_counted_and_ones_own_is_not_looked_at() {
        let (one, other, subject) = (seal(SECRET, 1), seal(SECRET, 2), Subject::nodes());
        let said = other.seal_once(&subject, "hello");
        let opened = one.open_of_others::<String>(&subject, &said).unwrap().unwrap();
        assert_eq!((opened.node, opened.body.as_str()), (other.node(), "hello"));
        assert!(other.open_of_others::<String>(&subject, &said).unwrap().is_none());
        let (mut replays, now) = (Replays::default(), Timestamp::now());
        let mut once =
            |payload: &[u8]| one.open_once::<String>(&subject, payload, &mut replays, now);
        assert_eq!(once(&said).unwrap().body, "hello");
        assert_eq!(once(&said).unwrap_err(), NotOpened::Stale);
        assert_eq!(once(b"{}").unwrap_err(), NotOpened::Malformed);
        let forged = one.open_of_others::<String>(&Subject::limits(), &said);
        assert_eq!(forged.unwrap_err(), NotOpened::Forged);
        let text = one.0.metrics.render();
        for reason in ["stale", "malformed", "forged"] {
            let series = format!("natter_bus_refused_messages_total{{reason=\"{reason}\"}} 1\n");
            assert!(text.contains(&series), "{reason}: {text}");
        }
    }

    #[test]
    fn whatever_is_changed_about_a_message_is_noticed() {
        let one = seal(SECRET, 1);
        let payload = one.seal_once(&Subject::nodes(), "hello");
        let text = String::from_utf8(payload.to_vec()).unwrap();
        for (from, to) in [("hello", "hallo"), ("\"n\":1", "\"n\":2"), ("\"at\":", "\"at\":1")] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            let opened = one.open::<String>(&Subject::nodes(), changed.as_bytes());
            assert_eq!(opened.unwrap_err(), NotOpened::Forged, "{changed}");
        }
        for none in ["", "{}", "null", "\u{fffd}", &text.replace("\"v\":1", "\"v\":2"), &text[1..]]
        {
            let opened = one.open::<String>(&Subject::nodes(), none.as_bytes());
            assert_eq!(opened.unwrap_err(), NotOpened::Malformed, "{none}");
        }
    }

    #[test]
    fn what_must_come_once_is_taken_once_in_whatever_order() {
        let mut replays = Replays::default();
        let now = Timestamp::now();
        let mut admit = |node: u64, counter: u64| {
            let opened = Opened { node: BootId::new(1, node), counter, at: now, body: () };
            replays.admit(&opened, now).is_ok()
        };
        assert!(!admit(1, 0));
        assert!(admit(1, 2) && admit(1, 1) && admit(2, 1));
        assert!(!admit(1, 1) && !admit(1, 2) && !admit(2, 1));
        assert!(admit(1, 70) && admit(1, 5) && !admit(1, 5) && !admit(1, 70) && !admit(1, 2));
        assert!(admit(1, 5000) && !admit(1, 70) && admit(1, 4000) && !admit(1, 4000));
        assert!(!admit(1, 5000 - WINDOW) && admit(1, 5001 - WINDOW));
    }

    #[test]
    fn what_is_too_old_or_of_the_future_is_not_taken() {
        let now = Timestamp::now();
        let limit = i64::try_from(MAX_AGE.as_millis()).unwrap();
        for (at, is_taken) in
            [(0, true), (limit, true), (-limit, true), (limit + 1, false), (-limit - 1, false)]
        {
            let at = Timestamp(now.0 + at);
            let opened = Opened { node: BootId::new(1, 1), counter: 1, at, body: () };
            assert_eq!(Replays::default().admit(&opened, now).is_ok(), is_taken);
        }
    }
}
