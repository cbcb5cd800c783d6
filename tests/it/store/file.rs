//! The file of the embedded store: who may open it, and what outlives a node.

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use natter::domain::Body;
use natter::store::embedded::{Embedded, Options};
use natter::store::{Appended, LogStore, Store, StoreError, UserStore};
use rusqlite::Connection;

use super::embedded;
use super::world::{Pen, group, message, user, whole_log};

async fn refusal(path: &Path) -> StoreError {
    let opened = Embedded::open(path, Options::default()).await;
    opened.err().expect("it must not be opened")
}

fn cause(error: &StoreError) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn what_was_answered_is_there_when_the_store_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = embedded(folder.path()).await;
    let ann = user(&store, "ann").await;
    let room = group(&store, &ann, &[]).await;
    Pen::at_tail(&store, room).await.say_often(&ann, 10).await;
    let (epoch, log) = (store.epoch().await.unwrap(), whole_log(&store, room, 100).await);
    store.close().await;

    let store = embedded(folder.path()).await;
    assert_eq!(store.epoch().await.unwrap(), epoch);
    assert_eq!(whole_log(&store, room, 100).await, log);
    assert_eq!(store.user(ann.id).await.unwrap(), Some(ann));
    store.close().await;
}

#[tokio::test]
async fn each_store_has_an_epoch_of_its_own() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (embedded(one.path()).await, embedded(two.path()).await);
    assert_ne!(one.epoch().await.unwrap(), two.epoch().await.unwrap());
}

#[tokio::test]
async fn a_second_node_is_refused_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let store = embedded(folder.path()).await;
    let refused = refusal(&folder.path().join("natter.db")).await;
    assert!(matches!(refused, StoreError::Unavailable(_)));
    assert!(cause(&refused).contains("another process has the store"), "{refused:?}");
    store.check().await.unwrap();
    store.close().await;
    embedded(folder.path()).await.close().await;
}

#[tokio::test]
async fn a_command_opens_the_store_beside_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("natter.db");
    let beside = Options { exclusive: false, ..Options::default() };
    // It makes the file as well, and leaves it free.
    Embedded::open(&path, beside).await.unwrap().close().await;
    let node = embedded(folder.path()).await;
    let command = Embedded::open(&path, beside).await.unwrap();
    let ann = user(&command, "ann").await;
    assert_eq!(node.user(ann.id).await.unwrap(), Some(ann));
    user(&node, "bob").await;
    command.close().await;
    user(&node, "cat").await;
    node.close().await;
}

#[tokio::test]
async fn a_command_leaves_the_format_alone_while_a_node_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("natter.db");
    let node = std::fs::File::create(folder.path().join("natter.db.lock")).unwrap();
    node.lock().unwrap();
    let beside = Options { exclusive: false, ..Options::default() };
    assert!(Embedded::open(&path, beside).await.is_err());
    drop(node);
    Embedded::open(&path, beside).await.unwrap().close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_natter_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    embedded(folder.path()).await.close().await;
    let path = folder.path().join("natter.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute("INSERT INTO migrations (version, applied_at) VALUES (99, 0)", []).unwrap();
    conn.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = refusal(&path).await;
    assert!(matches!(refused, StoreError::Malformed(_)));
    assert!(cause(&refused).contains("written by a newer natter (its format is 99"), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (foreign, text) = (folder.path().join("foreign.db"), folder.path().join("text.db"));
    let conn = Connection::open(&foreign).unwrap();
    conn.execute_batch("CREATE TABLE users (id INTEGER)").unwrap();
    conn.close().unwrap();
    std::fs::write(&text, "not a database. ".repeat(1000)).unwrap();
    for path in [foreign, text] {
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(refusal(&path).await, StoreError::Malformed(_)));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = refusal(&folder.path().join("missing/natter.db")).await;
    assert!(matches!(refused, StoreError::Unavailable(_)));
}

#[tokio::test]
async fn nobody_but_the_owner_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("natter.db");
    // Also where somebody made the file beforehand.
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = embedded(folder.path()).await;
    user(&store, "ann").await;
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["natter.db", "natter.db-shm", "natter.db-wal", "natter.db.lock"]);
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_answers_nothing_and_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = embedded(folder.path()).await;
    let ann = user(&store, "ann").await;
    store.check().await.unwrap();
    store.close().await;
    store.close().await;
    assert!(matches!(store.user(ann.id).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.remove_user(ann.id).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    assert!(!folder.path().join("natter.db-wal").exists(), "the log is folded into the file");
}

#[tokio::test]
async fn a_write_that_waits_too_long_is_given_up_while_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("natter.db");
    let impatient = Options { timeout: Duration::from_millis(300), ..Options::default() };
    let store = Embedded::open(&path, impatient).await.unwrap();
    let ann = user(&store, "ann").await;
    // Somebody with another tool holds the file.
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.user(ann.id).await.unwrap(), Some(ann));
    conn.execute_batch("ROLLBACK").unwrap();
    store.close().await;
}

/// How many messages lie in the file with their text.
fn texts(path: &Path) -> u32 {
    let conn = Connection::open(path).unwrap();
    conn.query_row("SELECT count(*) FROM events WHERE body LIKE '%message %'", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn what_is_cleared_goes_from_the_file_also_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("natter.db");
    let store = embedded(folder.path()).await;
    let ann = user(&store, "ann").await;
    let room = group(&store, &ann, &[]).await;
    let mut pen = Pen::at_tail(&store, room).await;
    pen.say_often(&ann, 5500).await;
    pen.write(&ann, Body::Cleared { through: pen.tail.seq }).await;
    store.close().await;
    let store = embedded(folder.path()).await;
    let gone = async {
        while texts(&path) > 0 {
            store.check().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_decided_by_sending_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("natter.db");
    let impatient = Options { timeout: Duration::from_millis(300), ..Options::default() };
    let store = Embedded::open(&path, impatient).await.unwrap();
    let ann = user(&store, "ann").await;
    let room = group(&store, &ann, &[]).await;
    let mut pen = Pen::at_tail(&store, room).await;
    let events = [pen.event(&ann, message(&ann, "one")), pen.event(&ann, message(&ann, "two"))];
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = store.append(&events).await;
    assert!(matches!(first, Appended::Unknown(_)), "{first:?}");
    conn.execute_batch("ROLLBACK").unwrap();
    let decided = async {
        loop {
            match store.append(&events).await {
                Appended::Unknown(_) => {}
                decided => break decided,
            }
        }
    };
    let decided = tokio::time::timeout(Duration::from_secs(20), decided).await.unwrap();
    // The first attempt came through after all, or the second did; never both.
    assert!(matches!(decided, Appended::All | Appended::PositionTaken { index: 0 }), "{decided:?}");
    assert_eq!(whole_log(&store, room, 10).await[1..], events);
    store.close().await;
}

#[tokio::test]
async fn a_row_that_nobody_wrote_is_told_as_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let store = embedded(folder.path()).await;
    let ann = user(&store, "ann").await;
    let room = group(&store, &ann, &[]).await;
    let conn = Connection::open(folder.path().join("natter.db")).unwrap();
    conn.execute("UPDATE events SET kind = 'surprise'", []).unwrap();
    let read = store.event(room, natter::domain::Seq(1)).await;
    assert!(matches!(read, Err(StoreError::Malformed(_))), "{read:?}");
    store.close().await;
}
