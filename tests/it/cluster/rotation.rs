//! X37 and A14: one secret follows another, node by node, while everything goes on.

use std::time::Duration;

use natter::config::{Config, Limit, Secret};
use natter::domain::RoomId;
use natter::metrics::{BusRefusal, Forwarded, InternalRefusal};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::line::{Line, Manner, Polling};
use super::sessions::{connect, event};
use crate::support::{Answer, Cluster, Ground, PASSWORD, Person, SECRET, on_every_ground};

const NEXT: &str = "the secret that comes after it, 32 bytes too";

/// What a node is started with, and in the order in which a cluster goes over from one secret to another.
type Stage = (&'static str, Option<&'static str>);
const BEFORE: Stage = (SECRET, None);
const STAGES: [Stage; 3] = [(SECRET, Some(NEXT)), (NEXT, Some(SECRET)), (NEXT, None)];

const NODES: usize = 3;

fn at(stage: Stage) -> impl Fn(&mut Config) {
    let (secret, previous) = stage;
    move |config: &mut Config| {
        config.auth.secret_key = Some(Secret::new(secret));
        config.auth.secret_key_previous = previous.map(Secret::new);
        config.drain_grace = Duration::from_secs(1);
        config.limits.logins_per_minute = Limit::OFF;
        config.limits.messages_per_second = Limit::OFF;
    }
}

on_every_ground![
    a_cluster_goes_over_to_another_secret_node_by_node_and_nobody_notices,
    a_retry_of_what_was_cleared_is_known_under_the_secret_before_and_not_without_it,
];

/// A cluster on its way, a room, and what was said there before.
struct Rotation {
    cluster: Cluster,
    room: String,
    /// Messages by their `client_id`, as they were stored.
    said: Vec<(String, Value)>,
}

impl Rotation {
    async fn start(ground: &Ground) -> Self {
        let cluster = Cluster::on(ground, NODES, at(BEFORE)).await;
        let ann = cluster.node(0).sign_up("ann").await;
        let room = ann.create_room("Rotating").await;
        Self { cluster, room, said: Vec::new() }
    }

    /// Starts a node again, as it is to be at this stage.
    async fn restart(&mut self, number: usize, stage: Stage) {
        self.cluster.drain(number).await;
        self.cluster.start_node(number, at(stage)).await;
        self.cluster.is_acquainted().await;
    }

    async fn ann(&self, node: usize) -> Person {
        self.cluster.node(node).sign_in("ann", PASSWORD).await
    }

    /// The same token at another node.
    fn moved(&self, person: &Person, node: usize) -> Person {
        Person::with_token(self.cluster.node(node).url(), person.token.as_deref().unwrap())
    }

    async fn post(&self, person: &Person, key: &str) -> Answer {
        let path = format!("/chat-rooms/{}/messages", self.room);
        person.post(&path, json!({"content": format!("said as {key}"), "client_id": key})).await
    }

    /// Says something new through every node, and on every node again what was ever said.
    async fn keeps_its_messages(&mut self, when: &str) {
        for node in 0..NODES {
            let (ann, key) = (self.ann(node).await, format!("{when} {node}"));
            let said = self.post(&ann, &key).await.is(201);
            self.said.push((key, said));
        }
        for node in 0..NODES {
            let ann = self.ann(node).await;
            for (key, said) in &self.said {
                let again = self.post(&ann, key).await;
                assert!(again.status < 300, "{when}, {key} at node {node}: {}", again.body);
                assert_eq!(again.body["id"], said["id"], "{when}, {key} at node {node}");
            }
        }
    }

    /// What one node gives out is good on every other: tokens, links, sessions; and what one stores is told on all.
    /// As far as the node is concerned that has just changed.
    async fn is_one(&self, changed: usize, when: &str) {
        for one in 0..NODES {
            let ann = self.ann(one).await;
            let link = self.file_of(&ann).await;
            for other in (0..NODES).filter(|other| [one, *other].contains(&changed)) {
                let there = self.moved(&ann, other);
                there.get("/users/me").await.is(200);
                let loaded = there.get(&link).await;
                assert_eq!(loaded.status, 200, "{when}: a link of node {one} at {other}");
                let polling = Polling::open(&self.cluster.node(one).url()).await.unwrap();
                let polling = polling.through(&self.cluster.node(other).url());
                let mut line = Line::over(polling, Manner::Polling).await.unwrap();
                connect(&mut line, json!({"token": ann.token, "chat_room_id": self.room})).await;
                let words = format!("{when}, from {one} over {other}");
                there.say(&self.room, &words).await;
                assert_eq!(event(&mut line, "chat").await["message"]["content"], json!(words));
                line.drop_it();
            }
        }
        for node in 0..NODES {
            let metrics = &self.cluster.node(node).app().metrics;
            let refused = [
                metrics.bus.refused.of(BusRefusal::Forged).get(),
                metrics.cluster.internal_refusals.of(InternalRefusal::Forged).get(),
                metrics.cluster.forwarded_requests.of(Forwarded::Refused).get(),
            ];
            assert_eq!(refused, [0; 3], "{when}: node {node} believes all others");
        }
    }

    /// The link to a file that `person` has just sent.
    async fn file_of(&self, person: &Person) -> String {
        let part = Part::bytes(b"a file".to_vec()).file_name("a.txt");
        let path = format!("/chat-rooms/{}/attachments", self.room);
        let form = Form::new().part("file", part);
        let sent = person.request(Method::POST, &path).multipart(form);
        let upload = Answer::of(sent).await.is(201);
        let path = format!("/chat-rooms/{}/messages", self.room);
        let said = json!({"content": "", "attachment_id": upload["id"]});
        let said = person.post(&path, said).await.is(201);
        said["file_path"].as_str().unwrap().to_owned()
    }
}

async fn a_cluster_goes_over_to_another_secret_node_by_node_and_nobody_notices(ground: &Ground) {
    let mut rotation = Rotation::start(ground).await;
    rotation.keeps_its_messages("before").await;
    let old = rotation.ann(0).await;
    let link = rotation.file_of(&old).await;
    for (nth, stage) in STAGES.into_iter().enumerate() {
        for node in 0..NODES {
            rotation.restart(node, stage).await;
            let when = format!("stage {nth}, node {node}");
            rotation.is_one(node, &when).await;
            rotation.keeps_its_messages(&when).await;
            // What was given out before is good until the secret is taken away.
            let is_over = stage == STAGES[2];
            let there = rotation.moved(&old, node);
            for (path, refusal) in [("/users/me", 401), (link.as_str(), 404)] {
                let expected = if is_over { refusal } else { 200 };
                assert_eq!(there.get(path).await.status, expected, "{when}: {path}");
            }
        }
    }
    for node in 0..NODES {
        rotation.moved(&old, node).get("/users/me").await.refused(401, "unauthorized");
        let polling = Polling::open(&rotation.cluster.node(node).url()).await.unwrap();
        let mut line = Line::over(polling, Manner::Polling).await.unwrap();
        line.say(format!("40{}", json!({"token": old.token}))).await;
        let answer = line.hear().await.unwrap();
        assert!(answer.starts_with("44") && answer.contains("unauthorized"), "{answer}");
    }
}

async fn a_retry_of_what_was_cleared_is_known_under_the_secret_before_and_not_without_it(
    ground: &Ground,
) {
    let mut rotation = Rotation::start(ground).await;
    let ann = rotation.ann(0).await;
    rotation.post(&ann, "key").await.is(201);
    assert!(ann.delete("/admin/clear_messages").await.status < 300);
    let room: RoomId = rotation.room.parse().unwrap();
    for (stage, code) in [
        (BEFORE, "not_found"),
        (STAGES[0], "not_found"),
        (STAGES[1], "not_found"),
        // Nothing else is left that could tell what it was.
        (STAGES[2], "client_id_conflict"),
    ] {
        for node in 0..NODES {
            if stage != BEFORE {
                rotation.restart(node, stage).await;
            }
        }
        let before = rotation.cluster.node(0).app().store.tail(room).await.unwrap().unwrap().seq;
        for node in 0..NODES {
            let again = rotation.post(&rotation.ann(node).await, "key").await;
            assert_eq!(again.body["code"], code, "{stage:?}: {}", again.body);
        }
        let after = rotation.cluster.node(0).app().store.tail(room).await.unwrap().unwrap().seq;
        assert_eq!(before, after, "nothing is stored");
    }
}
