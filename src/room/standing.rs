//! Whether this node may have anything appended: not while the store is silent, for nobody can tell then whose rights have ended;
//! and never again once the store lives another life than the one that every position here is of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::command::Refused;
use super::{Inner, LINGER, Rooms};
use crate::store::StoreError;

/// The shortest time between two looks at the epoch, however many frames of another one come.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known about it.
pub(super) struct Standing {
    is_silent: AtomicBool,
    is_outlived: watch::Sender<bool>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { is_silent: AtomicBool::new(false), is_outlived: watch::Sender::new(false) }
    }

    /// Why nothing is taken, if nothing is.
    pub(super) fn refuses(&self) -> Option<Refused> {
        let why = if *self.is_outlived.borrow() {
            "the store was restored, and this node is of its life before"
        } else if self.is_silent.load(Ordering::Relaxed) {
            "the store has been silent for too long"
        } else {
            return None;
        };
        Some(Refused::Unavailable(StoreError::Unavailable(why.into())))
    }
}

impl Rooms {
    /// From now on what is to be appended is refused at once, or is taken again: whether the store has been silent for too long.
    pub fn set_silent(&self, is_silent: bool) {
        let standing = &self.0.standing;
        if standing.is_silent.swap(is_silent, Ordering::Relaxed) != is_silent {
            match is_silent {
                true => tracing::error!("the store is silent: nothing is taken for it any more"),
                false => tracing::info!("the store answers again"),
            }
        }
    }

    /// Looks whether the store still lives the life in which this node began.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn check_epoch(&self) -> Result<(), StoreError> {
        let epoch = self.0.store.epoch().await?;
        if epoch != self.0.teller.epoch && !self.0.standing.is_outlived.send_replace(true) {
            tracing::error!(%epoch, "the store was restored while this node had it open");
        }
        Ok(())
    }

    /// Returns once the store is known to live another life than this node: what the node remembers of logs may be wrong, so it
    /// has to begin anew.
    pub async fn outlived(&self) {
        let mut is_outlived = self.0.standing.is_outlived.subscribe();
        let outlived = is_outlived.wait_for(|is_outlived| *is_outlived).await;
        outlived.map(drop).expect("the sender lives as long as `self`");
    }
}

/// Looks whenever another node tells of another epoch. It may be that one which is of the past.
pub(super) async fn follow_doubts(inner: Weak<Inner>, doubts: Arc<Notify>) {
    loop {
        tokio::select! {
            () = doubts.notified() => {}
            // Only looks whether the node is still there.
            () = tokio::time::sleep(LINGER) => match inner.strong_count() {
                0 => return,
                _ => continue,
            },
        }
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = Rooms(inner).check_epoch().await {
            tracing::warn!(%error, "the epoch of the store cannot be read");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
