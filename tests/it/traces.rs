//! Traces: one message from `chat` to the last node's delivery, as a collector of OTLP is told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use natter::bus::{Subject, Subscription};
use natter::config::{Config, Origin};
use natter::domain::RoomId;
use natter::metrics::{Metrics, SpanOutcome};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Noted;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::sockets::enter;
use crate::support::{Answer, Cluster, DEADLINE, Ground, Person, TestNode, on_every_ground};

/// The trace of somebody else.
const FOREIGN: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a collector was told.
#[derive(Clone, Default)]
struct Collector {
    told: Arc<Mutex<Told>>,
    more: Arc<Notify>,
}

#[derive(Default)]
struct Told {
    spans: Vec<Step>,
    /// The requests as they came.
    bodies: Vec<Bytes>,
}

/// A step of a trace, and the node that tells it.
#[derive(Debug, Clone)]
struct Step {
    node: String,
    span: Span,
}

impl Step {
    fn noted(&self, key: &str) -> Option<Noted> {
        noted(&self.span.attributes, key)
    }
}

fn noted(attributes: &[KeyValue], key: &str) -> Option<Noted> {
    attributes.iter().find(|one| one.key == key)?.value.clone()?.value
}

impl Collector {
    /// A collector, and where it is.
    async fn start() -> (Self, Origin) {
        let collector = Self::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        (collector, serve(router).await)
    }

    fn spans(&self) -> Vec<Step> {
        self.told.lock().unwrap().spans.clone()
    }

    /// What it was told, once that is `enough`.
    async fn told(&self, enough: impl Fn(&[Step]) -> bool) -> Vec<Step> {
        let told = async {
            loop {
                let spans = self.spans();
                if enough(&spans) {
                    return spans;
                }
                self.more.notified().await;
            }
        };
        tokio::time::timeout(DEADLINE, told).await.expect("the collector should be told")
    }

    /// Whether `words` are anywhere in what it was told.
    fn knows(&self, words: &str) -> bool {
        let told = self.told.lock().unwrap();
        assert!(!told.bodies.is_empty());
        let words = words.as_bytes();
        told.bodies.iter().any(|body| body.windows(words.len()).any(|part| part == words))
    }
}

/// Where `router` is served from now on.
async fn serve(router: Router) -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Origin::parse(&url).unwrap()
}

async fn take(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut told = collector.told.lock().unwrap();
    told.bodies.push(body);
    for of_resource in request.resource_spans {
        let about = of_resource.resource.unwrap().attributes;
        let Some(Noted::StringValue(service)) = noted(&about, "service.name") else { panic!() };
        let Some(Noted::StringValue(node)) = noted(&about, "service.instance.id") else { panic!() };
        assert_eq!(service, "natter");
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        told.spans.extend(spans.map(|span| Step { node: node.clone(), span }));
    }
    drop(told);
    collector.more.notify_one();
}

fn tells(collector: &Origin) -> impl Fn(&mut Config) + use<> {
    let collector = collector.clone();
    move |config| {
        config.telemetry.otlp_url = Some(collector.clone());
        config.drain_grace = Duration::from_secs(4);
    }
}

fn named<'a>(spans: &'a [Step], name: &str) -> Vec<&'a Step> {
    spans.iter().filter(|step| step.span.name == name).collect()
}

fn only<'a>(spans: &'a [Step], name: &str) -> &'a Step {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

fn id(node: &TestNode) -> String {
    node.app().nodes.me().to_string()
}

on_every_ground![one_message_is_one_trace_through_all_nodes];

async fn one_message_is_one_trace_through_all_nodes(ground: &Ground) {
    let (collector, origin) = Collector::start().await;
    let cluster = Cluster::on(ground, 2, tells(&origin)).await;
    let ann = cluster.node(0).sign_up("annabel").await;
    let bob = cluster.node(1).sign_up("bobby").await;
    let room = ann.create_room("Philately").await;
    bob.enter(&room, &ann).await;
    let (mut here, _) = enter(cluster.node(0), &ann, &room).await;
    let (mut there, _) = enter(cluster.node(1), &bob, &room).await;
    let answer = here.ask("chat", json!({"content": "a penny black"})).await;
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(there.event("chat").await["message"]["content"], "a penny black");

    let is_whole = |spans: &[Step]| {
        let has = |name: &str| !named(spans, name).is_empty();
        named(spans, "deliver").len() == 2 && has("chat") && has("commit") && has("publish")
    };
    let spans = collector.told(is_whole).await;
    let chat = only(&spans, "chat");
    let (commit, publish) = (only(&spans, "commit"), only(&spans, "publish"));
    assert_eq!(chat.node, id(cluster.node(0)));
    assert!(chat.span.parent_span_id.is_empty());
    assert_eq!(chat.span.kind, SpanKind::Server as i32);
    assert_eq!(chat.noted("natter.room"), Some(Noted::StringValue(room)));
    assert_eq!(chat.noted("natter.outcome"), Some(Noted::StringValue("stored".to_owned())));
    assert_eq!(commit.span.parent_span_id, chat.span.span_id);
    assert_eq!(commit.noted("natter.outcome"), Some(Noted::StringValue("stored".to_owned())));
    assert_eq!(publish.span.parent_span_id, commit.span.span_id);
    // The owner, whichever of the two it is, has stored and published it; the other was told.
    assert_eq!(publish.node, commit.node);
    let deliveries = named(&spans, "deliver");
    for delivery in &deliveries {
        let before = if delivery.node == commit.node { commit } else { publish };
        assert_eq!(delivery.span.parent_span_id, before.span.span_id, "on {}", delivery.node);
        assert_eq!(delivery.noted("natter.deliveries"), Some(Noted::IntValue(1)));
    }
    let nodes: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.node.clone()).collect();
    assert_eq!(nodes, BTreeSet::from([id(cluster.node(0)), id(cluster.node(1))]));
    assert!(spans.iter().all(|step| step.span.trace_id == chat.span.trace_id));

    assert!(collector.knows("natter.room"));
    let token = ann.token.as_deref().unwrap();
    for secret in ["penny", "annabel", "bobby", "example.org", "Philately", token] {
        assert!(!collector.knows(secret), "{secret}");
    }
}

/// A room of `owner` in which `node` appends.
async fn room_that_is_owned(node: &TestNode, owner: &Person) -> String {
    loop {
        let room = owner.create_room("a room").await;
        let id: RoomId = room.parse().unwrap();
        if node.app().nodes.owner_of(id.as_bytes()).is_none() {
            return room;
        }
    }
}

/// The frame that holds the message `text`.
async fn frame_of(frames: &mut Subscription, text: &str) -> Value {
    let frame = async {
        loop {
            let payload = frames.next().await.unwrap().payload;
            let told: Value = serde_json::from_slice(&payload).unwrap();
            let events = told["body"]["events"].as_array().cloned().unwrap_or_default();
            if events.iter().any(|event| event["body"]["text"] == text) {
                return told["body"].clone();
            }
        }
    };
    tokio::time::timeout(DEADLINE, frame).await.expect("the message should be told")
}

#[tokio::test]
async fn a_node_without_traces_tells_none_and_hands_those_of_others_on() {
    let (collector, origin) = Collector::start().await;
    let mut cluster = Cluster::with(1, tells(&origin)).await;
    cluster.start_node(1, |_| ()).await;
    cluster.is_acquainted().await;
    let (with, without) = (cluster.node(0), cluster.node(1));
    let ann = with.sign_up("ann").await;
    let bob = without.sign_up("bob").await;
    let room = room_that_is_owned(without, &ann).await;
    bob.enter(&room, &ann).await;
    let (mut here, _) = enter(with, &ann, &room).await;
    let (mut there, _) = enter(without, &bob, &room).await;
    let bus = &with.app().bus;
    let mut frames = bus.subscribe(&Subject::room_events(room.parse().unwrap()));
    bus.settled().await;

    assert_eq!(there.ask("chat", json!({"content": "quietly"})).await["ok"], true);
    for socket in [&mut here, &mut there] {
        assert_eq!(socket.event("chat").await["message"]["content"], "quietly");
    }
    assert_eq!(frame_of(&mut frames, "quietly").await.get("traces"), None);

    let answer = here.ask("chat", json!({"content": "aloud"})).await;
    assert_eq!(there.event("chat").await["message"]["content"], "aloud");
    let frame = frame_of(&mut frames, "aloud").await;
    let is_whole =
        |spans: &[Step]| ["chat", "deliver"].iter().all(|name| !named(spans, name).is_empty());
    let spans = collector.told(is_whole).await;
    let (chat, deliver) = (only(&spans, "chat"), only(&spans, "deliver"));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (trace, step) = (hex(&chat.span.trace_id), hex(&chat.span.span_id));
    let expected = json!([[answer["message"]["seq"], format!("00-{trace}-{step}-01")]]);
    assert_eq!(frame["traces"], expected, "{answer}");
    assert_eq!(deliver.span.parent_span_id, chat.span.span_id);
    assert_eq!(deliver.span.kind, SpanKind::Consumer as i32);
    assert!(spans.iter().all(|step| step.node == id(with)), "{spans:?}");
}

#[tokio::test]
async fn what_a_client_says_of_a_trace_is_not_believed() {
    let (collector, origin) = Collector::start().await;
    let node = TestNode::with(tells(&origin)).await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("a room").await;
    let request = ann.request(Method::POST, &format!("/chat-rooms/{room}/messages"));
    let request = request.header("traceparent", format!("00-{FOREIGN}-00f067aa0ba902b7-01"));
    Answer::of(request.json(&json!({"content": "hello"}))).await.is(201);
    let spans = collector.told(|spans| !named(spans, "post_message").is_empty()).await;
    let post = only(&spans, "post_message");
    assert!(post.span.parent_span_id.is_empty());
    let trace: String = post.span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_ne!(trace, FOREIGN);
}

#[tokio::test]
async fn a_message_that_is_refused_is_traced_with_the_reason() {
    let (collector, origin) = Collector::start().await;
    let node = TestNode::with(tells(&origin)).await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("a room").await;
    let (mut socket, _) = enter(&node, &ann, &room).await;
    assert_eq!(socket.ask("chat", json!({"content": " "})).await["ok"], false);
    let spans = collector.told(|spans| !named(spans, "chat").is_empty()).await;
    let outcome = only(&spans, "chat").noted("natter.outcome");
    assert_eq!(outcome, Some(Noted::StringValue("invalid".to_owned())));
}

#[tokio::test]
async fn a_node_that_goes_tells_its_last_traces() {
    let (collector, origin) = Collector::start().await;
    let node = TestNode::with(tells(&origin)).await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("a room").await;
    ann.say(&room, "hello").await;
    let at_once = CancellationToken::new();
    at_once.cancel();
    drop(ann); // Its connection would be waited for.
    node.into_node().drain(&at_once).await;
    let spans = collector.spans();
    for name in ["post_message", "commit", "deliver"] {
        only(&spans, name);
    }
}

/// What became of steps on a node.
fn spans(metrics: &Metrics, outcome: SpanOutcome) -> u64 {
    metrics.traces.spans.of(outcome).get()
}

/// Messages go from node to node, and both nodes come to their end, whatever the collector does. The metrics of one.
async fn goes_on(collector: &Origin) -> Metrics {
    let mut cluster = Cluster::with(2, tells(collector)).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let bob = cluster.node(1).sign_up("bob").await;
    let room = ann.create_room("a room").await;
    bob.enter(&room, &ann).await;
    let (mut here, _) = enter(cluster.node(0), &ann, &room).await;
    let (mut there, _) = enter(cluster.node(1), &bob, &room).await;
    for nth in 0..20 {
        let content = nth.to_string();
        assert_eq!(here.ask("chat", json!({"content": content})).await["ok"], true);
        assert_eq!(there.event("chat").await["message"]["content"], content);
    }
    let metrics = cluster.node(0).app().metrics.clone();
    let ends = async {
        cluster.drain(0).await;
        cluster.drain(1).await;
    };
    tokio::time::timeout(DEADLINE, ends).await.expect("nodes end without their collector");
    assert_eq!(spans(&metrics, SpanOutcome::Exported), 0);
    metrics
}

/// Returns once it is counted that steps are lost.
async fn are_lost(metrics: &Metrics) {
    let lost = async {
        while spans(metrics, SpanOutcome::Failed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, lost).await.expect("it should be counted");
}

#[tokio::test]
async fn messages_go_on_while_the_collector_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    are_lost(&goes_on(&Origin::parse(&url).unwrap()).await).await;
}

#[tokio::test]
async fn messages_go_on_while_the_collector_refuses() {
    let refuse = || async { StatusCode::SERVICE_UNAVAILABLE };
    let refusing = serve(Router::new().route("/v1/traces", post(refuse))).await;
    are_lost(&goes_on(&refusing).await).await;
}

#[tokio::test]
async fn messages_go_on_while_the_collector_never_answers() {
    let never = || std::future::pending::<()>();
    let silent = serve(Router::new().route("/v1/traces", post(never))).await;
    goes_on(&silent).await;
}
