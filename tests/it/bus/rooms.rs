//! Live rooms of two nodes over a real server: who hears what, and who is believed.

use natter::bus::codec::Frame;
use natter::bus::seal::Seal;
use natter::bus::{DynBus, Subject};
use natter::domain::{BootId, RoomId, Seq};
use natter::keys::Keys;
use natter::room::Rooms;
use serde_json::{Value, json};

use super::foreign::{Foreign, next};
use super::{connect, link_is};
use crate::live::hall::{Hall, command, post, rooms_over};
use crate::support::nats::NatsServer;

const USERS: &str = "authorization { user: natter, password: s3cr3t }";

/// A hall, and the rooms of two nodes on one server.
struct Stage {
    server: NatsServer,
    hall: Hall,
    here: Rooms,
    there: Rooms,
    /// The bus of the second.
    bus: DynBus,
}

impl Stage {
    async fn new() -> Option<Self> {
        let server = NatsServer::start(USERS).await?;
        let url = server.url("natter:s3cr3t");
        let (one, bus) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
        link_is(&*one, true).await;
        link_is(&*bus, true).await;
        let hall = Hall::new().await;
        let here = rooms_over(&hall.store, &one).await;
        let there = rooms_over(&hall.store, &bus).await;
        Some(Self { server, hall, here, there, bus })
    }

    async fn say(&self, text: &str) -> Seq {
        let change = post(&self.hall.owner, text);
        let said = self.here.commit(self.hall.room, command(&self.hall.owner, change)).await;
        said.unwrap().event.seq
    }

    async fn foreign(&self) -> Foreign {
        Foreign::connect(self.server.port, "natter", "s3cr3t").await.unwrap()
    }
}

#[tokio::test]
async fn what_is_stored_through_one_node_is_told_on_the_other() {
    let Some(stage) = Stage::new().await else { return };
    let (_connection, tape) = stage.hall.listen_on(&stage.there, &stage.hall.owner, 1).await;
    for nth in 0..200 {
        stage.say(&nth.to_string()).await;
    }
    tape.wait_for(201).await;
    let expected: Vec<_> = (0..200).map(|nth| (nth + 2, nth.to_string())).collect();
    assert_eq!(tape.lasting(), expected);
}

#[tokio::test]
async fn anybody_with_an_account_reads_a_room_as_documented_json() {
    let Some(stage) = Stage::new().await else { return };
    let mut foreign = stage.foreign().await;
    let subject = format!("natter.room.{}.events", stage.hall.room);
    let mut heard = foreign.listens(&subject).await;
    let seq = stage.say("hello \u{1f600} \"quoted\"").await;
    let message = next(&mut heard).await;
    assert_eq!(message.subject.as_str(), subject);
    let frame: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(frame["v"], 1);
    assert_eq!(frame["body"]["room"], json!(stage.hall.room));
    let epoch = stage.hall.store.epoch().await.unwrap();
    assert_eq!(frame["body"]["epoch"], json!(epoch));
    let event = &frame["body"]["events"][0];
    assert_eq!(event["seq"], json!(seq));
    assert_eq!(event["sender"], json!(stage.hall.owner.id));
    assert_eq!(event["kind"], "message");
    assert_eq!(event["body"]["text"], "hello \u{1f600} \"quoted\"");
    assert_eq!(event["body"]["username"], "owner");
    assert!(event["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    // How far the log goes is told a little later, for those who lost the last of it.
    let message = next(&mut heard).await;
    let frame: Value = serde_json::from_slice(&message.payload).unwrap();
    let told = json!({"epoch": epoch, "room": stage.hall.room, "tail": seq});
    assert_eq!(frame["body"], told);
}

#[tokio::test]
async fn whoever_has_an_account_and_no_key_is_not_believed() {
    let Some(stage) = Stage::new().await else { return };
    let Stage { hall, .. } = &stage;
    let (_connection, tape) = hall.listen_on(&stage.there, &hall.owner, 1).await;
    let mut foreign = stage.foreign().await;
    let subject = Subject::room_events(hall.room);
    let mut heard = foreign.listens(subject.as_str()).await;
    stage.say("true").await;
    let recorded = next(&mut heard).await.payload;
    tape.wait_for(2).await;

    let theirs = Seal::new(BootId::new(1, 1), Keys::derive(b"another secret", None).bus);
    let epoch = hall.store.epoch().await.unwrap();
    let mut event = (*hall.say(&hall.owner, "also true").await.unwrap().event).clone();
    event.seq = Seq(event.seq.0 + 1);
    let text = String::from_utf8(recorded.to_vec()).unwrap();
    let elsewhere = RoomId::new(1, 1);
    for payload in [
        theirs.seal(&subject, &Frame::new(epoch, hall.room, [&event])).to_vec(),
        theirs.seal(&subject, &Frame::tail(epoch, hall.room, Seq(1000))).to_vec(),
        text.replace("true", "lies").into_bytes(),
        text.replace("\"seq\":2", "\"seq\":3").into_bytes(),
        text.replace(&hall.room.to_string(), &elsewhere.to_string()).into_bytes(),
        json!({"epoch": epoch, "room": hall.room, "events": []}).to_string().into_bytes(),
        recorded.to_vec(),
        b"\xff\xfe{".to_vec(),
        Vec::new(),
    ] {
        foreign.publishes(subject.as_str(), payload).await;
    }
    // What was true elsewhere is not here, and words to users and signals are not believed either.
    for other in [
        Subject::room_events(elsewhere),
        Subject::room_signals(hall.room),
        Subject::user(hall.owner.id),
        Subject::nodes(),
    ] {
        foreign.publishes(other.as_str(), recorded.clone()).await;
        let word = json!("revoked");
        foreign.publishes(other.as_str(), theirs.seal(&other, &word).to_vec()).await;
    }
    let last = stage.say("the end").await;
    tape.wait_for(last.0).await;
    let told: Vec<_> = tape.lasting().into_iter().map(|(_, text)| text).collect();
    assert_eq!(told, ["true", "also true", "the end"]);
    assert!(!tape.disconnected.load(std::sync::atomic::Ordering::SeqCst));
}

/// What the server knows of one connection.
struct Known {
    id: u64,
    subjects: Vec<String>,
    /// Messages that it was sent.
    sent: u64,
}

async fn connections(stage: &Stage) -> Vec<Known> {
    let told = stage.server.told("connz?subs=1").await;
    let known = |one: &Value| {
        let subjects = one["subscriptions_list"].as_array().cloned().unwrap_or_default();
        let subjects = subjects.iter().map(|subject| subject.as_str().unwrap().to_owned());
        let number = |name: &str| one[name].as_u64().unwrap();
        Known { id: number("cid"), subjects: subjects.collect(), sent: number("out_msgs") }
    };
    told["connections"].as_array().unwrap().iter().map(known).collect()
}

#[tokio::test]
async fn a_node_hears_only_the_rooms_that_it_serves() {
    let Some(stage) = Stage::new().await else { return };
    let Stage { hall, there, .. } = &stage;
    // One room is served on the second node, the other is written in through the first alone.
    let served = hall.room;
    let other = hall.another_room().await;
    let (_connection, tape) = hall.listen_on(there, &hall.owner, 1).await;
    let events = Subject::room_events(served).to_string();
    let before = connections(&stage).await;
    let mut second = before.into_iter().filter(|one| one.subjects.contains(&events));
    let before = second.next().unwrap();
    let mut of_rooms = before.subjects.iter().filter(|subject| subject.contains(".room."));
    assert!(of_rooms.all(|subject| subject.contains(&served.to_string())), "{:?}", before.subjects);
    for nth in 0..300 {
        let change = post(&hall.owner, &nth.to_string());
        stage.here.commit(other, command(&hall.owner, change)).await.unwrap();
    }
    let last = stage.say("for those who are there").await;
    tape.wait_for(last.0).await;
    let after = connections(&stage).await.into_iter().find(|one| one.id == before.id).unwrap();
    assert!(after.subjects.iter().all(|subject| !subject.contains(&other.to_string())));
    // One frame, perhaps with an echo, and what the node has told itself.
    let sent = after.sent - before.sent;
    assert!((1..50).contains(&sent), "{sent} messages, of which one was for it");
}

#[tokio::test]
async fn a_bus_that_is_away_loses_nobody_a_message() {
    let Some(mut stage) = Stage::new().await else { return };
    let (_connection, tape) = stage.hall.listen_on(&stage.there, &stage.hall.owner, 1).await;
    stage.say("before").await;
    tape.wait_for(2).await;
    stage.server.kill().await;
    link_is(&*stage.bus, false).await;
    for nth in 0..50 {
        stage.say(&nth.to_string()).await;
    }
    stage.server.again().await;
    // Nothing more is said: the tail is told once there is a bus again.
    tape.wait_for(52).await;
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (2..=52).collect::<Vec<_>>());
}
