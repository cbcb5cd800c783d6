//! Backups of the embedded store and its files: taken from a node at work, damaged, put back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use natter::backup::{self, BackupError, Taken};
use natter::config::{Config, Limit};
use natter::node::{Node, bind};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::sockets::client::Socket;
use crate::support::{Answer, Person, TestNode, config_of};

/// The longest that anything is waited for.
const SOON: Duration = Duration::from_secs(60);

const FILE: &[u8] = b"no picture, only bytes";

fn config(folder: &Path) -> Config {
    let mut config = config_of(folder);
    config.limits.messages_per_second = Limit::OFF;
    config.drain_grace = Duration::from_secs(2);
    config
}

async fn start(folder: &Path) -> TestNode {
    let config = config(folder);
    let socket = bind(&config).unwrap();
    TestNode::of(Node::start(config, socket).await.unwrap())
}

async fn stop(node: TestNode) {
    let hurry = CancellationToken::new();
    hurry.cancel();
    node.into_node().drain(&hurry).await;
}

async fn take(folder: &Path, target: &Path, with_secret: bool) -> Result<Taken, BackupError> {
    let (config, target) = (config(folder), target.to_owned());
    let taking = tokio::task::spawn_blocking(move || backup::take(&config, &target, with_secret));
    tokio::time::timeout(SOON, taking).await.unwrap().unwrap()
}

async fn post(person: &Person, room: &str, message: Value) -> Value {
    person.post(&format!("/chat-rooms/{room}/messages"), message).await.is(201)
}

/// A message with a file.
async fn post_file(person: &Person, room: &str) -> Value {
    let form = Form::new().part("file", Part::bytes(FILE).file_name("note.bin"));
    let path = format!("/chat-rooms/{room}/attachments");
    let upload = Answer::of(person.request(Method::POST, &path).multipart(form)).await.is(201);
    post(person, room, json!({"content": "a file", "attachment_id": upload["id"]})).await
}

/// Everything below a folder: what each file holds.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    found
}

/// Every message of a room, oldest first.
async fn history(person: &Person, room: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let before = all
            .first()
            .map_or(String::new(), |first| format!("&before={}", first["id"].as_str().unwrap()));
        let path = format!("/chat-rooms/{room}/messages?limit=500{before}");
        let page = person.get(&path).await.is(200);
        let page = page.as_array().unwrap();
        if page.is_empty() {
            return all;
        }
        all.splice(0..0, page.iter().cloned());
    }
}

/// Posts as fast as it is answered until it is told to stop; what was acknowledged goes to `acked`.
async fn write_on(
    person: Person,
    room: String,
    acked: Arc<Mutex<Vec<Value>>>,
    stop: Arc<AtomicBool>,
) {
    let mut nth = 0;
    while !stop.load(Ordering::Relaxed) {
        nth += 1;
        let message = post(&person, &room, json!({"content": format!("message {nth}")})).await;
        acked.lock().unwrap().push(message);
    }
}

async fn until_acked(acked: &Mutex<Vec<Value>>, count: usize) {
    let enough = async {
        while acked.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, enough).await.expect("messages are acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_node_at_work_holds_all_that_was_acked_and_clients_begin_anew() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = after.path().join("backup");
    let node = start(before.path()).await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("lobby").await;
    let with_file = post_file(&ann, &room).await;
    let auth = json!({"token": ann.token, "chat_room_id": room});
    let mut socket = Socket::connect(node.addr(), auth).await;
    let epoch = socket.event("joined").await["epoch"].clone();
    let (acked, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let writer =
                write_on(ann.clone(), room.clone(), Arc::clone(&acked), Arc::clone(&is_over));
            tokio::spawn(writer)
        })
        .collect();
    until_acked(&acked, 100).await;
    let promised = acked.lock().unwrap().clone();
    let taken = take(before.path(), &target, true).await.unwrap();
    assert_eq!((taken.files, taken.missing, taken.has_secret), (1, 0, true));
    // It went on all the while, and is of one moment.
    let during = acked.lock().unwrap().len();
    until_acked(&acked, during + 20).await;
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    stop(node).await;

    let folder = after.path().join("data");
    fs::create_dir(&folder).unwrap();
    let restored = backup::restore(&config(&folder), &target, false).await.unwrap();
    assert_eq!((restored.files, restored.has_secret), (1, true));
    let node = start(&folder).await;
    // The secret came along, so the token still counts.
    let ann = Person::with_token(node.url(), ann.token.as_deref().unwrap());
    let kept = history(&ann, &room).await;
    let seqs: Vec<u64> = kept.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    let whole: Vec<u64> = (2..2 + seqs.len() as u64).collect();
    assert_eq!(seqs, whole, "without a hole behind the first member");
    let texts: BTreeMap<u64, &Value> =
        kept.iter().map(|one| (one["seq"].as_u64().unwrap(), &one["content"])).collect();
    for message in &promised {
        assert_eq!(texts.get(&message["seq"].as_u64().unwrap()), Some(&&message["content"]));
    }
    let path = kept[0]["file_path"].as_str().unwrap();
    assert_eq!(kept[0]["attachment"]["id"], with_file["attachment"]["id"]);
    let loaded = ann.request(Method::GET, path).send().await.unwrap();
    assert_eq!(loaded.bytes().await.unwrap(), FILE);
    // Whoever knows the old epoch is told, though its position is one that this store has too.
    let position = json!({&room: {"seq": 2, "epoch": epoch}});
    let auth = json!({"token": ann.token, "chat_room_id": room, "after": position});
    let mut socket = Socket::connect(node.addr(), auth).await;
    let told = socket.event("resume_truncated").await;
    assert_ne!(told["epoch"], epoch);
    assert_eq!(told["epoch"], json!(restored.epoch.to_string()));
    stop(node).await;
}

/// A data folder with a message and a file, at rest, and a backup of it.
async fn backed_up() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    let node = start(&data).await;
    let ann = node.sign_up("ann").await;
    let room = ann.create_room("lobby").await;
    post_file(&ann, &room).await;
    stop(node).await;
    take(&data, &target, false).await.unwrap();
    (folder, data, target)
}

#[tokio::test]
async fn only_its_owner_reads_a_backup_and_the_secret_is_not_in_it() {
    let (_folder, data, target) = backed_up().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&target), 0o700);
    let secret = fs::read(data.join("secret.key")).unwrap();
    let found = tree(&target);
    for (path, bytes) in &found {
        assert_eq!(mode(path), 0o600, "{path:?}");
        let tells = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!tells, "{path:?} holds the secret");
    }
    let named = |name: &str| found.keys().any(|path| path.ends_with(name));
    assert!(named("natter.db") && named("SHA256SUMS") && named("manifest.json"));
    assert_eq!(found.len(), 4, "and one file: {:?}", found.keys());
    assert!(matches!(
        take(&data, &target, false).await,
        Err(BackupError::TargetExists(path)) if path == target
    ));
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_changes_nothing() {
    let (_folder, data, target) = backed_up().await;
    let before = tree(&data);
    for (path, bytes) in tree(&target) {
        let refused = async |how: &str| {
            let refused = backup::restore(&config(&data), &target, true).await;
            assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{path:?}: {refused:?}");
            assert_eq!(tree(&data), before, "{path:?} {how}");
        };
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        if path.ends_with("manifest.json") {
            // Whatever in it is changed: what is checked is what it promises.
            changed = String::from_utf8(bytes.clone()).unwrap().replace("1", "2").into_bytes();
        }
        fs::write(&path, &changed).unwrap();
        refused("changed").await;
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        if !path.ends_with("manifest.json") {
            refused("shortened").await;
        }
        fs::remove_file(&path).unwrap();
        refused("removed").await;
        fs::write(&path, &bytes).unwrap();
    }
    backup::restore(&config(&data), &target, true).await.unwrap();
}

#[tokio::test]
async fn what_is_there_is_replaced_only_if_told_and_never_under_a_node() {
    let (folder, data, target) = backed_up().await;
    let before = tree(&data);
    let refused = backup::restore(&config(&data), &target, false).await;
    assert!(matches!(refused, Err(BackupError::NotEmpty(_))), "{refused:?}");
    assert_eq!(tree(&data), before);

    let node = start(&data).await;
    let room = node.sign_in("ann", "correct horse battery").await.create_room("later").await;
    let refused = backup::restore(&config(&data), &target, true).await;
    assert!(matches!(refused, Err(BackupError::Store(_))), "{refused:?}");
    stop(node).await;

    let restored = backup::restore(&config(&data), &target, true).await.unwrap();
    assert!(restored.put_aside.iter().all(|path| path.exists()));
    let node = start(&data).await;
    let ann = node.sign_in("ann", "correct horse battery").await;
    ann.get(&format!("/chat-room/{room}")).await.refused(404, "not_found");
    stop(node).await;
    drop(folder);
}

#[tokio::test]
async fn the_commands_tell_in_a_sentence_what_they_did_and_what_is_wrong() {
    let (folder, _data, _target) = backed_up().await;
    let natter = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_natter"));
        command.args(arguments).env_clear().current_dir(folder.path());
        let output = tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), told, String::from_utf8(output.stderr).unwrap())
    };
    let (code, told, _) = natter(&["backup", "fresh", "--data-dir", "data"]).await;
    assert_eq!(code, Some(0));
    assert!(told.starts_with("backed up the store and 1 files"), "{told}");
    let (code, told, _) = natter(&["restore", "fresh", "--data-dir", "other"]).await;
    assert_eq!(code, Some(0));
    assert!(told.contains("clients begin anew"), "{told}");
    let wrong: [(&[&str], i32, &str); 6] = [
        (&["backup", "fresh", "--data-dir", "data"], 1, "fresh is there already"),
        (&["backup", "new", "--data-dir", "nowhere"], 1, "there is no store"),
        // One setting of a cluster does not fit with the others: told as ever.
        (&["backup", "new", "--store", "mongodb://127.0.0.1/natter"], 2, "bus.url"),
        (&["restore", "fresh", "--data-dir", "data"], 1, "--force"),
        (&["restore", "data", "--data-dir", "third"], 1, "no whole backup"),
        (&["restore"], 2, "<FOLDER>"),
    ];
    for (arguments, expected, part) in wrong {
        let (code, _, said) = natter(arguments).await;
        assert_eq!(code, Some(expected), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("new").exists());
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
}
