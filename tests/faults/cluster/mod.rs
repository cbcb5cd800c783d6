//! Nodes, and the servers beneath them, with a link on each way between.

mod folder;
pub(crate) mod last_release;
mod node;

use std::net::SocketAddr;

use serde_json::Value;

pub(crate) use folder::{Folder, root};
pub(crate) use node::{Node, SECRET_KEY};

use crate::proxy::Link;
use crate::servers::mongod::ReplicaSet;
use crate::servers::nats::Nats;
use crate::servers::weed::Weed;

/// What a cluster is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// How many members the replica set has; 0 for one node with the embedded store.
    pub(crate) members: usize,
    /// Whether files are kept in an S3 server.
    pub(crate) has_bucket: bool,
    /// Whether nodes pass requests on to each other.
    pub(crate) has_inner: bool,
    /// Bytes that the bus keeps for a node which does not take them, if not as many as it does by itself (64 MiB).
    pub(crate) max_pending: Option<u64>,
    /// Further settings of every node.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Shape {
    /// One node with the embedded store.
    pub(crate) fn embedded() -> Self {
        Self { nodes: 1, ..Self::default() }
    }

    /// So many nodes over a replica set of so many members.
    pub(crate) fn of(nodes: usize, members: usize) -> Self {
        Self { nodes, members, ..Self::default() }
    }
}

/// A cluster.
pub(crate) struct Cluster {
    /// The nodes.
    pub(crate) nodes: Vec<Node>,
    /// The database, unless the store is embedded.
    pub(crate) mongo: Option<ReplicaSet>,
    /// The bus, unless the store is embedded.
    pub(crate) nats: Option<Nats>,
    /// The bucket, if there is one.
    pub(crate) weed: Option<Weed>,
}

impl Cluster {
    /// A cluster in which all nodes are ready.
    pub(crate) async fn start(folder: &Folder, shape: &Shape) -> Self {
        Self::start_with(folder, shape, |_| ()).await
    }

    /// The same, with something changed before any node is started.
    pub(crate) async fn start_with(
        folder: &Folder,
        shape: &Shape,
        change: impl FnOnce(&mut Self),
    ) -> Self {
        let mut cluster = Self::servers(folder, shape).await;
        change(&mut cluster);
        if cluster.mongo.is_some() {
            cluster.nodes[0].migrate().await;
        }
        let starting = cluster.nodes.iter_mut().map(Node::start);
        futures::future::join_all(starting).await;
        cluster
    }

    /// The servers, and nodes that are not started.
    pub(crate) async fn servers(folder: &Folder, shape: &Shape) -> Self {
        let is_cluster = shape.members > 0;
        let mut cluster = Self { nodes: Vec::new(), mongo: None, nats: None, weed: None };
        if is_cluster {
            let mongo = ReplicaSet::start(folder.path(), shape.members);
            let nats = Nats::start(folder.path(), shape.max_pending);
            let (mongo, nats) = tokio::join!(mongo, nats);
            (cluster.mongo, cluster.nats) = (Some(mongo), Some(nats));
        }
        if shape.has_bucket {
            cluster.weed = Some(Weed::start(folder.path()).await);
        }
        for number in 1..=shape.nodes {
            let mut node = Node::new(folder, number, &shape.settings).await;
            if let (Some(mongo), Some(nats)) = (&cluster.mongo, &cluster.nats) {
                node.use_cluster(mongo, Link::to_nats(nats.at).await);
            }
            if shape.has_inner {
                node.use_inner();
            }
            if let Some(weed) = &cluster.weed {
                node.use_bucket(Link::to(weed.at()).await);
            }
            cluster.nodes.push(node);
        }
        cluster
    }

    /// Where the nodes serve.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Where the first node serves.
    pub(crate) fn first(&self) -> SocketAddr {
        self.nodes[0].address()
    }

    /// The database of a cluster that has one.
    pub(crate) fn mongo(&mut self) -> &mut ReplicaSet {
        self.mongo.as_mut().expect("the store is not embedded")
    }

    /// The bus of a cluster that has one.
    pub(crate) fn nats(&mut self) -> &mut Nats {
        self.nats.as_mut().expect("the store is not embedded")
    }

    /// Kills a node, and starts it again.
    pub(crate) async fn bounce(&mut self, node: usize) {
        self.nodes[node].kill().await;
        self.nodes[node].start().await;
    }

    /// How many connections the bus has ended that did not keep up.
    pub(crate) async fn slow_consumers(&self) -> u64 {
        let nats = self.nats.as_ref().expect("the store is not embedded");
        nats.monitor("varz").await["slow_consumers"].as_u64().expect("a count")
    }

    /// What NATS says of its connections.
    pub(crate) async fn subscriptions(&self) -> Value {
        let nats = self.nats.as_ref().expect("the store is not embedded");
        nats.monitor("connz?subs=1").await
    }
}
