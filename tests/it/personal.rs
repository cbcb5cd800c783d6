//! A person's data: what they take with them, and what is left of them when it is erased.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use natter::domain::Timestamp;
use natter::jobs::{erasures, media_gc};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::sockets::client::{Socket, Told};
use crate::sockets::enter;
use crate::support::{Answer, Cluster, PASSWORD, Person, TestNode};

/// The longest that anything is waited for.
const SOON: Duration = Duration::from_secs(60);

const FILE: &[u8] = b"a file of bea's";

async fn say(person: &Person, room: &str, message: Value) -> Value {
    person.post(&format!("/chat-rooms/{room}/messages"), message).await.is(201)
}

async fn send_file(person: &Person, room: &str) -> Value {
    let form = Form::new().part("file", Part::bytes(FILE).file_name("beas.bin"));
    let path = format!("/chat-rooms/{room}/attachments");
    let upload = Answer::of(person.request(Method::POST, &path).multipart(form)).await.is(201);
    say(person, room, json!({"content": "look at this", "attachment_id": upload["id"]})).await
}

/// The files of a tar archive, by name.
fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tar");
    std::fs::write(&file, archive).unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xf").arg(&file).arg("-C").arg(folder.path());
    assert!(tar.status().unwrap().success());
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(name, std::fs::read(path).unwrap())),
            }
        }
    }
    found.remove("a.tar");
    found
}

fn lines(content: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(content).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn export(person: &Person, path: &str) -> BTreeMap<String, Vec<u8>> {
    let answer = person.request(Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-tar");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    unpacked(&answer.bytes().await.unwrap())
}

/// A node with an administrator, and two people who have talked.
struct World {
    boss: Person,
    ann: Person,
    bea: Person,
    room: String,
    private: String,
}

impl World {
    async fn on(node: &TestNode) -> Self {
        let boss = node.sign_up("boss").await;
        let (ann, bea) = (node.sign_up("ann").await, node.sign_up("bea").await);
        let room = ann.create_room("lobby").await;
        bea.enter(&room, &ann).await;
        say(&ann, &room, json!({"content": "hello of ann's"})).await;
        say(&bea, &room, json!({"content": "words of hers"})).await;
        send_file(&bea, &room).await;
        // A room that she was sent away from without a word, and one that she left.
        let silent = ann.create_room("silent").await;
        bea.enter(&silent, &ann).await;
        let path = format!("/chat-rooms/{silent}/members/{}", bea.id());
        ann.delete(&path).await.is(204);
        let pair = ann.post("/pv-chat-room", json!({"addressed_users_id": bea.id()})).await.is(200);
        let private = pair["chat_room"]["id"].as_str().unwrap().to_owned();
        say(&bea, &private, json!({"content": "private words of hers"})).await;
        Self { boss, ann, bea, room, private }
    }
}

#[tokio::test]
async fn a_person_takes_their_own_data_and_an_administrator_anybodys() {
    let node = TestNode::start().await;
    let World { boss, ann, bea, room, .. } = World::on(&node).await;
    let own = export(&bea, "/users/me/export").await;
    let of_admin = export(&boss, &format!("/admin/users/{}/export", bea.id())).await;
    let names: Vec<_> = own.keys().collect();
    assert_eq!(names, of_admin.keys().collect::<Vec<_>>());
    let account = &lines(&own["account.json"])[0];
    assert_eq!(
        (&account["username"], &account["email"]),
        (&json!("bea"), &json!("bea@example.org"))
    );
    let said: Vec<Value> = own
        .iter()
        .filter(|(name, _)| name.starts_with("messages/"))
        .flat_map(|(_, content)| lines(content))
        .collect();
    let words: Vec<&str> = said.iter().map(|line| line["content"].as_str().unwrap()).collect();
    assert_eq!(words, ["words of hers", "look at this", "private words of hers"]);
    let file = said[1]["attachment"]["file"].as_str().unwrap();
    assert_eq!(own[file], FILE);
    let rooms = lines(&own["rooms.ndjson"]);
    assert!(rooms.iter().any(|one| one["id"] == json!(room)) && rooms.len() == 2, "{rooms:?}");
    for (name, content) in &own {
        let text = String::from_utf8_lossy(content);
        assert!(!text.contains("$2") && !text.contains("hello of ann's"), "{name}: {text}");
    }
    ann.get(&format!("/admin/users/{}/export", bea.id())).await.refused(403, "forbidden");
    boss.get(&format!("/admin/users/{}/export", "0".repeat(24))).await.refused(404, "not_found");
}

/// Erases until there is nothing left to be done.
async fn erase(node: &TestNode) {
    erasures::run_once(node.app()).await.unwrap();
    assert!(node.app().store.erasures(1).await.unwrap().is_empty());
}

/// Whatever the others can see of a room: its list, its members, its history, a replay from the beginning.
async fn seen(node: &TestNode, by: &Person, room: &str) -> String {
    let mut all = String::new();
    for path in ["", "/messages", "/members"] {
        let path = if path.is_empty() {
            format!("/chat-room/{room}")
        } else {
            format!("/chat-rooms/{room}{path}")
        };
        all += &by.get(&path).await.is(200).to_string();
    }
    for is_group in [true, false] {
        let list = by.post("/user/submitted-chat-rooms", json!({"is_group": is_group})).await;
        all += &list.is(200).to_string();
    }
    let (socket, joined) = enter(node, by, room).await;
    socket.close().await;
    let after = json!({room: {"seq": 0, "epoch": joined["epoch"]}});
    let auth = json!({"token": by.token, "chat_room_id": room, "after": after});
    let mut socket = Socket::connect(node.addr(), auth).await;
    let tail = joined["seq"].as_u64().unwrap();
    loop {
        if let Told::Event(name, payload) = socket.next().await {
            all += &format!("{name} {payload}");
            if payload["seq"] == json!(tail) && name != "joined" {
                return all;
            }
        }
    }
}

#[tokio::test]
async fn of_a_person_who_is_erased_nothing_is_left_but_places() {
    let node = TestNode::start().await;
    let World { boss, ann, bea, room, private } = World::on(&node).await;
    let (mut live, _) = enter(&node, &ann, &room).await;
    let path = format!("/admin/users/{}/erasure", bea.id());
    let begun = boss.post(&path, json!({})).await.is(202);
    assert_eq!(begun, json!({"id": bea.id(), "keep_messages": false}));
    bea.get("/users/me").await.refused(401, "unauthorized");
    erase(&node).await;
    let told = live.event("member_removed").await;
    assert_eq!(told["reason"], "account_deleted");
    for room in [&room, &private] {
        let seen = seen(&node, &ann, room).await;
        for trace in ["bea", "words of hers", "look at this"] {
            assert!(!seen.contains(trace), "{trace}: {seen}");
        }
    }
    let kept = ann.get(&format!("/chat-rooms/{room}/messages")).await.is(200);
    assert_eq!(kept.as_array().unwrap().len(), 1, "the others' words stay: {kept}");
    let removed = media_gc::run_once(node.app(), Timestamp::now()).await.unwrap();
    assert_eq!(removed.uploads, 1);
    // The name is free, and whoever gets it is somebody else. Again changes nothing.
    node.sign_up("bea").await;
    boss.post(&path, json!({})).await.is(202);
    erase(&node).await;
    boss.post(&format!("/admin/users/{}/erasure", "0".repeat(24)), json!({}))
        .await
        .refused(404, "not_found");
    boss.post(&format!("/admin/users/{}/erasure", boss.id()), json!({}))
        .await
        .refused(409, "last_admin");
    let next = say(&ann, &room, json!({"content": "goes on"})).await;
    assert_eq!(next["ordinal"], 4, "positions are as they were");
}

#[tokio::test]
async fn messages_may_stay_without_their_authors_name() {
    let node = TestNode::start().await;
    let World { boss, ann, bea, room, private } = World::on(&node).await;
    let path = format!("/admin/users/{}/erasure", bea.id());
    boss.post(&path, json!({"keep_messages": true})).await.is(202);
    erase(&node).await;
    let seen = seen(&node, &ann, &room).await;
    assert!(seen.contains("words of hers") && !seen.contains("\"bea\""), "{seen}");
    assert!(!seen.contains("bea@example.org"), "{seen}");
    let kept = ann.get(&format!("/chat-rooms/{room}/messages")).await.is(200);
    let names: Vec<&Value> = kept.as_array().unwrap().iter().map(|one| &one["username"]).collect();
    assert_eq!(names, ["ann", "(deleted)", "(deleted)"]);
    let link = kept[2]["file_path"].as_str().unwrap();
    let loaded = ann.request(Method::GET, link).send().await.unwrap();
    assert_eq!(loaded.bytes().await.unwrap(), FILE);
    assert_eq!(ann.get(&format!("/chat-room/{private}")).await.is(200)["name"], "(deleted), ann");
}

#[tokio::test]
async fn an_erasure_that_stopped_in_the_middle_is_ended_by_another_node_and_all_forget() {
    let cluster = Cluster::start(2).await;
    let (one, two) = (cluster.node(0), cluster.node(1));
    let World { boss, bea, room, .. } = World::on(one).await;
    let ann = two.sign_in("ann", PASSWORD).await;
    // What was said is in the memory of the other node.
    let (mut live, _) = enter(two, &ann, &room).await;
    let said = say(
        &Person::with_token(one.url(), bea.token.as_deref().unwrap()),
        &room,
        json!({"content": "words of hers"}),
    )
    .await;
    while live.event("chat").await["seq"] != said["seq"] {}
    boss.post(&format!("/admin/users/{}/erasure", bea.id()), json!({})).await.is(202);
    // The one stops here; the other takes it up.
    erase(two).await;
    let forgotten = async {
        loop {
            let seen = seen(two, &ann, &room).await;
            if !seen.contains("words of hers") {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, forgotten).await.expect("it is forgotten");
}

#[tokio::test]
async fn the_commands_write_an_archive_and_begin_an_erasure() {
    let folder = tempfile::tempdir().unwrap();
    let node = TestNode::with(|config| config.data_dir = folder.path().join("data")).await;
    let World { bea, room, ann, .. } = World::on(&node).await;
    let natter = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_natter"));
        command.args(arguments).args(["--data-dir", "data"]).env_clear();
        let output = command.current_dir(folder.path()).output();
        let output = tokio::time::timeout(SOON, output).await.unwrap().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), told)
    };
    let (code, told) = natter(&["admin", "export-user", "bea", "bea.tar"]).await;
    assert_eq!(code, Some(0), "{told}");
    let file = folder.path().join("bea.tar");
    assert_eq!(mode(&file), 0o600);
    assert!(unpacked(&std::fs::read(&file).unwrap()).contains_key("account.json"));
    let (code, told) = natter(&["admin", "export-user", "bea", "bea.tar"]).await;
    assert!(
        code == Some(1) && told.contains("there already") && told.lines().count() == 1,
        "{told}"
    );
    let (code, told) = natter(&["admin", "erase-user", "bea"]).await;
    assert!(code == Some(0) && told.contains(bea.id()), "{told}");
    let (code, told) = natter(&["admin", "erase-user", "bea"]).await;
    assert!(code == Some(1) && told.contains("not found"), "{told}");
    let erased = async { while seen(&node, &ann, &room).await.contains("words of hers") {} };
    tokio::time::timeout(SOON, erased).await.expect("the node beside does the rest");
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
