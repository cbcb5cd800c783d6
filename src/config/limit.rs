//! How much one user or one address may ask for.

/// A number of things, or no limit at all: `0` in the configuration is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// No limit.
    pub const OFF: Self = Self(0);

    /// At most `count`; 0 is [`Limit::OFF`].
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// The number, or `None` when off.
    pub const fn get(self) -> Option<u32> {
        match self.0 {
            0 => None,
            count => Some(count),
        }
    }

    /// Whether there may be one more when there are `count` already.
    pub const fn allows_another(self, count: u32) -> bool {
        self.0 == 0 || count < self.0
    }
}

/// `limits.*`. They bound what one party can cost the others, so they are generous: no person
/// meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `limits.messages_per_second`: what a user may send, on all connections together, in the
    /// long run. Off also switches `message_burst` off.
    pub messages_per_second: Limit,
    /// `limits.message_burst`: what a user may send at once after a pause. Off means no more than
    /// a second's worth.
    pub message_burst: Limit,
    /// `limits.logins_per_minute`: attempts for one account from one address.
    pub logins_per_minute: Limit,
    /// `limits.signups_per_minute`: attempts from one address.
    pub signups_per_minute: Limit,
    /// `limits.pending_handshakes_per_address`: connections that have not yet said who they are.
    pub pending_handshakes_per_address: Limit,
    /// `limits.sockets_per_address`: open sockets of one address, whoever uses them.
    pub sockets_per_address: Limit,
    /// `limits.sockets_per_user`: open sockets of one user.
    pub sockets_per_user: Limit,
    /// `limits.memberships_per_user`: rooms that one user can be in.
    pub memberships_per_user: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_per_second: Limit::new(100),
            message_burst: Limit::new(2_000),
            logins_per_minute: Limit::new(10),
            signups_per_minute: Limit::new(60),
            pending_handshakes_per_address: Limit::new(1_000),
            sockets_per_address: Limit::new(10_000),
            sockets_per_user: Limit::new(500),
            memberships_per_user: Limit::new(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_off_and_a_limit_counts_what_is_there() {
        assert_eq!(Limit::OFF.get(), None);
        assert!(Limit::OFF.allows_another(u32::MAX));
        assert!(Limit::new(2).allows_another(1));
        assert!(!Limit::new(2).allows_another(2));
    }
}
