//! `/metrics` of a node: every metric of the document is there, and says what happened.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use natter::config::MetricsConfig;
use natter::metrics::{Described, Metrics};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::sockets::client::{Socket, Told};
use crate::sockets::enter;
use crate::support::{Answer, DEADLINE, TestNode, http};

/// What a node tells, by series.
struct Scraped(String);

impl Scraped {
    async fn of(node: &TestNode) -> Self {
        let url = format!("http://{}/metrics", node.metrics_addr());
        Self(http::get(url).await.unwrap().text().await.unwrap())
    }

    /// Every metric with its type.
    fn types(&self) -> BTreeMap<&str, &str> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split_once(' ').unwrap()).collect()
    }

    fn value(&self, series: &str) -> f64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in {}", self.0)).parse().unwrap()
    }

    /// The values of all series of a metric, together.
    fn sum(&self, name: &str) -> f64 {
        let begin = format!("{name}{{");
        let series = self.0.lines().filter(|line| line.starts_with(&begin));
        series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }
}

async fn node() -> TestNode {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    TestNode::with(|config| config.metrics = MetricsConfig { listen: Some(any) }).await
}

#[tokio::test]
async fn every_metric_of_the_document_is_told_by_a_node() {
    let node = node().await;
    http::get(format!("{}/livez", node.url())).await.unwrap();
    let scraped = Scraped::of(&node).await;
    let metrics = Metrics::new();
    let described = metrics.described().iter();
    let expected: BTreeMap<&str, &str> =
        described.map(|Described { name, kind, .. }| (name.as_str(), *kind)).collect();
    assert_eq!(scraped.types(), expected);
}

/// What the node tells once a delivery has been followed to its socket.
async fn sampled(node: &TestNode) -> Scraped {
    loop {
        let scraped = Scraped::of(node).await;
        if scraped.value("natter_delivery_duration_seconds_count{origin=\"here\"}") > 0.0 {
            return scraped;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_happens_on_a_node_is_counted() {
    let node = node().await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("a room").await;
    let (mut socket, _) = enter(&node, &ann, &room).await;
    let answer = socket.ask("chat", json!({"content": "one"})).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let path = format!("/chat-rooms/{room}/messages");
    ann.post(&path, json!({"content": "two", "client_id": "k"})).await.is(201);
    ann.post(&path, json!({"content": "two", "client_id": "k"})).await.is(200);
    ann.post(&path, json!({"content": ""})).await.is(422);
    let file = Part::bytes(vec![b'a'; 100]).file_name("a.txt");
    let path = format!("/chat-rooms/{room}/attachments");
    let upload = ann.request(Method::POST, &path).multipart(Form::new().part("file", file));
    Answer::of(upload).await.is(201);

    let scraped = tokio::time::timeout(DEADLINE, sampled(&node)).await.unwrap();
    for (series, expected) in [
        ("natter_ready", 1.0),
        ("natter_draining", 0.0),
        ("natter_bus_up", 1.0),
        ("natter_cluster_nodes", 1.0),
        ("natter_live_rooms", 1.0),
        ("natter_connected_users", 1.0),
        ("natter_logins_total", 1.0),
        ("natter_connections{kind=\"room\",transport=\"websocket\"}", 1.0),
        ("natter_connects_total{kind=\"room\",transport=\"websocket\"}", 1.0),
        ("natter_presence_entries{node=\"here\"}", 1.0),
        ("natter_messages_received_total{transport=\"socket\"}", 1.0),
        ("natter_messages_received_total{transport=\"http\"}", 3.0),
        ("natter_message_answers_total{outcome=\"stored\"}", 2.0),
        ("natter_message_answers_total{outcome=\"repeated\"}", 1.0),
        ("natter_message_answers_total{outcome=\"invalid\"}", 1.0),
        ("natter_messages_stored_total", 2.0),
        ("natter_events_delivered_total", 2.0),
        ("natter_deliveries_total", 2.0),
        ("natter_http_answers_total{class=\"5xx\"}", 0.0),
        ("natter_media_operation_duration_seconds_count{operation=\"put\"}", 1.0),
        ("natter_queue_limit{queue=\"writer\"}", 1024.0),
    ] {
        assert_eq!(scraped.value(series), expected, "{series}");
    }
    for series in [
        "natter_store_operation_duration_seconds_count{operation=\"append\"}",
        "natter_store_operation_duration_seconds_count{operation=\"check\"}",
        "natter_runtime_workers",
        "natter_runtime_tasks",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(scraped.value(series) > 0.0, "{series}");
    }
    for name in ["natter_store_errors_total", "natter_media_errors_total"] {
        assert_eq!(scraped.sum(name), 0.0, "{name}");
    }
}

async fn refused(node: &TestNode, auth: Value) {
    let mut socket = Socket::connect(node.addr(), auth).await;
    let told = socket.next().await;
    assert!(matches!(told, Told::Refused(_)), "{told:?}");
}

#[tokio::test]
async fn a_client_that_is_not_let_in_is_counted_by_the_reason() {
    let node = node().await;
    let ann = node.sign_up("ann").await;
    refused(&node, json!({"token": "no token"})).await;
    refused(&node, json!({"token": ann.token, "chat_room_id": ann.id()})).await;
    let scraped = Scraped::of(&node).await;
    for (reason, count) in [("unauthorized", 1.0), ("no_member", 1.0), ("rate_limited", 0.0)] {
        let series = format!("natter_connects_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(scraped.value(&series), count, "{reason}");
    }
}
