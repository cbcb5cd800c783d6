//! What other nodes say of who is present through them, merged with what is known here.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Knowledge, Person, Presence, State};
use crate::api::UserBrief;
use crate::bus::codec::Present;
use crate::domain::{BootId, UserId};
use crate::nodes::{DEAD_AFTER, HEARTBEAT, Peer};

/// How long a node may say nothing of a room before it is asked whether its people are still there.
const ASK_AFTER: Duration = Duration::from_secs(45);

/// How long before they count as gone, although the node is alive.
const LEASE: Duration = Duration::from_secs(100);

/// What is known of one other node.
pub(super) struct Elsewhere {
    /// The number of the last change that was taken in.
    version: u64,
    /// When it said something last.
    heard: Instant,
    /// Whether its heartbeats were heard.
    is_alive: bool,
    /// Whether it was about to go when they were.
    is_draining: bool,
    /// Of an answer in parts, its number and what has come so far.
    parts: Option<(u64, u32, Vec<UserBrief>)>,
}

/// What came of something that another node said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is known here now. Whether that changes anything.
    Known {
        /// Whether somebody has come or gone.
        is_news: bool,
    },
    /// Something before it is missing.
    Missed,
}

const NOTHING_NEW: Taken = Taken::Known { is_news: false };

impl Presence {
    /// Takes in what `node` says of its people.
    pub(crate) fn take(&self, node: BootId, said: Present, now: Instant) -> Taken {
        if *self.knowledge.borrow() == Knowledge::None {
            return NOTHING_NEW;
        }
        let mut state = self.state();
        match said.after {
            None => state.take_whole(node, said, now),
            Some(after) => state.take_change(node, after, &said, now),
        }
    }

    /// Looks which nodes are alive. Whether somebody has gone with one that is not.
    pub(super) fn look(&self, alive: &[Peer], now: Instant) -> bool {
        let mut state = self.state();
        let mut ended = Vec::new();
        for (node, known) in &mut state.elsewhere {
            if let Some(peer) = alive.iter().find(|peer| peer.boot == *node) {
                (known.is_alive, known.is_draining) = (true, peer.is_draining);
            } else if known.is_alive && !known.is_draining {
                // It has been silent for long already.
                ended.push((*node, now.checked_sub(DEAD_AFTER - HEARTBEAT).unwrap_or(now)));
            } else if known.is_alive || now.duration_since(known.heard) >= DEAD_AFTER {
                ended.push((*node, now));
            }
        }
        ended.into_iter().fold(false, |is_news, (node, since)| state.end(node, since) || is_news)
    }

    /// Which nodes have said nothing for so long that they are to be asked, and whether somebody has gone with one that has not
    /// answered for even longer.
    pub(super) fn look_at_leases(&self, now: Instant) -> (Vec<BootId>, bool) {
        let mut state = self.state();
        let silent_for = |known: &Elsewhere| now.duration_since(known.heard);
        let silent = state.elsewhere.iter().filter(|(_, known)| silent_for(known) >= ASK_AFTER);
        let (ended, asked): (Vec<BootId>, Vec<BootId>) = silent
            .map(|(node, _)| *node)
            .partition(|node| silent_for(&state.elsewhere[node]) >= LEASE);
        let is_news = ended.into_iter().filter(|node| state.end(*node, now)).count() > 0;
        (asked.into_iter().filter(|node| state.has_people(*node)).collect(), is_news)
    }

    /// Counts the silence of every node from now on: this one has not heard anything.
    pub(super) fn forgive_silence(&self, now: Instant) {
        for known in self.state().elsewhere.values_mut() {
            known.heard = now;
        }
    }

    /// The other nodes through which somebody is present; `None` if this one cannot know.
    pub(super) fn other_nodes(&self) -> Option<Vec<BootId>> {
        if *self.knowledge.borrow() != Knowledge::Heard {
            return None;
        }
        let state = self.state();
        Some(state.elsewhere.keys().copied().filter(|node| state.has_people(*node)).collect())
    }

    /// From now on what other nodes say is taken in; `false` if it is already.
    pub(crate) fn begin_listening(&self) -> bool {
        self.knowledge.send_if_modified(|knowledge| {
            let is_first = *knowledge == Knowledge::None;
            if is_first {
                *knowledge = Knowledge::Asking;
            }
            is_first
        })
    }

    /// The others have been waited for long enough.
    pub(super) fn has_heard(&self) {
        self.knowledge.send_if_modified(|knowledge| {
            let is_change = *knowledge == Knowledge::Asking;
            if is_change {
                *knowledge = Knowledge::Heard;
            }
            is_change
        });
    }

    /// Whether it is listened to other nodes.
    pub(crate) fn is_listening(&self) -> bool {
        *self.knowledge.borrow() != Knowledge::None
    }

    /// Waits until the others have been waited for, if it is listened to them.
    pub(crate) async fn heard(&self) {
        let mut knowledge = self.knowledge.subscribe();
        // The sender lives as long as this.
        let _ = knowledge.wait_for(|knowledge| *knowledge != Knowledge::Asking).await;
    }

    /// Takes in nothing more and forgets what others have said, unless somebody is present here, or was within `linger`.
    pub(super) fn stop_listening(&self, now: Instant, linger: Duration) -> bool {
        let mut state = self.state();
        let is_quiet = state.is_idle()
            && state.empty_since.is_none_or(|since| now.duration_since(since) >= linger);
        if is_quiet {
            // Under the lock, so that nobody comes in between.
            self.knowledge.send_replace(Knowledge::None);
            state.elsewhere.clear();
            state.people.clear();
            (state.counted, state.empty_since) = (None, None);
        }
        is_quiet
    }
}

impl State {
    fn take_whole(&mut self, node: BootId, said: Present, now: Instant) -> Taken {
        let known = self.elsewhere.entry(node).or_insert_with(|| Elsewhere::new(now));
        if known.version > said.version {
            return NOTHING_NEW;
        }
        known.heard = now;
        if known.version == said.version && said.version > 0 {
            return NOTHING_NEW;
        }
        let Some((version, here)) = known.collect(said) else { return NOTHING_NEW };
        known.version = version;
        let still_here: HashSet<UserId> = here.iter().map(|one| one.id).collect();
        let gone: Vec<UserId> =
            self.people_of(node).filter(|user| !still_here.contains(user)).collect();
        let went = self.went(node, &gone, now);
        let came = self.came(node, &here);
        Taken::Known { is_news: came || went }
    }

    fn take_change(&mut self, node: BootId, after: u64, said: &Present, now: Instant) -> Taken {
        let Some(known) = self.elsewhere.get_mut(&node) else { return Taken::Missed };
        if said.version < known.version {
            return NOTHING_NEW;
        }
        if said.version > known.version && after != known.version {
            return Taken::Missed;
        }
        known.heard = now;
        if said.version == known.version {
            return NOTHING_NEW;
        }
        known.version = said.version;
        let went = self.went(node, &said.went, now);
        let came = self.came(node, &said.came);
        Taken::Known { is_news: came || went }
    }

    fn came(&mut self, node: BootId, people: &[UserBrief]) -> bool {
        for user in people {
            let came = self.entered + 1;
            let person = self.people.entry(user.id).or_insert_with(|| {
                self.entered = came;
                Person::new(user.clone(), came)
            });
            person.gone = None;
            if !person.elsewhere.contains(&node) {
                person.elsewhere.push(node);
            }
        }
        !people.is_empty()
    }

    fn went(&mut self, node: BootId, people: &[UserId], since: Instant) -> bool {
        for user in people {
            if let Some(person) = self.people.get_mut(user) {
                person.elsewhere.retain(|one| *one != node);
                person.note_absence(since);
            }
        }
        !people.is_empty()
    }

    /// Forgets a node; its people are not present through it since then. Whether there were any.
    fn end(&mut self, node: BootId, since: Instant) -> bool {
        self.elsewhere.remove(&node);
        let people: Vec<UserId> = self.people_of(node).collect();
        self.went(node, &people, since)
    }

    fn people_of(&self, node: BootId) -> impl Iterator<Item = UserId> {
        let through = move |person: &&Person| person.elsewhere.contains(&node);
        self.people.values().filter(through).map(|person| person.user.id)
    }

    fn has_people(&self, node: BootId) -> bool {
        self.people_of(node).next().is_some()
    }
}

impl Elsewhere {
    fn new(now: Instant) -> Self {
        Self { version: 0, heard: now, is_alive: false, is_draining: false, parts: None }
    }

    /// Adds a part of a whole; the whole, with its number, once nothing is missing of it.
    fn collect(&mut self, said: Present) -> Option<(u64, Vec<UserBrief>)> {
        let (version, next, mut people) =
            self.parts.take().filter(|_| said.part > 0).unwrap_or((said.version, 0, Vec::new()));
        if (said.version, said.part) != (version, next) {
            return None; // A part is lost: what the node says next shows that something is missing.
        }
        people.extend(said.came);
        if said.more == 0 {
            return Some((version, people));
        }
        self.parts = Some((version, next + 1, people));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RoomId;

    fn node(id: u64) -> BootId {
        BootId::new(1, id)
    }

    fn people(names: &[&str]) -> Vec<UserBrief> {
        let brief = |name: &&str| UserBrief {
            id: UserId::new(1, name.bytes().fold(0, |id, byte| id * 256 + u64::from(byte))),
            email: format!("{name}@example.org"),
            username: (*name).to_owned(),
        };
        names.iter().map(brief).collect()
    }

    fn ids(names: &[&str]) -> Vec<UserId> {
        people(names).iter().map(|one| one.id).collect()
    }

    fn change(after: u64, version: u64, came: &[&str], went: &[&str]) -> Present {
        let (came, went) = (people(came), ids(went));
        Present { version, after: Some(after), came, went, ..Present::default() }
    }

    fn whole(version: u64, here: &[&str]) -> Present {
        Present { version, came: people(here), ..Present::default() }
    }

    /// Who listens to others, and hears nobody yet.
    fn listening() -> Presence {
        let presence = Presence::new(RoomId::new(1, 1), 1);
        assert!(presence.begin_listening() && !presence.begin_listening());
        presence
    }

    fn names(presence: &Presence) -> Vec<String> {
        presence.online().into_iter().map(|one| one.username).collect()
    }

    /// Those who are present and not only in their grace.
    fn here(presence: &Presence) -> Vec<String> {
        let state = presence.state();
        let mut names: Vec<_> = (state.people.values())
            .filter(|person| person.gone.is_none())
            .map(|person| person.user.username.clone())
            .collect();
        names.sort();
        names
    }

    const NEWS: Taken = Taken::Known { is_news: true };

    #[test]
    fn changes_are_taken_in_one_behind_the_other_and_a_missed_one_is_noticed() {
        let (presence, now) = (listening(), Instant::now());
        let take = |said| presence.take(node(1), said, now);
        assert_eq!(take(change(4, 5, &["ann"], &[])), Taken::Missed);
        assert_eq!(take(whole(5, &["ann"])), NEWS);
        assert_eq!(take(change(5, 7, &["ben"], &[])), NEWS);
        assert_eq!(take(change(5, 7, &["ben"], &[])), NOTHING_NEW);
        assert_eq!(take(whole(5, &[])), NOTHING_NEW);
        assert_eq!(take(change(9, 12, &["cid"], &[])), Taken::Missed);
        assert_eq!(take(change(8, 8, &[], &[])), Taken::Missed);
        assert_eq!(take(change(7, 7, &[], &[])), NOTHING_NEW);
        assert_eq!(names(&presence), ["ann", "ben"]);
        assert_eq!(take(whole(12, &["ben", "cid"])), NEWS);
        assert_eq!(here(&presence), ["ben", "cid"]);
        assert_eq!(names(&presence), ["ann", "ben", "cid"]);
    }

    #[test]
    fn who_is_present_through_two_nodes_stays_when_one_dies() {
        let (presence, start) = (listening(), Instant::now());
        let peer =
            |id| Peer { boot: node(id), url: None, version: "1".to_owned(), is_draining: false };
        presence.take(node(1), whole(1, &["ann", "ben"]), start);
        presence.take(node(2), whole(1, &["ben"]), start);
        assert!(!presence.look(&[peer(1), peer(2)], start));
        assert!(presence.look(&[peer(2)], start + DEAD_AFTER));
        assert_eq!(here(&presence), ["ben"]);
        // The silence before counts as absence.
        let grace = DEAD_AFTER - HEARTBEAT;
        let gone = |presence: &Presence| presence.state().people[&ids(&["ann"])[0]].gone;
        assert_eq!(gone(&presence), Some(start + DEAD_AFTER - grace));
        presence.take(node(2), change(1, 2, &["ann"], &[]), start + DEAD_AFTER);
        assert_eq!(here(&presence), ["ann", "ben"]);
    }

    #[test]
    fn a_node_that_nobody_hears_of_is_not_believed_for_long() {
        let (presence, start) = (listening(), Instant::now());
        presence.take(node(1), whole(1, &["ann"]), start);
        assert!(!presence.look(&[], start + DEAD_AFTER / 2));
        assert!(presence.look(&[], start + DEAD_AFTER));
        assert!(here(&presence).is_empty());
    }

    #[test]
    fn a_lease_that_is_not_renewed_ends() {
        let (presence, start) = (listening(), Instant::now());
        presence.take(node(1), whole(1, &["ann"]), start);
        presence.take(node(2), whole(1, &[]), start);
        assert_eq!(presence.look_at_leases(start + ASK_AFTER / 2), (vec![], false));
        assert_eq!(presence.look_at_leases(start + ASK_AFTER), (vec![node(1)], false));
        presence.take(node(1), change(1, 1, &[], &[]), start + ASK_AFTER);
        assert_eq!(presence.look_at_leases(start + LEASE), (vec![node(1)], false));
        assert_eq!(here(&presence), ["ann"]);
        presence.forgive_silence(start + LEASE);
        assert_eq!(presence.look_at_leases(start + LEASE + ASK_AFTER / 2), (vec![], false));
        assert_eq!(presence.look_at_leases(start + 2 * LEASE), (vec![], true));
        assert!(here(&presence).is_empty());
    }

    #[test]
    fn an_answer_in_parts_counts_once_all_have_come() {
        let (presence, now) = (listening(), Instant::now());
        let part = |part, more, here: &[&str]| Present { part, more, ..whole(3, here) };
        let take = |said| presence.take(node(1), said, now);
        assert_eq!(take(part(1, 1, &["ben"])), NOTHING_NEW);
        assert_eq!(take(part(0, 2, &["ann"])), NOTHING_NEW);
        assert_eq!(take(part(2, 0, &["cid"])), NOTHING_NEW);
        assert!(names(&presence).is_empty());
        for (nth, more, name, taken) in
            [(0, 2, "ann", NOTHING_NEW), (1, 1, "ben", NOTHING_NEW), (2, 0, "cid", NEWS)]
        {
            assert_eq!(take(part(nth, more, &[name])), taken);
        }
        assert_eq!(names(&presence), ["ann", "ben", "cid"]);
    }

    #[test]
    fn what_is_forgotten_is_asked_for_again() {
        let (presence, now) = (listening(), Instant::now());
        presence.take(node(1), whole(1, &["ann"]), now);
        assert!(presence.stop_listening(now, Duration::ZERO));
        assert!(names(&presence).is_empty());
        assert_eq!(presence.take(node(1), whole(2, &["ann"]), now), NOTHING_NEW);
        assert!(presence.begin_listening());
        assert_eq!(presence.take(node(1), change(1, 2, &["ben"], &[]), now), Taken::Missed);
    }
}
