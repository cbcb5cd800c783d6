//! A node from outside: its two ports, its probes, its bounds on connections.

use std::net::SocketAddr;
use std::time::Duration;

use natter::config::{AuthConfig, Config, MetricsConfig};
use natter::node::{Node, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::http;

struct Running {
    node: Node,
    folder: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            listen: any,
            metrics: MetricsConfig { listen: Some(any) },
            data_dir: folder.path().to_owned(),
            drain_grace: Duration::from_secs(2),
            ..Config::default()
        };
        let config = Config { auth: AuthConfig { bcrypt_cost: 4, ..config.auth }, ..config };
        let socket = bind(&config).unwrap();
        let node = Node::start(config, socket).await.unwrap();
        Self { node, folder }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        http::get(format!("http://{}{path}", self.node.addr())).await.unwrap()
    }

    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.node.metrics_addr().unwrap());
        let answer = http::get(url).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
        answer.text().await.unwrap()
    }
}

#[tokio::test]
async fn metrics_are_on_their_own_port_and_nothing_else_is() {
    let running = Running::start().await;
    for path in ["/metrics", "/debug", "/debug/pprof"] {
        assert_eq!(running.get(path).await.status(), 404, "{path} on the public port");
    }
    running.get("/livez").await;
    let metrics = running.metrics().await;
    assert!(metrics.contains("natter_build_info{version="), "{metrics}");
    let counted = "natter_http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let own = running.node.metrics_addr().unwrap();
    let elsewhere = http::get(format!("http://{own}/livez")).await.unwrap();
    assert_eq!(elsewhere.status(), 404);
}

#[tokio::test]
async fn every_answer_carries_an_id_of_its_own() {
    let running = Running::start().await;
    let mut seen = std::collections::HashSet::new();
    for path in ["/livez", "/readyz", "/nowhere"] {
        let answer = running.get(path).await;
        assert!(seen.insert(answer.headers()["x-request-id"].clone()), "{path}");
    }
}

#[tokio::test]
async fn headers_that_dribble_in_are_cut_off_and_do_not_keep_others_out() {
    let running = Running::start().await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(running.node.addr()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-a: ").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(running.get("/livez").await.status(), 200);
    let began = Instant::now();
    for stream in &mut slow {
        let ended = timeout(Duration::from_secs(12), stream.read(&mut [0; 16])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "still open after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_not_waited_for() {
    let running = Running::start().await;
    let mut stream = TcpStream::connect(running.node.addr()).await.unwrap();
    let head = "POST /signup HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{\"email\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await;
    read.expect("the server should have closed by now").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn failed_logins_are_counted_by_reason() {
    let running = Running::start().await;
    let url = format!("http://{}/token", running.node.addr());
    let form = [("username", "nobody"), ("password", "a guess")];
    for _ in 0..11 {
        http::client().post(&url).form(&form).send().await.unwrap();
    }
    let metrics = running.metrics().await;
    for (reason, count) in [("credentials", 10), ("rate_limited", 1), ("overloaded", 0)] {
        let line = format!("natter_login_failures_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_node_that_has_drained_is_gone_and_can_start_again() {
    let Running { node, folder } = Running::start().await;
    let address = node.addr();
    let began = Instant::now();
    node.drain(&CancellationToken::new()).await;
    assert!(began.elapsed() < Duration::from_millis(1_900), "{:?}", began.elapsed());
    assert!(TcpStream::connect(address).await.is_err());
    let config = Config {
        metrics: MetricsConfig { listen: None },
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    let socket = bind(&config).unwrap();
    let again = Node::start(config, socket).await.unwrap();
    assert!(again.metrics_addr().is_none());
}
