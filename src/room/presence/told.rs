//! What a node tells the others of who is present through it: changes, each with a number, and all of it to who asks.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Person, Presence, State};
use crate::api::UserBrief;
use crate::bus::codec::Present;
use crate::domain::UserId;

/// People in one message: with the longest names and addresses it stays below a quarter of what a bus takes at least.
const AT_ONCE: usize = 500;

/// How long after a change how far the node is is told once more, in case the change was lost.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// What other nodes have been told.
pub(super) struct Told {
    people: HashSet<UserId>,
    /// Of whom something may have changed since.
    stirred: HashSet<UserId>,
    /// The number of the last change, or of nothing, before the first.
    version: u64,
    /// Whether there was a change.
    has_begun: bool,
    /// When something was told last.
    at: Option<Instant>,
    /// Whether the last change was told only once.
    once: bool,
}

impl Told {
    /// Nothing, which has the number `version`.
    pub(super) fn new(version: u64) -> Self {
        let (people, stirred) = (HashSet::new(), HashSet::new());
        Self { people, stirred, version, has_begun: false, at: None, once: false }
    }

    /// Something may have changed about the user.
    pub(super) fn stir(&mut self, user: UserId) {
        self.stirred.insert(user);
    }
}

impl Presence {
    /// What the others are to be told now: who has come and gone here since the last time, each message under a number that `number` makes.
    /// A while after the last change its number once more.
    pub(crate) fn news(&self, now: Instant, number: impl FnMut() -> u64) -> Vec<Present> {
        let mut state = self.state();
        let (came, went) = state.changes();
        if came.is_empty() && went.is_empty() {
            return state.told.repeated(now).into_iter().collect();
        }
        (state.told.at, state.told.once) = (Some(now), true);
        state.told.numbered(&came, &went, number)
    }

    /// How far this node is, for those who have missed something, as long as it has anything to say.
    pub(super) fn version(&self) -> Option<Present> {
        let mut state = self.state();
        state.told.once = false;
        (!state.told.people.is_empty()).then(|| state.told.unchanged())
    }

    /// Everybody of whom the others have been told, in parts. With those `with_leaving` who have just gone.
    pub(super) fn whole(&self, with_leaving: bool) -> Vec<Present> {
        let state = self.state();
        let is_leaving =
            |person: &Person| with_leaving && person.gone.is_some() && person.left.is_some();
        let here: Vec<UserBrief> = (state.people.values())
            .filter(|person| state.told.people.contains(&person.user.id) || is_leaving(person))
            .map(|person| person.user.clone())
            .collect();
        let parts = here.len().div_ceil(AT_ONCE).max(1);
        let part = |nth: usize| Present {
            version: state.told.version,
            came: here.iter().skip(nth * AT_ONCE).take(AT_ONCE).cloned().collect(),
            part: number(nth),
            more: number(parts - 1 - nth),
            ..Present::default()
        };
        (0..parts).map(part).collect()
    }

    /// Whether something waits to be told to the others.
    pub(crate) fn has_news(&self) -> bool {
        let state = self.state();
        state.told.once || !state.told.stirred.is_empty()
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl State {
    /// Who has come and gone here since the others were told.
    fn changes(&mut self) -> (Vec<UserBrief>, Vec<UserId>) {
        let (mut came, mut went) = (Vec::new(), Vec::new());
        for user in std::mem::take(&mut self.told.stirred) {
            let here = self.people.get(&user).filter(|person| !person.connections.is_empty());
            match here {
                Some(person) if self.told.people.insert(user) => came.push(person.user.clone()),
                None if self.told.people.remove(&user) => went.push(user),
                _ => {}
            }
        }
        (came, went)
    }
}

impl Told {
    /// The changes as messages.
    fn numbered(
        &mut self,
        came: &[UserBrief],
        went: &[UserId],
        mut number: impl FnMut() -> u64,
    ) -> Vec<Present> {
        let messages = came.len().max(went.len()).div_ceil(AT_ONCE);
        let mut news = Vec::with_capacity(messages);
        for nth in 0..messages {
            // The first is whole: nobody can have missed anything before it.
            let after = self.has_begun.then_some(self.version);
            (self.version, self.has_begun) = (number(), true);
            news.push(Present {
                version: self.version,
                after,
                came: came.iter().skip(nth * AT_ONCE).take(AT_ONCE).cloned().collect(),
                went: went.iter().skip(nth * AT_ONCE).take(AT_ONCE).copied().collect(),
                ..Present::default()
            });
        }
        news
    }

    fn repeated(&mut self, now: Instant) -> Option<Present> {
        let is_due = self.once && self.at.is_none_or(|at| now.duration_since(at) >= REPEAT_AFTER);
        if !is_due {
            return None;
        }
        self.once = false;
        Some(self.unchanged())
    }

    fn unchanged(&self) -> Present {
        Present { version: self.version, after: Some(self.version), ..Present::default() }
    }
}
