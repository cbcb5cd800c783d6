//! The open connections of one listener.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Link;

/// All open connections of a listener: how many, and the way to end them. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    emptied: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    links: HashMap<u64, Link>,
}

/// A connection's place in the registry, freed when it is dropped.
pub(super) struct Place {
    links: Links,
    number: u64,
}

impl Links {
    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        self.open().links.len()
    }

    /// Kills every open connection.
    pub(crate) fn kill_all(&self) {
        // Killing wakes tasks, which may end and come here: not with the lock held.
        let links: Vec<Link> = self.open().links.values().cloned().collect();
        for link in links {
            link.kill();
        }
    }

    /// Waits until no connection is open. New ones are not kept out by this.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.0.emptied.notified());
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    pub(super) fn enter(&self, link: Link) -> Place {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.links.insert(number, link);
        Place { links: self.clone(), number }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // The map is whole after a panic elsewhere: no code of ours runs while it is changed.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_empty = {
            let mut open = self.links.open();
            open.links.remove(&self.number);
            open.links.is_empty()
        };
        if is_empty {
            self.links.0.emptied.notify_waiters();
        }
    }
}
