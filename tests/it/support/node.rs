//! A real node, in a folder of its own, gone when dropped.

use std::net::SocketAddr;
use std::path::Path;

use natter::app::App;
use natter::config::{Config, Limits, MetricsConfig};
use natter::node::{Node, bind};
use serde_json::json;

use super::client::{PASSWORD, Person};

/// A running node.
pub(crate) struct TestNode {
    node: Node,
    _folder: Option<tempfile::TempDir>,
}

/// The defaults, but for passwords that cost little, on free ports and in this folder.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        metrics: MetricsConfig { listen: None },
        data_dir: folder.to_owned(),
        // Everybody in these tests has the same address.
        limits: Limits { signups_per_minute: natter::config::Limit::OFF, ..Limits::default() },
        ..Config::default()
    };
    config.auth.bcrypt_cost = 4;
    config
}

impl TestNode {
    /// A node with the defaults, but for passwords that cost little.
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, with some settings changed.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let socket = bind(&config).unwrap();
        Self { node: Node::start(config, socket).await.unwrap(), _folder: Some(folder) }
    }

    /// A node that somebody else has started, and whose folder somebody else keeps.
    pub(crate) fn of(node: Node) -> Self {
        Self { node, _folder: None }
    }

    /// The node itself, to be drained.
    pub(crate) fn into_node(self) -> Node {
        self.node
    }

    /// Its parts.
    pub(crate) fn app(&self) -> &App {
        self.node.app()
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.addr()
    }

    /// Where other nodes hand requests on to it.
    pub(crate) fn internal_addr(&self) -> SocketAddr {
        self.node.internal_addr().unwrap()
    }

    /// Where `/metrics` is.
    pub(crate) fn metrics_addr(&self) -> SocketAddr {
        self.node.metrics_addr().unwrap()
    }

    /// `http://` and where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.node.addr())
    }

    /// Somebody without an account.
    pub(crate) fn anonymous(&self) -> Person {
        Person::anonymous(self.url())
    }

    /// Somebody who has just signed up under this name, `<name>@example.org`, and in.
    pub(crate) async fn sign_up(&self, name: &str) -> Person {
        let email = format!("{name}@example.org");
        let body = json!({"email": email, "username": name, "password": PASSWORD});
        let answer = self.anonymous().post("/signup", body).await;
        let user = answer.is(201);
        let mut person = self.sign_in(name, PASSWORD).await;
        person.user = user;
        person
    }

    /// Somebody who knows this password.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Person {
        let token = self.anonymous().token(name, password).await.is(200);
        Person::with_token(self.url(), token["access_token"].as_str().unwrap())
    }
}
