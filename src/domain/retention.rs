//! How long the log of a room is kept.

use std::time::Duration;

use super::{Invalid, Timestamp};

/// How long events of a room stay. What is younger than a day always does: a write whose outcome is not known yet may
/// still be decided by what stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For ever.
    Forever,
    /// For so many days, 1 at least.
    Days(u32),
}

impl Retention {
    /// The most days that can be set: a hundred years.
    pub const MAX_DAYS: u32 = 36_500;

    /// Reads a number of days, of which 0 means for ever.
    ///
    /// # Errors
    ///
    /// An [`Invalid`] for more than [`Retention::MAX_DAYS`].
    pub fn parse(days: u32) -> Result<Self, Invalid> {
        match days {
            0 => Ok(Self::Forever),
            days if days <= Self::MAX_DAYS => Ok(Self::Days(days)),
            _ => {
                let message = format!("must be 0, for ever, or at most {} days", Self::MAX_DAYS);
                Err(Invalid::new("days", message))
            }
        }
    }

    /// What is stored as so many days.
    pub(crate) fn stored(days: u32) -> Self {
        if days == 0 { Self::Forever } else { Self::Days(days) }
    }

    /// The number of days, 0 for ever.
    pub fn days(self) -> u32 {
        match self {
            Self::Forever => 0,
            Self::Days(days) => days,
        }
    }

    /// Since when events stay at `now`; `None` if all do.
    pub fn since(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Forever => None,
            Self::Days(days) => {
                let day = Duration::from_secs(24 * 60 * 60);
                Some(now.minus(day * days.max(1)))
            }
        }
    }

    /// Whether this keeps longer than `other`.
    pub fn is_longer_than(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::Forever) => false,
            (Self::Forever, Self::Days(_)) => true,
            (Self::Days(own), Self::Days(other)) => own > other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_kept_and_nothing_is_younger_than_one() {
        assert_eq!(Retention::parse(0), Ok(Retention::Forever));
        assert_eq!(Retention::parse(30), Ok(Retention::Days(30)));
        assert!(Retention::parse(Retention::MAX_DAYS + 1).is_err());
        for days in [0, 1, 36_500] {
            let retention = Retention::parse(days).unwrap();
            assert_eq!((retention.days(), Retention::stored(days)), (days, retention));
        }
        let now = Timestamp(10 * 86_400_000);
        assert_eq!(Retention::Forever.since(now), None);
        assert_eq!(Retention::Days(3).since(now), Some(Timestamp(7 * 86_400_000)));
        assert_eq!(Retention::Days(0).since(now), Some(Timestamp(9 * 86_400_000)));
    }

    #[test]
    fn for_ever_is_longer_than_any_number_of_days() {
        use Retention::{Days, Forever};
        for (one, other, longer) in [
            (Forever, Days(1), true),
            (Days(2), Days(1), true),
            (Days(1), Days(1), false),
            (Days(1), Forever, false),
            (Forever, Forever, false),
        ] {
            assert_eq!(one.is_longer_than(other), longer, "{one:?} {other:?}");
        }
    }
}
