//! A primary that alone has what was written to it.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::doc;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cases::scene::seconds;
use crate::check::Rule;
use crate::client::{Person, Socket, Told, create_room, sign_up};
use crate::cluster::{Cluster, Shape};
use crate::history::{Attempt, Clock, History, Kind, Outcome, Replica, Sent};
use crate::proxy::{Fault, Way};
use crate::run::{Run, case};
use crate::servers::mongod::ReplicaSet;
use crate::servers::process::LOOK;
use crate::workload::answer;

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn f02_a_prefix_beside_a_write_concern_error_is_rolled_back() {
    case("f02", async |run| {
        let (mut cluster, mut talker) = three_members(run).await;
        let primary = cluster.mongo().primary().await;
        // What is said behind one whose answer is under way goes in together.
        let name = cluster.nodes[0].name.clone();
        cluster.mongo().members[primary].link.set_for(&name, Fault::Cut(Way::ToClient));
        talker.say(&[("held", Some("k-held"))], Duration::ZERO).await;
        everywhere(cluster.mongo(), "held").await;
        unreplicated(cluster.mongo(), primary).await;
        // New, old, new: the old one is refused as a duplicate, and what precedes it is on the primary alone.
        let again = [("one", Some("k-one")), ("first", Some("k-first")), ("two", None)];
        talker.say(&again, Duration::ZERO).await;
        talker.is_read().await;
        cluster.mongo().members[primary].link.set_for(&name, Fault::Pass);
        talker.listen(seconds(12)).await;
        cluster.mongo().members[primary].kill().await;
        replicate(cluster.mongo(), primary, true).await;
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
        let (mut cluster, mut talker) = three_members(run).await;
        let primary = cluster.mongo().primary().await;
        unreplicated(cluster.mongo(), primary).await;
        // It is sent again and again to a primary that has it, and cannot know whether it will keep it.
        talker.say(&[("one", None), ("two", Some("k-two")), ("three", None)], seconds(18)).await;
        say_unreplicated(cluster.mongo(), primary, false).await;
        replicate(cluster.mongo(), primary, true).await;
        run.did("nothing was replicated for 18 s");
        talker.finish(run, &cluster).await;
        let history = History { sends: talker.sends, ..History::default() };
        run.judge(&history, &run.replicas(&cluster).await);
    });
}

/// A node over three members, and somebody who has said a first thing.
async fn three_members(run: &Run) -> (Cluster, Talker) {
    let cluster = Cluster::start(&run.folder, &Shape::of(1, 3)).await;
    let owner = sign_up(cluster.first(), "owner").await;
    let room = create_room(cluster.first(), &owner, &[]).await;
    let mut talker = Talker::new(&cluster, &owner, &room).await;
    talker.say(&[("first", Some("k-first"))], seconds(30)).await;
    (cluster, talker)
}

/// Waits until every member has a message with these words.
async fn everywhere(set: &ReplicaSet, words: &str) {
    let end = Instant::now() + seconds(60);
    loop {
        let reading = set.members.iter().map(crate::final_log::mongo::member);
        let replicas = futures::future::try_join_all(reading).await.expect("every member answers");
        let said = Kind::Message(words.to_owned());
        let has =
            |replica: &Replica| replica.rooms.values().flatten().any(|entry| entry.kind == said);
        if replicas.iter().all(has) {
            return;
        }
        assert!(Instant::now() < end, "{words:?} is not replicated");
        tokio::time::sleep(LOOK).await;
    }
}

/// From now on the primary alone has what is written.
async fn unreplicated(set: &ReplicaSet, primary: usize) {
    replicate(set, primary, false).await;
    say_unreplicated(set, primary, true).await;
}

/// Has the members beside the primary take what it has, or nothing more.
async fn replicate(set: &ReplicaSet, primary: usize, is_on: bool) {
    let mode = if is_on { "off" } else { "alwaysOn" };
    for (place, member) in set.members.iter().enumerate() {
        if place != primary {
            member.failpoint("stopReplProducer", doc! { "mode": mode }).await;
        }
    }
}

/// Has the primary say at once, beside whatever else it has to say of an insert, that it waited in vain for the others; by itself
/// it says so when a node does not listen any more.
async fn say_unreplicated(set: &ReplicaSet, primary: usize, is_on: bool) {
    let why = doc! { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out" };
    let data = doc! { "failCommands": ["insert"], "writeConcernError": why };
    let on = doc! { "mode": "alwaysOn", "data": data };
    let rest = if is_on {
        on
    } else {
        doc! { "mode": "off" }
    };
    set.members[primary].failpoint("failCommand", rest).await;
}

/// Somebody who says a few things, and notes what becomes of them.
struct Talker {
    socket: Socket,
    clock: Clock,
    person: Person,
    room: String,
    sends: Vec<Sent>,
    connection: u64,
    /// What is not answered on this connection, by the number of its acknowledgement.
    under_way: HashMap<u64, usize>,
}

impl Talker {
    async fn new(cluster: &Cluster, person: &Person, room: &str) -> Self {
        let (person, room, clock) = (person.clone(), room.to_owned(), Clock::start());
        let socket = connect(cluster, &person, &room).await;
        let (sends, under_way) = (Vec::new(), HashMap::new());
        Self { socket, clock, person, room, sends, connection: 0, under_way }
    }

    /// Says all of it at once, and listens for so long, or until everything is answered.
    async fn say(&mut self, words: &[(&str, Option<&str>)], listen: Duration) {
        let payloads: Vec<Value> = words.iter().map(|one| payload(one)).collect();
        let invoked = self.clock.now();
        let first = self.socket.send_all("chat", &payloads).await;
        for (number, (content, client_id)) in (first..).zip(words) {
            let place = self.place(content, *client_id);
            let connection = self.connection;
            self.under_way.insert(number, place);
            let attempt = Attempt { connection, place: number, invoked, answered: None };
            self.sends[place].attempts.push(attempt);
        }
        self.listen(listen).await;
    }

    /// Listens for so long, or until everything is answered.
    async fn listen(&mut self, listen: Duration) {
        let end = Instant::now() + listen;
        while !self.under_way.is_empty() {
            let Ok(told) = tokio::time::timeout_at(end, self.socket.next()).await else { break };
            let Told::Ack(number, told) = told else {
                assert!(told != Told::Closed, "the connection ended");
                continue;
            };
            let Some(place) = self.under_way.remove(&number) else { continue };
            let answered = Some((self.clock.now(), answer(&told)));
            let attempt = self.sends[place].attempts.last_mut().expect("it was sent");
            attempt.answered = answered;
        }
    }

    /// Waits until the node has taken in what was said: it refuses at once what makes no sense, and that in its turn.
    async fn is_read(&mut self) {
        let nonsense = json!({"chat_room_id": "another", "is_typing": true});
        let refused = self.socket.ask("typing", &nonsense).await.expect("an answer");
        assert_eq!(refused["ok"], false, "{refused}");
    }

    async fn come_back(&mut self, cluster: &Cluster) {
        self.connection += 1;
        self.under_way.clear();
        self.socket = connect(cluster, &self.person, &self.room).await;
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
            self.come_back(cluster).await;
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
        self.come_back(cluster).await;
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
