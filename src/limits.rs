//! How much one user or one address may ask for, on this node; of messages on all nodes, which tell each other who sends many.
//!
//! Everything is counted in memory, in tables that forget who has been quiet and never grow beyond
//! [`MAX_KEYS`]: whoever fills one with made-up keys frees no key that is over its limit.

mod bucket;
mod concurrent;
mod window;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use self::concurrent::Held;

use self::bucket::Buckets;
use self::concurrent::Concurrent;
use self::window::Windows;
use crate::config;
use crate::domain::UserId;

/// Keys that one table holds at most.
const MAX_KEYS: usize = 100_000;

/// What limits of attempts count within.
const MINUTE: Duration = Duration::from_secs(60);

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Exceeded {
    /// What there is too much of, as a sentence.
    pub detail: &'static str,
    /// When it is worth trying again.
    pub retry_after: Duration,
}

/// Whose account is asked for, and from where.
type Login = (String, Network);

/// The counters of one node.
#[derive(Debug)]
pub struct Limiter {
    logins: Windows<Login>,
    signups: Windows<Network>,
    messages: Buckets<UserId>,
    handshakes: Concurrent<Network>,
    sockets: Concurrent<Network>,
    /// How many other nodes count as well.
    others: AtomicUsize,
}

impl Limiter {
    /// Counters at zero, for these limits.
    pub fn new(limits: &config::Limits) -> Self {
        let per_second = limits.messages_per_second;
        Self {
            logins: Windows::new(limits.logins_per_minute, MINUTE),
            signups: Windows::new(limits.signups_per_minute, MINUTE),
            messages: Buckets::new(
                per_second,
                limits.message_burst.get().map_or(per_second, config::Limit::new),
            ),
            handshakes: Concurrent::new(limits.pending_handshakes_per_address),
            sockets: Concurrent::new(limits.sockets_per_address),
            others: AtomicUsize::new(0),
        }
    }

    /// Counts an attempt to sign in to `account` (folded) from `address`. The owner, at another address, is
    /// counted apart.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] after `limits.logins_per_minute` attempts within a minute.
    pub fn login(&self, account: &str, address: IpAddr) -> Result<(), Exceeded> {
        // A name longer than any account's is nobody's; all of them count as one.
        let account: String = account.chars().take(256).collect();
        let detail = "Too many attempts to sign in to this account.";
        self.logins
            .count((account, Network::of(address)), Instant::now())
            .map_err(|wait| wait.because(detail))
    }

    /// Counts an attempt to make an account from `address`.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] after `limits.signups_per_minute` attempts within a minute.
    pub fn sign_up(&self, address: IpAddr) -> Result<(), Exceeded> {
        let detail = "Too many accounts are being made from this address.";
        self.signups
            .count(Network::of(address), Instant::now())
            .map_err(|wait| wait.because(detail))
    }

    /// So many other nodes count as well, and tell each other.
    pub fn share(&self, others: usize) {
        self.others.store(others, Ordering::Relaxed);
    }

    /// Another node has let so many messages of `user` pass.
    pub fn passed_elsewhere(&self, user: UserId, messages: u32) {
        self.messages.taken_elsewhere(user, messages, Instant::now());
    }

    /// Counts a message of `user`, on whatever way it came. Answers how many the other nodes are to be told of, often none.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] beyond `limits.message_burst` at once, or `limits.messages_per_second` in the long run.
    pub fn message(&self, user: UserId) -> Result<u32, Exceeded> {
        let detail = "You are sending too many messages.";
        let others = self.others.load(Ordering::Relaxed);
        self.messages.take(user, Instant::now(), others).map_err(|wait| wait.because(detail))
    }

    /// Counts a connection that has not yet said who it is, until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] beyond `limits.pending_handshakes_per_address`.
    pub fn handshake(&self, address: IpAddr) -> Result<Held, Exceeded> {
        let detail = "Too many connections from this address are waiting to be let in.";
        self.handshakes
            .hold(Network::of(address))
            .ok_or(Exceeded { detail, retry_after: Duration::from_secs(5) })
    }

    /// Counts an open socket, until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] beyond `limits.sockets_per_address`.
    pub fn socket(&self, address: IpAddr) -> Result<Held, Exceeded> {
        let detail = "Too many sockets are open from this address.";
        self.sockets
            .hold(Network::of(address))
            .ok_or(Exceeded { detail, retry_after: Duration::from_secs(30) })
    }
}

/// How long until there is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait(Duration);

impl Wait {
    fn because(self, detail: &'static str) -> Exceeded {
        Exceeded { detail, retry_after: self.0 }
    }
}

/// Who counts as one address: an IPv4 address, or the 64 bits of an IPv6 address that a provider gives out,
/// since everything behind them is the subscriber's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limit;

    fn limiter() -> Limiter {
        Limiter::new(&config::Limits {
            logins_per_minute: Limit::new(10),
            sockets_per_address: Limit::new(2),
            message_burst: Limit::OFF,
            messages_per_second: Limit::new(3),
            signups_per_minute: Limit::OFF,
            ..config::Limits::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_owner_elsewhere_is_not_locked_out_by_who_guesses() {
        let limits = limiter();
        let guesser = address("192.0.2.1");
        for _ in 0..10 {
            limits.login("ann", guesser).unwrap();
        }
        let exceeded = limits.login("ann", guesser).unwrap_err();
        assert!(exceeded.retry_after <= MINUTE && !exceeded.retry_after.is_zero());
        limits.login("ann", address("192.0.2.2")).unwrap();
        limits.login("bob", guesser).unwrap();
    }

    #[test]
    fn an_ipv6_subscriber_is_one_address() {
        let limits = limiter();
        let _first = limits.socket(address("2001:db8::1")).unwrap();
        let second = limits.socket(address("2001:db8::2")).unwrap();
        assert!(limits.socket(address("2001:db8::ffff:3")).is_err());
        assert!(limits.socket(address("2001:db8:0:1::1")).is_ok());
        drop(second);
        assert!(limits.socket(address("2001:db8::3")).is_ok());
    }

    #[test]
    fn off_is_off_and_a_burst_that_is_off_is_a_second_s_worth() {
        let limits = limiter();
        assert!((0..1000).all(|_| limits.sign_up(address("192.0.2.1")).is_ok()));
        let user = UserId::new(1, 1);
        assert_eq!((0..10).filter(|_| limits.message(user).is_ok()).count(), 3);
    }
}
