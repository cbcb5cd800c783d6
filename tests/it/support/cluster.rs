//! Several real nodes in one process. Each has a runtime of its own, so that one can be killed as a process is: at once,
//! with all that it was about to do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use natter::bus::{DynBus, LocalBus};
use natter::config::{Config, Secret};
use natter::node::{Node, Shared, bind};
use natter::store::{self, Access};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::node::config;
use super::{Faulty, Ground, TestNode, Wire};

/// How long the nodes have to hear of each other.
const ACQUAINTANCE: Duration = Duration::from_secs(30);

/// The secret that all nodes share.
pub(crate) const SECRET: &str = "a secret of a cluster, 32 bytes or more";

/// Nodes that know each other.
pub(crate) struct Cluster {
    nodes: BTreeMap<usize, ClusterNode>,
    footing: Footing,
    folder: tempfile::TempDir,
}

/// Where they stand.
enum Footing {
    /// On what they share inside of the process, and what a test can break.
    Process { store: Arc<Faulty>, bus: DynBus },
    /// On the servers that these settings name.
    Servers(Box<dyn Fn(&mut Config) + Send + Sync>),
}

impl Footing {
    async fn in_process(folder: &Path) -> Self {
        let config = config(folder);
        let store = store::connect(&config.store, &config.data_dir, Access::Node).await.unwrap();
        Self::Process { store: Faulty::new(store, []), bus: Arc::new(LocalBus::shared()) }
    }
}

/// One of them.
pub(crate) struct ClusterNode {
    node: TestNode,
    wire: Option<Arc<Wire>>,
    runtime: OwnRuntime,
}

impl ClusterNode {
    /// Its way to the bus inside of the process, which can be cut.
    pub(crate) fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("the bus is inside of the process")
    }
}

impl Deref for ClusterNode {
    type Target = TestNode;

    fn deref(&self) -> &TestNode {
        &self.node
    }
}

/// A runtime whose tasks end, wherever they are, when it is dropped.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn new() -> Self {
        Self(Some(Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()))
    }

    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.0.as_ref().unwrap().spawn(work).await.unwrap()
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl Cluster {
    /// `count` nodes, numbered from 0, each of which has heard of all others.
    pub(crate) async fn start(count: usize) -> Self {
        Self::with(count, |_| ()).await
    }

    /// The same, with some settings changed.
    pub(crate) async fn with(count: usize, change: impl Fn(&mut Config)) -> Self {
        Self::on(&Ground::Process, count, change).await
    }

    /// The same, on `ground`.
    pub(crate) async fn on(ground: &Ground, count: usize, change: impl Fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let footing = match ground.settings() {
            Some(settings) => Footing::Servers(Box::new(settings)),
            None => Footing::in_process(folder.path()).await,
        };
        let mut cluster = Self { nodes: BTreeMap::new(), footing, folder };
        for number in 0..count {
            cluster.start_node(number, &change).await;
        }
        cluster.is_acquainted().await;
        cluster
    }

    /// Starts one more node under a number that is free.
    pub(crate) async fn start_node(&mut self, number: usize, change: impl Fn(&mut Config)) {
        let mut config = config(self.folder.path());
        config.auth.secret_key = Some(Secret::new(SECRET));
        config.internal_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (wire, shared) = match &self.footing {
            Footing::Process { store, bus } => {
                let wire = Wire::to(Arc::clone(bus));
                let bus: DynBus = wire.clone();
                (Some(wire), Some(Shared { store: store.clone(), bus }))
            }
            Footing::Servers(settings) => {
                settings(&mut config);
                (None, None)
            }
        };
        change(&mut config);
        let runtime = OwnRuntime::new();
        let started = runtime.run(async move {
            let socket = bind(&config).unwrap();
            match shared {
                Some(shared) => Node::start_with(config, socket, shared).await.unwrap(),
                None => Node::start(config, socket).await.unwrap(),
            }
        });
        let node = ClusterNode { node: TestNode::of(started.await), wire, runtime };
        assert!(self.nodes.insert(number, node).is_none(), "there is a node {number} already");
    }

    /// Waits until every node has heard of all others, and of nobody else.
    pub(crate) async fn is_acquainted(&self) {
        for node in self.nodes.values() {
            let nodes = &node.app().nodes;
            let mut changes = nodes.changes();
            let acquainted = async {
                while !nodes.is_link_up() || nodes.others().len() + 1 != self.nodes.len() {
                    changes.changed().await.unwrap();
                }
            };
            let acquainted = tokio::time::timeout(ACQUAINTANCE, acquainted).await;
            acquainted.expect("the nodes should know each other by now");
        }
    }

    /// Their store inside of the process, which can be away.
    pub(crate) fn store(&self) -> &Faulty {
        match &self.footing {
            Footing::Process { store, .. } => store,
            Footing::Servers(_) => panic!("the store is a server"),
        }
    }

    /// The node with this number.
    pub(crate) fn node(&self, number: usize) -> &ClusterNode {
        &self.nodes[&number]
    }

    /// The addresses of all nodes, in the order of their numbers.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.values().map(|node| node.addr()).collect()
    }

    /// Kills a node as `kill -9` does.
    pub(crate) fn kill(&mut self, number: usize) {
        self.nodes.remove(&number).unwrap();
    }

    /// Drains a node, as SIGTERM does, and waits until it is gone.
    pub(crate) async fn drain(&mut self, number: usize) {
        let ClusterNode { node, runtime, .. } = self.nodes.remove(&number).unwrap();
        runtime.run(async move { node.into_node().drain(&CancellationToken::new()).await }).await;
    }
}
