//! Where a node is between its start and its end, for whoever has to behave accordingly.

use std::sync::Arc;

use tokio::sync::watch;

/// The stages of a node's life, each after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Up and willing.
    Serving,
    /// Told to go: not ready any more, so that no balancer sends anybody here, but everything
    /// is still served until they have noticed.
    Leaving,
    /// New sockets are refused with `draining`; open ones are being closed.
    Refusing,
    /// Nothing is accepted any more; what runs is brought to its end.
    Closing,
}

/// The phase of one node, and word of when it changes. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

impl Lifecycle {
    /// A node that serves.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Where the node is now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Whether new sockets are to be refused with 503 and the code `draining`.
    pub fn refuses_sockets(&self) -> bool {
        self.phase() >= Phase::Refusing
    }

    /// Goes on to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let is_later = phase > *current;
            if is_later {
                *current = phase;
            }
            is_later
        });
    }

    /// Waits until the node is in `phase`, or past it.
    pub async fn reached(&self, phase: Phase) {
        let mut changes = self.0.subscribe();
        let reached = changes.wait_for(|current| *current >= phase).await;
        reached.map(drop).expect("the sender lives as long as `self`");
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_never_goes_back() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Refusing);
        lifecycle.advance(Phase::Leaving);
        assert_eq!(lifecycle.phase(), Phase::Refusing);
        assert!(lifecycle.refuses_sockets());
        lifecycle.reached(Phase::Leaving).await;
    }
}
