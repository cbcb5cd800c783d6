//! What is handed on at the moment and lasts: polls that wait, and WebSockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use axum::http::Uri;

use crate::domain::BootId;

/// A client's way through this node to the one that holds its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::socket) struct Way {
    /// Where it leads.
    pub(super) node: BootId,
    /// The path and query, which name the session.
    pub(super) target: Uri,
}

impl Way {
    /// The way that `request` goes.
    pub(super) fn of(node: BootId, request: &Request) -> Self {
        let target = request.uri().path_and_query();
        let target = target.map_or_else(Uri::default, |target| Uri::from(target.clone()));
        Self { node, target }
    }
}

/// All ways of a node. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(in crate::socket) struct Ways(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// And whether the client's leave was told.
    ways: HashMap<u64, (Way, bool)>,
}

/// Keeps a way among them until it is dropped.
#[derive(Debug)]
pub(super) struct OnItsWay {
    ways: Ways,
    number: u64,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.ways.open().ways.remove(&self.number);
    }
}

impl Ways {
    pub(super) fn enter(&self, way: Way) -> OnItsWay {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.ways.insert(number, (way, false));
        OnItsWay { ways: self.clone(), number }
    }

    /// How many there are.
    pub(in crate::socket) fn count(&self) -> usize {
        self.open().ways.len()
    }

    /// Up to `most` ways of which it was not asked before.
    pub(in crate::socket) fn take(&self, most: usize) -> Vec<Way> {
        let mut open = self.open();
        let left = open.ways.values_mut().filter(|(_, is_told)| !is_told).take(most);
        left.map(|(way, is_told)| {
            *is_told = true;
            way.clone()
        })
        .collect()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_taken_once_while_it_lasts() {
        let ways = Ways::default();
        let way = |id: u64| {
            let target = Uri::from_static("/socket.io/");
            Way { node: BootId::new(1, id), target }
        };
        let first = ways.enter(way(1));
        let _second = ways.enter(way(2));
        assert_eq!((ways.count(), ways.take(1).len(), ways.take(9).len()), (2, 1, 1));
        assert_eq!(ways.take(9), []);
        drop(first);
        let _third = ways.enter(way(3));
        assert_eq!((ways.count(), ways.take(9)), (2, vec![way(3)]));
    }
}
