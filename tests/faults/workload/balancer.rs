//! The balancer before the nodes: it names one of those that are thought to serve.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rand::RngExt;
use rand::rngs::StdRng;

/// The nodes that new connections may go to.
#[derive(Debug, Clone)]
pub(crate) struct Balancer(Arc<Mutex<Vec<SocketAddr>>>);

impl Balancer {
    /// Over these nodes.
    pub(crate) fn over(nodes: Vec<SocketAddr>) -> Self {
        Self(Arc::new(Mutex::new(nodes)))
    }

    /// From now on over these.
    pub(crate) fn use_only(&self, nodes: Vec<SocketAddr>) {
        *self.0.lock().unwrap() = nodes;
    }

    /// One of them.
    pub(crate) fn any(&self, chance: &mut StdRng) -> SocketAddr {
        let nodes = self.0.lock().unwrap();
        nodes[chance.random_range(0..nodes.len())]
    }
}
