//! bcrypt, on few threads and with a bounded queue: it is slow on purpose, so it is what an attacker would
//! make a server do.
//!
//! bcrypt reads 72 bytes. A [`Password`] has no more and holds no NUL, so nothing is ever cut here but the NUL
//! that bcrypt puts behind a password of exactly 72; the crate's `non_truncating_*` functions count that one,
//! and would refuse a password that is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use crate::domain::Password;

/// Callers who wait for a thread, for each thread: at the default cost a wait of some seconds.
const WAITING_PER_THREAD: usize = 32;

/// Why a password was neither hashed nor compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// As many wait already as may.
    #[error("too many passwords wait to be checked")]
    Overloaded,
    /// A stored hash is none, or the work broke off.
    #[error("bcrypt: {0}")]
    Failed(String),
}

/// Hashes and compares passwords. Clones are the same.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    cost: u32,
    threads: usize,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    calls: AtomicU64,
    /// Nobody's hash, of the same cost as a new one: what a password is compared with when there is none.
    nobody: String,
}

impl Passwords {
    /// As many threads as there are cores. `cost` is bcrypt's, 4 to 16.
    pub fn new(cost: u32) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Pool {
            cost,
            threads,
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(Semaphore::new(threads * (1 + WAITING_PER_THREAD))),
            calls: AtomicU64::new(0),
            nobody: format!("$2b${cost:02}${}", ".".repeat(53)),
        }))
    }

    /// The hash of a new password.
    ///
    /// # Errors
    ///
    /// [`PasswordError`].
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        let cost = self.0.cost;
        self.run(move || bcrypt::hash(password.expose(), cost)).await
    }

    /// Whether `candidate` is the password behind `hash`; never without a hash, at the same cost.
    ///
    /// What can be no password, for its length or a NUL, costs the same as a wrong one.
    ///
    /// # Errors
    ///
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        candidate: String,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let candidate = Password::parse("password", candidate, 1).ok();
        let can_match = candidate.is_some() && hash.is_some();
        let hash = hash.unwrap_or_else(|| self.0.nobody.clone());
        let verified = self
            .run(move || {
                let text = candidate.as_ref().map_or("-", Password::expose);
                bcrypt::verify(text, &hash)
            })
            .await?;
        Ok(verified && can_match)
    }

    /// How often bcrypt has run, for tests of what costs the same.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// How many calls are under way, and how many may be.
    pub(crate) fn queue(&self) -> (usize, usize) {
        let most = self.0.threads * (1 + WAITING_PER_THREAD);
        (most - self.0.admitted.available_permits(), most)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> bcrypt::BcryptResult<T> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let Ok(admitted) = Arc::clone(&self.0.admitted).try_acquire_owned() else {
            return Err(PasswordError::Overloaded);
        };
        let running = Arc::clone(&self.0.running).acquire_owned().await;
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        // The places go with the work, which ends no sooner when nobody waits for it any more.
        let places = (admitted, running);
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(places);
            done
        })
        .await;
        let failed = |why: &dyn std::fmt::Display| PasswordError::Failed(why.to_string());
        done.map_err(|broken| failed(&broken))?.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse("password", text.to_owned(), 1).unwrap()
    }

    #[tokio::test]
    async fn all_72_bytes_count_and_more_is_no_password() {
        let passwords = Passwords::new(4);
        let hash = passwords.hash(password(&"€".repeat(24))).await.unwrap();
        let matches = |text: String| passwords.verify(text, Some(hash.clone()));
        assert!(matches("€".repeat(24)).await.unwrap());
        for wrong in ["€".repeat(23), "€".repeat(24) + "x", "€".repeat(25), "x".repeat(1_000_000)]
        {
            assert!(!matches(wrong).await.unwrap());
        }
        assert!(!matches(String::new()).await.unwrap());
    }

    #[tokio::test]
    async fn whatever_is_compared_costs_one_call() {
        let passwords = Passwords::new(4);
        let hash = passwords.hash(password("right")).await.unwrap();
        for (candidate, hash) in [
            ("right".to_owned(), Some(hash.clone())),
            ("wrong".to_owned(), Some(hash.clone())),
            ("wrong".to_owned(), None),
            ("-".to_owned(), None),
            ("x".repeat(73), Some(hash.clone())),
            ("a\0b".to_owned(), Some(hash)),
        ] {
            let before = passwords.calls();
            let expected = candidate == "right";
            assert_eq!(passwords.verify(candidate, hash).await.unwrap(), expected);
            assert_eq!(passwords.calls() - before, 1);
        }
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let passwords = Passwords::new(4);
        let threads = passwords.0.running.available_permits();
        let _busy = passwords.0.running.acquire_many(threads as u32).await.unwrap();
        let places = passwords.0.admitted.available_permits();
        let waiting: Vec<_> =
            (0..places).map(|_| Box::pin(passwords.verify("x".to_owned(), None))).collect();
        let mut all = futures::future::join_all(waiting);
        assert!(futures::poll!(&mut all).is_pending());
        let refused = passwords.verify("x".to_owned(), None).await;
        assert!(matches!(refused, Err(PasswordError::Overloaded)));
    }
}
