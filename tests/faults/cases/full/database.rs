//! A database that answers late, wrongly, or not at all.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cases::quick::database::calm;
use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::{Person, Socket, Told, create_room, sign_up};
use crate::cluster::{Cluster, Node, Shape};
use crate::history::{Attempt, Clock, History, Outcome, Sent};
use crate::run::{Run, case};
use crate::servers::mongod::ReplicaSet;
use crate::servers::process::{LOOK, Signal};
use crate::workload::{Plan, answer};

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn x09_the_primary_stands_still_under_load() {
    case("x09-still", async |run| {
        let mut scene = Scene::begin(run, &Shape::of(2, 3), &calm()).await;
        scene.pass(seconds(3)).await;
        let primary = scene.cluster.mongo().primary().await;
        scene.cluster.mongo().members[primary].signal(Signal::Stop).await;
        scene.pass(seconds(15)).await;
        scene.cluster.mongo().members[primary].signal(Signal::Cont).await;
        run.did("the primary stood still for 15 s");
        scene.pass(seconds(8)).await;
        scene.cluster.mongo().primary().await;
        scene.end(run).await;
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x26_without_a_unique_index_a_node_is_not_ready() {
    case("x26", async |run| {
        let mut cluster = Cluster::start(&run.folder, &Shape::of(1, 1)).await;
        cluster.nodes[0].kill().await;
        let events = cluster.mongo().members[0].database();
        let drop = doc! { "dropIndexes": "events", "index": "events_client_id" };
        events.run_command(drop).await.unwrap();
        cluster.nodes[0].begin();
        if !says(&cluster.nodes[0], "events_client_id").await {
            run.violated(Rule::Own, "the log does not say which index is missing");
        }
        if cluster.nodes[0].is_ready().await {
            run.violated(Rule::Own, "a node is ready without the index of client_ids");
        }
        run.did("not ready, and the log says why");
    });
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x27_nodes_start_before_the_database_and_the_bus_are_there() {
    case("x27", async |run| {
        let shape = Shape::of(2, 1);
        let mut cluster = Cluster::servers(&run.folder, &shape).await;
        cluster.nodes[0].migrate().await;
        cluster.mongo().members[0].kill().await;
        cluster.nats().kill().await;
        cluster.nodes.iter_mut().for_each(|node| node.begin());
        for node in &mut cluster.nodes {
            says(node, "waiting for the store").await;
            if node.is_ready().await {
                run.violated(Rule::Own, format!("{} is ready without a database", node.name));
            }
            if node.id().is_none() {
                run.violated(Rule::Own, format!("{} ended without a database", node.name));
            }
        }
        cluster.mongo().members[0].restart().await;
        cluster.mongo().primary().await;
        let is_ready = await_ready(&cluster).await;
        if !is_ready {
            run.violated(Rule::Own, "the database is there, and not all nodes are ready");
        }
        run.did("ready with the database, without the bus");
        cluster.nats().restart().await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let mut sockets = Vec::new();
        for node in &cluster.nodes {
            let auth = json!({"token": owner.token, "chat_room_id": room});
            let mut socket = Socket::connect(node.address(), auth).await.expect("let in");
            socket.event("online_users").await.expect("who is there");
            sockets.push(socket);
        }
        sockets[0].ask("chat", &json!({"content": "hello", "message_type": "text"})).await;
        let heard = tokio::time::timeout(seconds(60), sockets[1].event("chat")).await;
        if !heard.is_ok_and(|heard| heard.is_some()) {
            run.violated(Rule::V4, "nodes that started without the bus do not find each other");
        }
    });
}

/// Whether these words come to stand in the log of a node.
async fn says(node: &Node, words: &str) -> bool {
    let end = Instant::now() + seconds(60);
    while Instant::now() < end {
        if node.log().contains(words) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

async fn await_ready(cluster: &Cluster) -> bool {
    let end = Instant::now() + seconds(90);
    while Instant::now() < end {
        let asked = cluster.nodes.iter().map(Node::is_ready);
        if futures::future::join_all(asked).await.iter().all(|is_ready| *is_ready) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn f01_replies_of_the_database_are_lost_behind_the_commit() {
    case("f01", async |run| writes_fail(run, &doc! { "closeConnection": true }).await);
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn f04_writes_of_the_database_are_lost_before_the_commit() {
    let internal_error = 1;
    case("f04", async |run| {
        let data =
            doc! { "closeConnection": true, "failBeforeCommitExceptionCode": internal_error };
        writes_fail(run, &data).await;
    });
}

/// Has a few writes fail each second, in this manner.
async fn writes_fail(run: &mut Run, data: &Document) {
    const WRITE: &str = "onPrimaryTransactionalWrite";
    let mut scene = Scene::begin(run, &Shape::of(2, 1), &Plan::default()).await;
    for round in 0..12 {
        scene.pass(seconds(1)).await;
        // Once, and the driver helps itself; more often, and natter has to.
        let mode = doc! { "times": 1 + round % 6 };
        let rest = doc! { "mode": mode, "data": data };
        scene.cluster.mongo().members[0].failpoint(WRITE, rest).await;
    }
    scene.pass(seconds(1)).await;
    scene.cluster.mongo().members[0].failpoint(WRITE, doc! { "mode": "off" }).await;
    run.did("up to 42 writes had no answer");
    scene.pass(seconds(3)).await;
    scene.end(run).await;
}

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn f02_a_prefix_beside_a_write_concern_error_is_rolled_back() {
    case("f02", async |run| {
        let (mut cluster, mut talker, primary) = unreplicated(run).await;
        // New, old, new: the old one is refused as a duplicate, and what precedes it is on the primary alone.
        let again = [("one", Some("k-one")), ("first", Some("k-first")), ("two", None)];
        talker.say(&again, seconds(12)).await;
        cluster.mongo().members[primary].kill().await;
        stop_replication(cluster.mongo(), primary, false).await;
        cluster.mongo().primary().await;
        cluster.mongo().members[primary].restart().await;
        run.did("what the primary alone had was rolled back");
        talker.finish(run, &cluster).await;
        let history = History { sends: talker.sends, ..History::default() };
        run.judge(&history, &run.replicas(&cluster).await);
    });
}

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn f03_a_duplicate_beside_a_write_concern_error_is_ones_own() {
    case("f03", async |run| {
        let (mut cluster, mut talker, primary) = unreplicated(run).await;
        // It is sent again and again to a primary that has it, and cannot know whether it will keep it.
        talker.say(&[("one", None), ("two", Some("k-two")), ("three", None)], seconds(18)).await;
        stop_replication(cluster.mongo(), primary, false).await;
        run.did("nothing was replicated for 18 s");
        talker.finish(run, &cluster).await;
        let history = History { sends: talker.sends, ..History::default() };
        run.judge(&history, &run.replicas(&cluster).await);
    });
}

/// Three members of which the primary alone takes in what is written from now on, and somebody who has said a first thing.
async fn unreplicated(run: &Run) -> (Cluster, Talker, usize) {
    let mut cluster = Cluster::start(&run.folder, &Shape::of(1, 3)).await;
    let owner = sign_up(cluster.first(), "owner").await;
    let room = create_room(cluster.first(), &owner, &[]).await;
    let mut talker = Talker::new(&cluster, &owner, &room).await;
    talker.say(&[("first", Some("k-first"))], seconds(30)).await;
    let primary = cluster.mongo().primary().await;
    stop_replication(cluster.mongo(), primary, true).await;
    (cluster, talker, primary)
}

/// Has the members beside the primary take nothing more from it, or go on.
async fn stop_replication(set: &ReplicaSet, primary: usize, is_stopped: bool) {
    let mode = if is_stopped { "alwaysOn" } else { "off" };
    for (place, member) in set.members.iter().enumerate() {
        if place != primary {
            member.failpoint("stopReplProducer", doc! { "mode": mode }).await;
        }
    }
}

/// Somebody who says a few things, and notes what becomes of them.
struct Talker {
    socket: Socket,
    clock: Clock,
    person: Person,
    room: String,
    sends: Vec<Sent>,
    connection: u64,
}

impl Talker {
    async fn new(cluster: &Cluster, person: &Person, room: &str) -> Self {
        let (person, room, clock) = (person.clone(), room.to_owned(), Clock::start());
        let socket = connect(cluster, &person, &room).await;
        Self { socket, clock, person, room, sends: Vec::new(), connection: 0 }
    }

    /// Says all of it at once, and listens for so long, or until everything is answered.
    async fn say(&mut self, words: &[(&str, Option<&str>)], listen: Duration) {
        let payloads: Vec<Value> = words.iter().map(|one| payload(one)).collect();
        let invoked = self.clock.now();
        let first = self.socket.send_all("chat", &payloads).await;
        let mut places = Vec::new();
        for (number, (content, client_id)) in (first..).zip(words) {
            let place = self.place(content, *client_id);
            let connection = self.connection;
            places.push(place);
            let attempt = Attempt { connection, place: number, invoked, answered: None };
            self.sends[place].attempts.push(attempt);
        }
        let end = Instant::now() + listen;
        let mut answers = 0;
        while answers < places.len() {
            let Ok(told) = tokio::time::timeout_at(end, self.socket.next()).await else { break };
            let Told::Ack(number, told) = told else {
                assert!(told != Told::Closed, "the connection ended");
                continue;
            };
            answers += 1;
            let answered = Some((self.clock.now(), answer(&told)));
            let place = places[usize::try_from(number - first).expect("one of these")];
            let attempt = self.sends[place].attempts.last_mut().expect("it was sent");
            attempt.answered = answered;
        }
    }

    fn place(&mut self, content: &str, client_id: Option<&str>) -> usize {
        let known = self.sends.iter().position(|sent| sent.content == content);
        known.unwrap_or_else(|| {
            let (sender, room) = (self.person.id.clone(), self.room.clone());
            let (content, client_id) = (content.to_owned(), client_id.map(str::to_owned));
            self.sends.push(Sent { sender, room, client_id, content, attempts: Vec::new() });
            self.sends.len() - 1
        })
    }

    /// Says something more until it is acked, and then once more what has a client_id and no ack.
    async fn finish(&mut self, run: &mut Run, cluster: &Cluster) {
        let end = Instant::now() + seconds(90);
        for number in 0.. {
            assert!(Instant::now() < end, "nothing is acked any more");
            self.connection += 1;
            self.socket = connect(cluster, &self.person, &self.room).await;
            let words = format!("last {number}");
            let key = format!("k-last-{number}");
            self.say(&[(&words, Some(&key))], seconds(15)).await;
            let last = self.sends.last().expect("it was sent");
            if matches!(last.outcome(), Outcome::Acked(..)) {
                break;
            }
        }
        let is_open = |sent: &&Sent| {
            sent.client_id.is_some() && !matches!(sent.outcome(), Outcome::Acked(..))
        };
        let open: Vec<_> = self.sends.iter().filter(is_open).cloned().collect();
        let again: Vec<_> =
            open.iter().map(|sent| (sent.content.as_str(), sent.client_id.as_deref())).collect();
        self.connection += 1;
        self.socket = connect(cluster, &self.person, &self.room).await;
        self.say(&again, seconds(30)).await;
        let left = self.sends.iter().filter(is_open).map(|sent| sent.content.as_str());
        let left: Vec<_> = left.collect();
        if !left.is_empty() {
            run.violated(Rule::Own, format!("sent again, and not acked: {left:?}"));
        }
    }
}

async fn connect(cluster: &Cluster, person: &Person, room: &str) -> Socket {
    let auth = json!({"token": person.token, "chat_room_id": room});
    let end = Instant::now() + seconds(90);
    loop {
        if let Ok(mut socket) = Socket::connect(cluster.first(), auth.clone()).await
            && socket.event("online_users").await.is_some()
        {
            return socket;
        }
        assert!(Instant::now() < end, "nobody is let in any more");
        tokio::time::sleep(LOOK).await;
    }
}

fn payload((content, client_id): &(&str, Option<&str>)) -> Value {
    let mut payload = json!({"content": content, "message_type": "text"});
    if let Some(client_id) = client_id {
        payload["client_id"] = json!(client_id);
    }
    payload
}
