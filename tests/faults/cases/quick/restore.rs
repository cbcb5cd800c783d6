//! A backup of a cluster, taken and put back as docs/OPERATIONS.md says.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cases::scene::seconds;
use crate::check::Rule;
use crate::client::{Person, Socket, Told, base, create_room, sign_up, text};
use crate::cluster::{Cluster, Shape};
use crate::final_log;
use crate::run::{Run, case};
use crate::servers::process::{LOOK, Signal};

/// How long something may take to be told.
const PATIENCE: std::time::Duration = seconds(60);

/// Messages said before the backup, while it is made, behind it, and once it is restored: with the last ones the log is longer
/// than it was.
const KEPT: std::ops::Range<usize> = 0..5;
const MEANWHILE: std::ops::Range<usize> = 0..3;
const LOST: std::ops::Range<usize> = 0..5;
const NEW: std::ops::Range<usize> = 0..12;

#[test]
#[ignore = "a minute of real processes: make faults-quick"]
fn x25_an_older_copy_is_restored_as_the_manual_says_and_nobody_skips_silently() {
    case("x25", async |run| {
        let settings = vec![("NATTER_DRAIN_GRACE", "5s".to_owned())];
        let shape = Shape { settings, ..Shape::of(2, 3) };
        let mut cluster = Cluster::start(&run.folder, &shape).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        say(&cluster, &owner, &room, "kept", KEPT).await;
        let saved = run.folder.path().join("data/saved");
        back_up(&mut cluster, &owner, &room, &saved).await;
        run.did("the files of a secondary were copied while people wrote");
        let lost = say(&cluster, &owner, &room, "lost", LOST).await;
        let mut readers = readers(&cluster, &owner, &room, &lost).await;
        restore(&mut cluster, &saved).await;
        run.did("they were restored to all three members");
        let new = say(&cluster, &owner, &room, "new", NEW).await;
        if seq(new.last()) <= seq(lost.last()) {
            run.violated(Rule::Own, "the log is not as long as it was: nothing could be skipped");
        }
        for reader in &mut readers {
            reader.comes_back(run, &cluster, &owner).await;
        }
        let last = say(&cluster, &owner, &room, "last", 0..1).await;
        for reader in &mut readers {
            reader.goes_on(run, seq(last.last())).await;
        }
        run.did(format!("{} readers came back", readers.len()));
        unknown(run, &cluster, &owner, &room, &lost[0]).await;
        let replicas = run.replicas(&cluster).await;
        if replicas.windows(2).any(|pair| pair[0].rooms != pair[1].rooms) {
            run.violated(Rule::V3, "members do not hold the same");
        }
    });
}

/// Copies the files of a secondary that has everything and stands still for it, while nodes serve on the two others.
async fn back_up(cluster: &mut Cluster, owner: &Person, room: &str, to: &Path) {
    let secondary = (cluster.mongo().primary().await + 1) % 3;
    // What a member has not yet heard of is not in its files.
    final_log::mongo::read(cluster.mongo()).await;
    cluster.mongo().members[secondary].lock().await;
    say(cluster, owner, room, "meanwhile", MEANWHILE).await;
    cluster.mongo().members[secondary].save(to);
    cluster.mongo().members[secondary].unlock().await;
}

/// One member on the copy, the others on empty folders, which they fill from it; then another epoch, and nodes.
async fn restore(cluster: &mut Cluster, saved: &Path) {
    stop(cluster).await;
    for member in &mut cluster.mongo().members {
        member.kill().await;
    }
    for (number, member) in cluster.mongo().members.iter_mut().enumerate() {
        member.start_on((number == 0).then_some(saved)).await;
    }
    cluster.mongo().primary().await;
    cluster.nodes[0].run(&["migrate"]).await;
    // For 20 s the copy says of nodes that ran when it was made that they may still run.
    let end = Instant::now() + PATIENCE;
    while let Err(told) = cluster.nodes[0].attempt(&["admin", "restored"]).await {
        assert!(told.contains("stop all nodes first") && Instant::now() < end, "{told}");
        tokio::time::sleep(LOOK).await;
    }
    for node in &mut cluster.nodes {
        node.start().await;
    }
}

/// Has the nodes end as they should: one that does not counts as there for a while.
async fn stop(cluster: &mut Cluster) {
    for node in &mut cluster.nodes {
        node.signal(Signal::Term).await;
    }
    for node in &mut cluster.nodes {
        let status = node.ended(PATIENCE).await;
        assert!(status.is_some_and(|status| status.success()), "{} does not end", node.name);
        node.kill().await;
    }
}

fn seq(message: Option<&Value>) -> u64 {
    message.and_then(|message| message["seq"].as_u64()).expect("a stored message has one")
}

fn words(what: &str, number: usize) -> String {
    format!("{what} {number}")
}

/// Says so many things: the messages as they are stored.
async fn say(
    cluster: &Cluster,
    person: &Person,
    room: &str,
    what: &str,
    numbers: std::ops::Range<usize>,
) -> Vec<Value> {
    let auth = json!({"token": person.token, "chat_room_id": room});
    let mut socket = Socket::connect(cluster.first(), auth).await.expect("it is let in");
    let mut stored = Vec::new();
    for number in numbers {
        let payload = json!({"content": words(what, number), "message_type": "text"});
        let answer = socket.ask("chat", &payload).await.expect("an answer");
        assert_eq!(answer["ok"], true, "{answer}");
        stored.push(answer["message"].clone());
    }
    stored
}

/// Somebody who has heard the room to its end.
struct Reader {
    name: String,
    node: usize,
    /// What goes with the token: the room if it is a room socket, and the position.
    auth: Value,
    room: String,
    epoch: String,
    socket: Option<Socket>,
}

/// One of each kind at each node, who have heard all that will be lost.
async fn readers(cluster: &Cluster, owner: &Person, room: &str, lost: &[Value]) -> Vec<Reader> {
    let mut readers = Vec::new();
    for node in 0..cluster.nodes.len() {
        for (kind, auth) in [("session", json!({})), ("room", json!({"chat_room_id": room}))] {
            let name = format!("the {kind} socket at node {}", node + 1);
            let (room, epoch) = (room.to_owned(), String::new());
            let mut reader = Reader { name, node, auth, room, epoch, socket: None };
            reader.connect(cluster, owner).await;
            let first = reader.next(&["joined", "ready"]).await.expect("where the room stands").1;
            let place = if kind == "room" { &first } else { &first["rooms"][0] };
            assert_eq!(place["seq"], seq(lost.last()), "{place}");
            text(&place["epoch"]).clone_into(&mut reader.epoch);
            let after = json!({"seq": place["seq"], "epoch": place["epoch"]});
            reader.auth["after"][&reader.room] = after;
            readers.push(reader);
        }
    }
    readers
}

impl Reader {
    async fn connect(&mut self, cluster: &Cluster, owner: &Person) {
        let mut auth = self.auth.clone();
        auth["token"] = json!(owner.token);
        let socket = Socket::connect(cluster.nodes[self.node].address(), auth).await;
        self.socket = Some(socket.expect("it is let in"));
    }

    /// The next event of one of these names, if it comes.
    async fn next(&mut self, names: &[&str]) -> Option<(String, Value)> {
        let socket = self.socket.as_mut()?;
        let told = async {
            loop {
                match socket.next().await {
                    Told::Event(name, payload) if names.contains(&name.as_str()) => {
                        return Some((name, payload));
                    }
                    Told::Closed | Told::Disconnected => return None,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.ok()?
    }

    /// Resumes where it was, and has to be told first that this is nowhere, and what there is instead.
    async fn comes_back(&mut self, run: &mut Run, cluster: &Cluster, owner: &Person) {
        self.connect(cluster, owner).await;
        let told = self.next(&["resume_truncated", "chat", "member_added"]).await;
        let Some(("resume_truncated", told)) = told.as_ref().map(|(name, told)| (&**name, told))
        else {
            return run.violated(Rule::V4, format!("{} is told {told:?} first", self.name));
        };
        if told["epoch"] == self.epoch.as_str() || told["chat_room_id"] != self.room.as_str() {
            run.violated(Rule::Own, format!("{} has no new epoch: {told}", self.name));
        }
        let messages = told["messages"].as_array().expect("a page");
        let page: Vec<_> = messages.iter().map(|one| text(&one["content"]).to_owned()).collect();
        let kept = KEPT.map(|number| words("kept", number));
        let all: Vec<_> = kept.chain(NEW.map(|number| words("new", number))).collect();
        if page != all {
            run.violated(Rule::V4, format!("{} is told {page:?} instead", self.name));
        }
    }

    /// Hears this next, and nothing before.
    async fn goes_on(&mut self, run: &mut Run, seq: u64) {
        let told = self.next(&["resume_truncated", "chat", "member_added"]).await;
        if !told.as_ref().is_some_and(|(name, told)| name == "chat" && told["seq"] == seq) {
            run.violated(Rule::V4, format!("{} is told {told:?} before {seq}", self.name));
        }
    }
}

/// The id of a message that was lost names nothing, though another stands at its position.
async fn unknown(run: &mut Run, cluster: &Cluster, owner: &Person, room: &str, lost: &Value) {
    let path = format!("/chat-rooms/{room}/messages?before={}", text(&lost["id"]));
    for node in &cluster.nodes {
        let answer = owner.call(&base(node.address()), Method::GET, &path, None).await;
        let answer = answer.expect("an answer");
        if answer.status < 400 || answer.status >= 500 {
            run.violated(Rule::Own, format!("{} pages from a lost message", node.name));
        }
    }
}
