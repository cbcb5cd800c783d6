//! Who is typing in a live room: only enough to tell it no more often than anybody needs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::UserId;

/// After this, typing ends by itself, unless it is told again.
pub const TYPING_EXPIRES: Duration = Duration::from_secs(6);

/// What was told is not repeated before this time has passed.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// Who was told to be typing, and when.
#[derive(Default)]
pub(crate) struct Typing(Mutex<HashMap<UserId, Told>>);

struct Told {
    is_typing: bool,
    at: Instant,
}

impl Typing {
    /// Whether the others are to be told now that the user is typing or is not: a repeat only after a while, an end only of
    /// what was told to have begun, and a new beginning no sooner than a repeat.
    pub(crate) fn is_news(&self, user: UserId, is_typing: bool, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, told| now.saturating_duration_since(told.at) < TYPING_EXPIRES);
        match told.get_mut(&user) {
            None if is_typing => {
                told.insert(user, Told { is_typing, at: now });
                true
            }
            None => false,
            Some(before) if is_typing => {
                let is_news = now.saturating_duration_since(before.at) >= REPEAT_AFTER;
                if is_news {
                    *before = Told { is_typing, at: now };
                }
                is_news
            }
            // The time of the beginning stays, so that beginning and ending in turns is held back too.
            Some(before) => std::mem::replace(&mut before.is_typing, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_told_once_in_a_while_and_its_end_once() {
        let (typing, user) = (Typing::default(), UserId::new(1, 1));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let table = [
            (0, false, false),
            (0, true, true),
            (1, true, false),
            (2, true, true),
            (3, false, true),
            (3, false, false),
            (3, true, false),
            (4, true, true),
            (11, false, false),
            (12, true, true),
        ];
        for (seconds, is_typing, told) in table {
            assert_eq!(typing.is_news(user, is_typing, at(seconds)), told, "{seconds} {is_typing}");
        }
    }
}
