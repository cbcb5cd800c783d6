//! Messages over HTTP: sending, retrying, attaching, paging.

use std::collections::HashSet;

use futures::future::join_all;
use natter::config::Limit;
use natter::service::attachments;
use serde_json::{Value, json};

use crate::support::{Person, TestNode};

/// A node, and a room of ann's with bob in it.
struct World {
    node: TestNode,
    ann: Person,
    bob: Person,
    room: String,
}

impl World {
    async fn new() -> Self {
        Self::on(TestNode::start().await).await
    }

    async fn on(node: TestNode) -> Self {
        node.sign_up("chief").await;
        let (ann, bob) = (node.sign_up("ann").await, node.sign_up("bob").await);
        let room = ann.create_room("room").await;
        bob.enter(&room, &ann).await;
        Self { node, ann, bob, room }
    }

    fn path(&self) -> String {
        format!("/chat-rooms/{}/messages", self.room)
    }

    async fn tail(&self) -> u64 {
        let room = self.room.parse().unwrap();
        self.node.app().store.tail(room).await.unwrap().unwrap().seq.0
    }

    /// An upload of `person`'s into the room; its id.
    async fn upload(&self, person: &Person, bytes: &[u8]) -> String {
        let room = self.room.parse().unwrap();
        let user = person.id().parse().unwrap();
        let app = self.node.app();
        let upload = attachments::inline(app, user, room, "a.txt", bytes).await.unwrap();
        upload.attachment.id.to_string()
    }
}

fn ids(page: &[Value]) -> Vec<String> {
    page.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_message_is_stored_and_reads_back() {
    let world = World::new().await;
    let said = world.bob.say(&world.room, "héllo\n\u{1f600}").await;
    let id = said["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "chat_room_id": world.room, "user_id": world.bob.id(), "username": "bob",
        "content": "héllo\n\u{1f600}", "timestamp": said["timestamp"], "message_type": "text",
        "file_name": null, "file_path": null, "seq": 3, "ordinal": 1, "client_id": null,
        "attachment": null,
    });
    assert_eq!(said, expected);
    assert_eq!(world.ann.get(&format!("{}/{id}", world.path())).await.is(200), expected);
    assert_eq!(world.ann.history(&world.room, "").await, [expected]);
}

#[tokio::test]
async fn a_message_that_breaks_rules_stores_nothing() {
    let world = World::new().await;
    let before = world.tail().await;
    for (body, field) in [
        (json!({}), "content"),
        (json!({"content": " \n"}), "content"),
        (json!({"content": "a\0"}), "content"),
        (json!({"content": format!("a{}", "\u{301}".repeat(1_000))}), "content"),
        (json!({"content": {"$gt": ""}}), "content"),
        (json!({"content": "x", "message_type": "video"}), "message_type"),
        (json!({"content": "x", "message_type": "image"}), "file"),
        (json!({"content": "x", "client_id": ""}), "client_id"),
        (json!({"content": "x", "client_id": "~x"}), "client_id"),
        (json!({"content": "x", "client_id": "x".repeat(65)}), "client_id"),
    ] {
        let refused = world.ann.post(&world.path(), body).await.refused(422, "invalid");
        assert_eq!(refused["errors"][0]["field"], field);
    }
    let long = json!({"content": "x".repeat(16 * 1024 + 1)});
    world.ann.post(&world.path(), long).await.refused(413, "too_large");
    let eve = world.node.sign_up("eve").await;
    eve.post(&world.path(), json!({"content": "hi"})).await.refused(403, "forbidden");
    let unknown = "/chat-rooms/000000000000000000000000/messages";
    eve.post(unknown, json!({"content": "hi"})).await.refused(404, "not_found");
    assert_eq!(world.tail().await, before);
}

#[tokio::test]
async fn fifty_who_post_at_once_leave_one_line_without_holes() {
    let world = World::new().await;
    let first = world.tail().await + 1;
    let posting = (0..50).map(|nth| {
        let who = if nth % 2 == 0 { &world.ann } else { &world.bob };
        let path = world.path();
        async move { who.post(&path, json!({"content": format!("{nth}")})).await }
    });
    let answers = join_all(posting).await;
    let mut stored: Vec<Value> = answers.into_iter().map(|answer| answer.is(201)).collect();
    stored.sort_by_key(|message| message["seq"].as_u64());
    let seqs: Vec<u64> = stored.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (first..first + 50).collect::<Vec<_>>());
    assert_eq!(stored.last().unwrap()["ordinal"], 50);
    assert_eq!(world.ann.history(&world.room, "").await, stored);
    assert_eq!(world.bob.history(&world.room, "").await, stored);
}

#[tokio::test]
async fn a_retry_answers_with_the_first_message_also_in_parallel() {
    let world = World::new().await;
    let (path, body) = (world.path(), json!({"content": "once", "client_id": "k"}));
    let answers = join_all((0..10).map(|_| world.ann.post(&path, body.clone()))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    let bodies: Vec<Value> = answers.into_iter().map(|answer| answer.body).collect();
    assert!(bodies.iter().all(|one| *one == bodies[0]), "{bodies:?}");
    assert_eq!(world.ann.words(&world.room, "").await, ["once"]);

    let tail = world.tail().await;
    let other = json!({"content": "another", "client_id": "k"});
    world.ann.post(&world.path(), other).await.refused(409, "client_id_conflict");
    assert_eq!(world.tail().await, tail);
    world.bob.post(&world.path(), body.clone()).await.is(201);
    let room = format!("/chat-rooms/{}/members/me", world.room);
    world.bob.delete(&room).await.is(204);
    world.bob.post(&world.path(), body).await.is(200);
    let new = json!({"content": "new", "client_id": "l"});
    world.bob.post(&world.path(), new).await.refused(403, "forbidden");
}

#[tokio::test]
async fn an_upload_becomes_part_of_one_message_also_when_it_is_sent_again() {
    let world = World::new().await;
    let upload = world.upload(&world.bob, b"some words").await;
    let body = |client_id: &str| json!({"content": "look", "client_id": client_id, "attachment_id": upload});
    world.ann.post(&world.path(), body("k")).await.refused(404, "not_found");
    let first = world.bob.post(&world.path(), body("k")).await.is(201);
    assert_eq!((&first["message_type"], &first["file_name"]), (&json!("file"), &json!("a.txt")));
    assert_eq!(first["attachment"]["id"], json!(upload));
    assert!(first["file_path"].as_str().is_some_and(|path| path.starts_with("/media/")));
    let again = world.bob.post(&world.path(), body("k")).await.is(200);
    assert_eq!((&again["id"], &again["attachment"]["id"]), (&first["id"], &json!(upload)));
    world.bob.post(&world.path(), body("other")).await.refused(409, "conflict");

    let other_words = json!({"content": "other", "client_id": "k", "attachment_id": upload});
    world.bob.post(&world.path(), other_words).await.refused(409, "client_id_conflict");
    let path = format!("{}/{}", world.path(), first["id"].as_str().unwrap());
    assert_eq!(world.ann.get(&path).await.is(200)["attachment"]["id"], json!(upload));
    let same_file = world.upload(&world.bob, b"some words").await;
    let retry = json!({"content": "look", "client_id": "k", "attachment_id": same_file});
    let again = world.bob.post(&world.path(), retry).await.is(200);
    assert_eq!(again["attachment"]["id"], json!(upload), "the first stays");
    let as_text = json!({"content": "x", "message_type": "text", "attachment_id": same_file});
    world.bob.post(&world.path(), as_text).await.refused(422, "invalid");
    for (id, status, code) in
        [("x", 400, "invalid"), ("000000000000000000000000", 404, "not_found")]
    {
        let body = json!({"content": "x", "message_type": "file", "attachment_id": id});
        world.bob.post(&world.path(), body).await.refused(status, code);
    }
}

#[tokio::test]
async fn what_a_refused_message_held_is_free_for_another() {
    let world = World::new().await;
    world.bob.post(&world.path(), json!({"content": "first", "client_id": "k"})).await.is(201);
    let upload = world.upload(&world.bob, b"some words").await;
    let body = |key: &str| json!({"content": "look", "client_id": key, "attachment_id": upload});
    world.bob.post(&world.path(), body("k")).await.refused(409, "client_id_conflict");
    // The upload is given free beside the answer, so it may take a moment.
    let free = async {
        loop {
            let answer = world.bob.post(&world.path(), body("l")).await;
            if answer.status != 409 {
                return answer.is(201);
            }
            tokio::task::yield_now().await;
        }
    };
    let sent = tokio::time::timeout(std::time::Duration::from_secs(10), free).await.unwrap();
    assert_eq!(sent["attachment"]["id"], json!(upload));
}

#[tokio::test]
async fn pages_meet_without_gap_or_repeat_in_both_directions() {
    let world = World::new().await;
    let mut all = Vec::new();
    for nth in 0..12 {
        all.push(world.ann.say(&world.room, &format!("{nth}")).await);
        if nth == 5 {
            let carl = world.node.sign_up("carl").await;
            carl.enter(&world.room, &world.ann).await;
        }
    }
    let all = ids(&all);
    let page = async |query: String| ids(&world.bob.history(&world.room, &query).await);
    assert_eq!(page("limit=5".into()).await, all[7..]);
    assert_eq!(page(format!("before={}&limit=5", all[7])).await, all[2..7]);
    assert_eq!(page(format!("before={}&limit=5", all[0])).await, Vec::<String>::new());
    assert_eq!(page(format!("after={}&limit=5", all[3])).await, all[4..9]);
    assert_eq!(page(format!("after={}", all[11])).await, Vec::<String>::new());
    assert_eq!(page(format!("around={}&limit=5", all[6])).await, all[4..9]);
    assert_eq!(page(format!("around={}&limit=4", all[1])).await, all[..4]);
    assert_eq!(page(format!("around={}&limit=1", all[6])).await, all[6..7]);
    let mut path = format!("{}?limit=5", world.path());
    let mut back: Vec<String> = Vec::new();
    loop {
        let answer = world.bob.get(&path).await;
        let link = answer.header("link").to_owned();
        let page = answer.is(200);
        back.splice(0..0, ids(page.as_array().unwrap()));
        let Some(next) = link.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            break;
        };
        path = next.0.to_owned();
    }
    assert_eq!(back, all);
}

#[tokio::test]
async fn only_a_message_of_the_room_says_where_a_page_begins() {
    let world = World::new().await;
    let here = world.ann.say(&world.room, "here").await["id"].as_str().unwrap().to_owned();
    let other = world.ann.create_room("other").await;
    let elsewhere = world.ann.say(&other, "there").await["id"].as_str().unwrap().to_owned();
    let beyond = format!("{}{:016x}", &here[..32], u64::MAX);
    let another_life = format!("00000000{}", &here[8..]);
    let member_added = format!("{}{:016x}", &here[..32], 1);
    for direction in ["before", "after", "around"] {
        for unknown in [&elsewhere, &beyond, &another_life] {
            let path = format!("{}?{direction}={unknown}", world.path());
            world.ann.get(&path).await.refused(404, "not_found");
        }
        for malformed in ["x", "", &here[..24], &here.to_uppercase(), "%00"] {
            let path = format!("{}?{direction}={malformed}", world.path());
            if malformed != here.as_str() {
                world.ann.get(&path).await.refused(400, "invalid");
            }
        }
    }
    for unknown in [&elsewhere, &beyond, &another_life, &member_added] {
        world.ann.get(&format!("{}/{unknown}", world.path())).await.refused(404, "not_found");
    }
    let two = format!("{}?before={here}&after={here}", world.path());
    world.ann.get(&two).await.refused(422, "invalid");
    for limit in ["0", "501", "-1", "x", "5.5"] {
        let path = format!("{}?limit={limit}", world.path());
        world.ann.get(&path).await.refused(422, "invalid");
    }
}

#[tokio::test]
async fn whoever_comes_in_later_reads_what_was_said_before() {
    let world = World::new().await;
    world.ann.say(&world.room, "before").await;
    let carl = world.node.sign_up("carl").await;
    carl.get(&world.path()).await.refused(403, "forbidden");
    carl.enter(&world.room, &world.ann).await;
    assert_eq!(carl.words(&world.room, "").await, ["before"]);
    assert_eq!(carl.rooms(true).await[0]["unread"], 0);
}

#[tokio::test]
async fn a_flood_is_held_back_and_stores_nothing() {
    let node = TestNode::with(|config| {
        config.limits.messages_per_second = Limit::new(1);
        config.limits.message_burst = Limit::new(3);
    });
    let world = World::on(node.await).await;
    let path = world.path();
    let answers = join_all((0..10).map(|_| world.ann.post(&path, json!({"content": "x"})))).await;
    let statuses: HashSet<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, HashSet::from([201, 429]));
    let limited = answers.into_iter().find(|answer| answer.status == 429).unwrap();
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
    limited.refused(429, "rate_limited");
    let stored = world.ann.history(&world.room, "").await.len();
    assert!((3..10).contains(&stored), "{stored}");
    world.bob.say(&world.room, "others are not held back").await;
}
