//! A session that another process revokes: its sockets on this node close, and newer ones stay.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use natter::api::{SignUp, UserBrief};
use natter::app::App;
use natter::config::Config;
use natter::domain::{ConnectionId, Timestamp, User};
use natter::jobs::revocations;
use natter::node::assemble;
use natter::room::{Connection, Ended, Outbox, Scope, Sink, SinkError};
use natter::service::operator;
use natter::store::Access;
use serde_json::value::RawValue;

/// A transport that takes everything and notes how it ended.
#[derive(Clone, Default)]
struct Open(Arc<AtomicBool>);

#[async_trait]
impl Sink for Open {
    fn emit(&self, _name: &str, _payload: &RawValue) -> Result<(), SinkError> {
        Ok(())
    }

    fn reply(&self, _ack: i64, _payload: &RawValue) -> Result<(), SinkError> {
        Ok(())
    }

    fn flushes(&self) -> u64 {
        0
    }

    async fn flushed_since(&self, _seen: u64) {
        std::future::pending().await
    }

    fn kill(&self, _why: Ended) {}

    fn disconnect(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn process(folder: &Path, access: Access) -> App {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    config.auth.bcrypt_cost = 4;
    assemble(config, access).await.unwrap()
}

/// A connection of `user` that was made at `at`, and whether it was told its end.
fn connect(app: &App, user: &User, at: Timestamp) -> impl Fn() -> bool + use<> {
    let open = Open::default();
    let ended = Arc::clone(&open.0);
    let id = ConnectionId::new(at.as_millis(), 7);
    let connection = Connection::new(id, UserBrief::from(user), Scope::Session, Outbox::new(open));
    app.rooms.connect(&connection).unwrap();
    move || ended.load(Ordering::SeqCst)
}

#[tokio::test]
async fn what_a_command_revokes_beside_a_node_closes_the_sockets_there() {
    let folder = tempfile::tempdir().unwrap();
    let node = process(folder.path(), Access::Node).await;
    let account = |name: &str| SignUp {
        email: format!("{name}@example.org"),
        username: name.to_owned(),
        password: "a password".to_owned(),
    };
    let ann = operator::create_user(&node, account("ann"), false).await.unwrap();
    let bob = operator::create_user(&node, account("bob"), false).await.unwrap();
    let started = Timestamp::now();
    let (of_ann, of_bob) = (connect(&node, &ann, started), connect(&node, &bob, started));

    let command = process(folder.path(), Access::Command).await;
    operator::revoke_sessions(&command, "ann").await.unwrap();
    let since = connect(&node, &ann, Timestamp::now().plus(Duration::from_millis(1)));

    let seen = revocations::run_once(&node, started, Timestamp::now()).await.unwrap();
    assert!(of_ann(), "the socket that was open when the session was revoked");
    assert!(!of_bob() && !since(), "somebody else's, and one that was verified since");
    revocations::run_once(&node, seen, Timestamp::now()).await.unwrap();
    assert!(!of_bob() && !since(), "looking twice ends nothing more");
}

#[tokio::test]
async fn one_store_is_one_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let _node = process(folder.path(), Access::Node).await;
    let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
    let second = assemble(config, Access::Node).await.unwrap_err();
    let cause = std::error::Error::source(&second).and_then(|error| error.source()).unwrap();
    assert!(cause.to_string().contains("another process"), "{cause}");
}
