//! Follows who is present in one room through other nodes: hears what they say, asks for what was missed, looks who is
//! alive, and says now and then how far this node is.
//!
//! It begins when somebody here comes into the room, and ends a while after the last one has gone: who is present
//! elsewhere is nobody's business before and after.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::live::LiveRoom;
use super::super::peers::{Peers, known};
use super::super::{LINGER, peers};
use super::ask::{self, Answer, Question};
use super::elsewhere::Taken;
use crate::bus::codec::{Present, Signal};
use crate::bus::{Delivery, Link, Subscription};
use crate::domain::{BootId, RoomId};

/// How long the others are waited for before what this node knows counts.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often this node says how far it is.
const REPEAT_EVERY: Duration = Duration::from_secs(30);

/// The time over which the questions of all rooms are spread after a loss.
const SPREAD: Duration = Duration::from_secs(1);

/// How long a node that has said something is waited for before it is asked again, the first time; each time twice as long.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How often a node is asked that does not answer; it is asked anew when it says something.
const TRIES: u32 = 6;

impl LiveRoom {
    /// Whether this node follows who is present through others.
    pub(crate) fn is_attending(&self) -> bool {
        self.shared.presence.is_listening()
    }

    /// From now on this node knows who is present through others. Waits, for a moment at most, until it does.
    pub async fn attend(self: &Arc<Self>) {
        self.listen_to_others();
        self.shared.presence.heard().await;
    }

    /// The same without waiting.
    pub fn listen_to_others(self: &Arc<Self>) {
        let (peers, presence) = (&self.shared.peers, &self.shared.presence);
        if !peers.reach_others() || !presence.begin_listening() {
            return;
        }
        let heard = peers.listen_to_signals(self.id);
        tokio::spawn(Follower::new(self, heard).run());
    }
}

struct Follower {
    peers: Peers,
    room: Weak<LiveRoom>,
    id: RoomId,
    heard: Subscription,
    changes: watch::Receiver<u64>,
    link: watch::Receiver<Link>,
    /// Whether the link was up when it was looked at last.
    was_up: bool,
    question: Option<Question>,
    /// Who has answered the first question.
    answered: HashSet<BootId>,
    /// Nodes that have said something before which something is missing, with how often they were asked.
    missing: HashMap<BootId, u32>,
    /// When to stop waiting for the first answers.
    patient_until: Option<Instant>,
    /// When to ask those that are missing.
    ask_at: Option<Instant>,
    /// When to ask everybody, and to say how far this node is.
    refresh_at: Option<Instant>,
    repeat_at: Instant,
}

/// The next answer, if something is asked.
async fn next_answer(question: &mut Option<Question>) -> Option<(BootId, Answer)> {
    match question {
        Some(question) => question.next().await,
        None => std::future::pending().await,
    }
}

/// Some moment within `time`, so that many rooms do not do the same at once.
fn spread(time: Duration) -> Duration {
    time.mul_f64(rand::random::<f64>())
}

impl Follower {
    fn new(room: &Arc<LiveRoom>, heard: Subscription) -> Self {
        let peers = room.shared.peers.clone();
        Self {
            room: Arc::downgrade(room),
            id: room.id,
            heard,
            changes: peers.nodes().changes(),
            link: peers.link(),
            was_up: peers.nodes().is_link_up(),
            question: None,
            answered: HashSet::new(),
            missing: HashMap::new(),
            patient_until: None,
            ask_at: None,
            refresh_at: None,
            repeat_at: Instant::now() + spread(REPEAT_EVERY),
            peers,
        }
    }

    /// Follows until the room is let go, or nobody has been present here for a while.
    async fn run(mut self) {
        self.peers.settled().await;
        self.question = Some(Question::ask(&self.peers, self.id, None, false));
        self.patient_until = Some(Instant::now() + PATIENCE);
        self.look_whether_all_have_answered();
        while self.step().await.is_some() {}
    }

    /// `None` once there is nothing to follow any more.
    async fn step(&mut self) -> Option<()> {
        let next_due = self.next_due();
        tokio::select! {
            delivery = self.heard.next() => self.take(&delivery?),
            answer = next_answer(&mut self.question) => self.take_answer(answer),
            changed = self.changes.changed() => {
                changed.ok()?;
                self.look()
            }
            changed = self.link.changed() => {
                changed.ok()?;
                self.refresh_soon();
                Some(())
            }
            () = tokio::time::sleep_until(next_due) => self.do_what_is_due(Instant::now()),
        }
    }

    fn next_due(&self) -> Instant {
        let due = [self.patient_until, self.ask_at, self.refresh_at];
        due.into_iter().flatten().min().unwrap_or(self.repeat_at).min(self.repeat_at)
    }

    /// Takes in what a node says in the room.
    fn take(&mut self, delivery: &Delivery) -> Option<()> {
        let room = self.room.upgrade()?;
        let Some(said) = self.peers.heard_signal(self.id, &delivery.payload) else {
            return Some(());
        };
        match said.body {
            Signal::Told { name, except, payload } => {
                if let Some(name) = known(&name) {
                    peers::take_told(&room.shared, name, payload, except);
                }
            }
            Signal::Present(present) => self.take_present(&room, said.node, present),
            Signal::WhoIsThere { id, of, with_leaving } => {
                let is_meant = of.is_none_or(|node| node == self.peers.nodes().me());
                if let (true, Some(reply)) = (is_meant, &delivery.reply) {
                    // Also those whose coming has not been told yet.
                    room.tell_others(Instant::now());
                    let presence = &room.shared.presence;
                    ask::answer(&self.peers, presence, (said.node, id), with_leaving, reply);
                }
            }
        }
        Some(())
    }

    fn take_answer(&mut self, answer: Option<(BootId, Answer)>) -> Option<()> {
        let room = self.room.upgrade()?;
        match answer {
            None => self.question = None,
            Some((node, Answer { present, .. })) => {
                if present.more == 0 {
                    self.answered.insert(node);
                }
                self.take_present(&room, node, present);
                self.look_whether_all_have_answered();
            }
        }
        Some(())
    }

    fn take_present(&mut self, room: &Arc<LiveRoom>, node: BootId, present: Present) {
        let is_answer = present.after.is_none();
        match room.shared.presence.take(node, present, Instant::now()) {
            Taken::Known { is_news } => {
                if is_answer {
                    self.missing.remove(&node);
                }
                if is_news {
                    room.stir();
                }
            }
            Taken::Missed => {
                self.missing.entry(node).or_insert(0);
                self.ask_at.get_or_insert(Instant::now() + spread(RETRY_AFTER));
            }
        }
    }

    /// Looks whether there is anybody to wait for.
    fn look_whether_all_have_answered(&mut self) {
        if self.patient_until.is_none() {
            return;
        }
        let nodes = self.peers.nodes();
        let others = nodes.others();
        let all = others.iter().all(|other| self.answered.contains(&other.boot));
        if (all || !nodes.is_link_up())
            && let Some(room) = self.room.upgrade()
        {
            self.patient_until = None;
            room.shared.presence.has_heard();
        }
    }

    /// Looks who is alive, and whether this node hears anybody.
    fn look(&mut self) -> Option<()> {
        let room = self.room.upgrade()?;
        let presence = &room.shared.presence;
        let is_up = self.peers.nodes().is_link_up();
        if is_up && !self.was_up {
            presence.forgive_silence(Instant::now());
            self.refresh_soon();
        }
        self.was_up = is_up;
        // As long as it is down, the others stay as they were known.
        if is_up && presence.look(&self.peers.nodes().others(), Instant::now()) {
            room.stir();
        }
        self.look_whether_all_have_answered();
        Some(())
    }

    fn refresh_soon(&mut self) {
        self.refresh_at.get_or_insert(Instant::now() + spread(SPREAD));
    }

    fn do_what_is_due(&mut self, now: Instant) -> Option<()> {
        let room = self.room.upgrade()?;
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.patient_until) {
            room.shared.presence.has_heard();
        }
        if is_due(&mut self.ask_at) {
            self.ask_who_is_missing(now);
        }
        if is_due(&mut self.refresh_at) {
            self.say_how_far();
            self.question = Some(Question::ask(&self.peers, self.id, None, false));
        }
        if self.repeat_at <= now {
            self.repeat_at = now + REPEAT_EVERY.mul_f64(0.75) + spread(REPEAT_EVERY / 2);
            if room.shared.presence.stop_listening(now, LINGER) {
                return None;
            }
            self.say_how_far();
            self.look_at_leases(&room, now);
        }
        Some(())
    }

    fn say_how_far(&self) {
        if let Some(room) = self.room.upgrade()
            && let Some(version) = room.shared.presence.version()
        {
            self.peers.tell_presence(self.id, version);
        }
    }

    fn ask_who_is_missing(&mut self, now: Instant) {
        self.missing.retain(|_, tries| *tries < TRIES);
        let Some(tries) = self.missing.values().copied().max() else { return };
        for asked in self.missing.values_mut() {
            *asked += 1;
        }
        let mut nodes = self.missing.keys();
        let of = nodes.next().copied().filter(|_| nodes.next().is_none());
        self.question = Some(Question::ask(&self.peers, self.id, of, false));
        if let Some(room) = self.room.upgrade() {
            room.shared.metrics.cluster.presence_repairs.inc();
        }
        self.ask_at = Some(now + RETRY_AFTER * 2_u32.pow(tries.min(TRIES)));
    }

    fn look_at_leases(&mut self, room: &Arc<LiveRoom>, now: Instant) {
        if !self.peers.nodes().is_link_up() {
            return;
        }
        let presence = &room.shared.presence;
        let (silent, has_ended) = presence.look_at_leases(now);
        // Also those that were never heard to be alive.
        let has_gone = presence.look(&self.peers.nodes().others(), now);
        if has_ended || has_gone {
            room.stir();
        }
        for node in silent {
            self.missing.entry(node).or_insert(0);
            self.ask_at.get_or_insert(now);
        }
    }
}
