//! X31: the embedded store is killed in the middle of writing, 200 times. Nothing that was acknowledged is lost,
//! nothing is there twice, and the file is sound.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use natter::domain::membership::ReadMarker;
use natter::domain::{Body, Page, Room, RoomId, Seq, User};
use natter::store::embedded::{Embedded, Options};
use natter::store::{Appended, LogStore, MembershipStore, RoomStore, Store, UserStore};

use crate::store::embedded;
use crate::store::world::{Pen, group, message, user, whole_log};

/// Where the child finds its store.
const FOLDER: &str = "NATTER_TEST_X31_FOLDER";
/// Kills on one file, one after the other; the next file begins from nothing.
const KILLS: usize = 20;
const FILES: usize = 10;
const ROOMS: usize = 3;

#[tokio::test]
async fn killed_200_times_while_writing_it_loses_nothing_that_was_acked() {
    let mut acked = 0;
    for _ in 0..FILES {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path()).await;
        for _ in 0..KILLS {
            let acks = write_until_killed(folder.path(), rand::random_range(0..40));
            verify(folder.path(), &acks).await;
            acked += acks.len();
        }
    }
    // Otherwise nothing was in flight when it was killed.
    assert!(acked > FILES * KILLS, "only {acked} appends were acknowledged");
}

async fn prepare(folder: &Path) {
    let store = embedded(folder).await;
    let ann = user(&store, "ann").await;
    for _ in 0..ROOMS {
        group(&store, &ann, &[]).await;
    }
    store.close().await;
}

/// Starts a process that writes, kills it after `after` acknowledgements, and tells all that it gave.
fn write_until_killed(folder: &Path, after: usize) -> Vec<(RoomId, Seq)> {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "x31_crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acks = Vec::new();
    while acks.len() < after {
        let line = lines.next().expect("it writes until it is killed").unwrap();
        acks.extend(acknowledgement(&line));
    }
    child.kill().unwrap();
    // What is in the pipe was acknowledged before it died.
    acks.extend(lines.map_while(Result::ok).filter_map(|line| acknowledgement(&line)));
    child.wait().unwrap();
    acks
}

fn acknowledgement(line: &str) -> Option<(RoomId, Seq)> {
    let (room, seq) = line.strip_prefix("acked ")?.split_once(' ')?;
    // A line that was cut off acknowledges nothing.
    let seq = seq.strip_suffix(".")?;
    Some((room.parse().ok()?, Seq(seq.parse().ok()?)))
}

async fn verify(folder: &Path, acks: &[(RoomId, Seq)]) {
    let store = embedded(folder).await;
    let mut last_acked = BTreeMap::new();
    for (room, seq) in acks {
        let last: &mut Seq = last_acked.entry(*room).or_default();
        *last = (*last).max(*seq);
    }
    for room in store.rooms(None, Page::first(10)).await.unwrap() {
        let log = whole_log(&store, room.id, 500).await;
        let mut keys = HashSet::new();
        let mut ordinal = 0;
        for (expected, event) in (1..).zip(&log) {
            ordinal += u64::from(event.body.is_message());
            assert_eq!((event.seq.0, event.ordinal), (expected, ordinal), "a hole or a double");
            assert!(event.client_id.as_ref().is_none_or(|key| keys.insert(key.clone())));
        }
        let tail = store.tail(room.id).await.unwrap().unwrap();
        let last = log.last().unwrap();
        assert_eq!((tail.seq, tail.ordinal), (last.seq, last.ordinal));
        let acked = last_acked.get(&room.id).copied().unwrap_or_default();
        assert!(acked <= tail.seq, "{acked} was acknowledged, the log ends at {}", tail.seq);
        derived(&store, &room, tail.seq).await;
    }
    store.close().await;
    sound(&folder.join("natter.db"));
}

/// What is derived from the log is neither ahead of it nor behind.
async fn derived(store: &Embedded, room: &Room, tail: Seq) {
    let end = store.event(room.id, tail).await.unwrap().unwrap();
    assert_eq!(room.last_activity, end.timestamp);
    let read = store.membership(room.id, room.owner.id).await.unwrap().unwrap().read;
    assert_eq!(store.ordinal(room.id, read.seq).await.unwrap(), read.ordinal);
}

fn sound(file: &Path) {
    let conn = rusqlite::Connection::open(file).unwrap();
    let integrity: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    let mut orphans = conn.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!orphans.exists([]).unwrap());
}

#[tokio::test]
#[ignore = "the process that the test above starts and kills"]
async fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let path = Path::new(&folder).join("natter.db");
    let store = Embedded::open(path, Options::default()).await.unwrap();
    let ann = store.user_by_login("ann").await.unwrap().unwrap().0;
    let rooms = store.rooms(None, Page::first(10)).await.unwrap();
    futures::future::join_all(rooms.iter().map(|room| write(&store, room.id, &ann))).await;
}

/// Appends to `room` without end: batches of messages, some of which go again.
async fn write(store: &Embedded, room: RoomId, ann: &User) {
    let mut pen = Pen::at_tail(store, room).await;
    loop {
        let mut events = Vec::new();
        for _ in 0..rand::random_range(1..8) {
            let text = "x".repeat(rand::random_range(1..2_000));
            let mut event = pen.event(ann, message(ann, &text));
            // Every process counts from the beginning, so keys are made of the position.
            event.client_id = Some(natter::domain::ClientId::stored(event.seq.to_string()));
            events.push(event);
        }
        match rand::random_range(0..10) {
            0 => {
                let through = Seq(pen.tail.seq.0.saturating_sub(20));
                events.push(pen.event(ann, Body::Cleared { through }));
            }
            1 => events.push(pen.event(ann, Body::Deleted { target: events[0].seq })),
            _ => {}
        }
        let appended = store.append(&events).await;
        assert!(matches!(appended, Appended::All), "{appended:?}");
        println!("acked {room} {}.", pen.tail.seq);
        let read = ReadMarker { seq: pen.tail.seq, ordinal: pen.tail.ordinal };
        store.mark_read(room, ann.id, read).await.unwrap();
    }
}
