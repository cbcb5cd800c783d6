//! A node of a cluster whose store is not there, or not as it has to be, when it starts.

use std::net::SocketAddr;
use std::time::Duration;

use natter::config::{BusUrl, Config, MediaConfig, MetricsConfig, Secret, StoreUrl};
use natter::node::{Node, StartError, bind};
use natter::store::mongodb::Mongodb;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::store::{PATIENT, Place};
use crate::support::http;
use crate::support::nats::free_port;
use crate::support::services::server;

const DEADLINE: Duration = Duration::from_secs(300);

/// The settings of a node of a cluster on the servers of the run; `None` where one is missing.
fn config(uri: &Secret, folder: &tempfile::TempDir) -> Option<Config> {
    let nats = server("NATTER_TEST_NATS_URL")?;
    let mut config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        internal_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        // A port that is known before the node has started.
        metrics: MetricsConfig { listen: Some(SocketAddr::from(([127, 0, 0, 1], free_port()))) },
        data_dir: folder.path().to_owned(),
        store: StoreUrl::Mongodb { uri: uri.clone() },
        bus: BusUrl::Nats { url: Secret::new(nats) },
        media: MediaConfig { url: bucket(), ..MediaConfig::default() },
        ..Config::default()
    };
    config.auth.secret_key = Some(Secret::new("a secret of a cluster, 32 bytes or more"));
    config.auth.bcrypt_cost = 4;
    Some(config)
}

/// A bucket that nobody asks for anything here.
fn bucket() -> natter::config::MediaUrl {
    let sources = natter::config::Sources {
        environment: vec![
            ("NATTER_MEDIA_URL".into(), "s3://natter-test".into()),
            ("NATTER_MEDIA_ENDPOINT".into(), "http://127.0.0.1:9".into()),
        ],
        ..natter::config::Sources::default()
    };
    Config::load(&sources).unwrap().media.url
}

async fn answer(address: SocketAddr, path: &str) -> (u16, String) {
    let url = format!("http://{address}{path}");
    let asked = timeout(DEADLINE, http::client().get(url).send()).await.unwrap().unwrap();
    (asked.status().as_u16(), asked.text().await.unwrap())
}

/// Whether operators are told what the node is and counts, by themselves.
async fn tells_operators(metrics: SocketAddr, clients: SocketAddr) {
    let (status, text) = answer(metrics, "/metrics").await;
    assert_eq!(status, 200, "{text}");
    let told = |name: &str| text.lines().any(|line| line.starts_with(name));
    assert!(
        told("natter_build_info{") && told("natter_bus_up ") && told("natter_tcp_connections ")
    );
    assert_eq!(answer(metrics, "/readyz").await.0, 404);
    assert_ne!(answer(clients, "/metrics").await.0, 200);
}

/// Asks until the node is as far as `there` says.
async fn until(address: SocketAddr, there: impl Fn(&(u16, String)) -> bool) -> (u16, String) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = answer(address, "/readyz").await;
        if there(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "it should be there by now: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_node_waits_for_the_indexes_of_its_store_and_says_which_is_missing() {
    let Some(place) = Place::bare().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(config) = config(&place.uri, &folder) else { return };
    let socket = bind(&config).unwrap();
    let (address, metrics) = (socket.local_addr().unwrap(), config.metrics.listen.unwrap());
    let started = tokio::spawn(Node::start(config, socket));
    let (status, body) = until(address, |(_, body)| body.contains("natter migrate")).await;
    tells_operators(metrics, address).await;
    assert_eq!(status, 503);
    assert!(body.contains("events_client_id"), "{body}");
    assert_eq!(answer(address, "/livez").await.0, 200);
    let (status, body) = answer(address, "/users/me").await;
    assert_eq!((status, body.contains("unavailable")), (503, true), "{body}");

    Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
    let node = timeout(DEADLINE, started).await.unwrap().unwrap().unwrap();
    until(address, |(status, _)| *status == 200).await;
    assert_eq!(answer(address, "/users/me").await.0, 401);
    tells_operators(metrics, address).await;
    let hurry = CancellationToken::new();
    hurry.cancel();
    node.drain(&hurry).await;
    place.end().await;
}

#[tokio::test]
async fn a_node_starts_without_its_store_and_is_not_ready() {
    // Nobody listens there, and nobody else is given the port meanwhile.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let uri = format!("mongodb://ann:hunter2@127.0.0.1:{port}/?replicaSet=rs");
    let folder = tempfile::tempdir().unwrap();
    let Some(config) = config(&Secret::new(uri), &folder) else { return };
    let socket = bind(&config).unwrap();
    let (address, metrics) = (socket.local_addr().unwrap(), config.metrics.listen.unwrap());
    let started = tokio::spawn(Node::start(config, socket));
    let (_, body) = until(address, |(status, _)| *status == 503).await;
    assert!(body.contains("The store does not answer.") && !body.contains("hunter2"), "{body}");
    assert_eq!(answer(address, "/livez").await.0, 200);
    tells_operators(metrics, address).await;
    assert!(!started.is_finished());
    started.abort();
    assert!(started.await.is_err_and(|ended| ended.is_cancelled()));
}

#[tokio::test]
async fn a_wrong_password_ends_the_start_in_one_sentence() {
    let Some(place) = Place::bare().await else { return };
    let uri = place.uri.expose().replace("mongodb://", "mongodb://ann:hunter2@");
    let folder = tempfile::tempdir().unwrap();
    let Some(config) = config(&Secret::new(uri), &folder) else { return };
    let socket = bind(&config).unwrap();
    let started = timeout(DEADLINE, Node::start(config, socket)).await.unwrap();
    let Some(StartError::Store(error)) = started.err() else { panic!("it must not start") };
    assert_eq!(error.to_string(), "the MongoDB server refuses the user or the password");
    place.end().await;
}
