//! The balancer before the nodes: it names one of those that are thought to serve.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

/// The nodes that new connections may go to.
#[derive(Debug, Clone)]
pub(crate) struct Balancer(Arc<[SocketAddr]>);

impl Balancer {
    /// Over these nodes.
    pub(crate) fn over(nodes: Vec<SocketAddr>) -> Self {
        Self(nodes.into())
    }

    /// One of them.
    pub(crate) fn any(&self, chance: &mut StdRng) -> SocketAddr {
        self.0[chance.random_range(0..self.0.len())]
    }
}
