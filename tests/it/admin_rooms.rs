//! Administration of rooms, memberships, join requests and messages.

use serde_json::{Value, json};

use crate::support::{Answer, Person, TestNode};

const NOBODY: &str = "000000000000000000000000";

/// A node, a room of ann's with bob in it, their private room, and chief, who administers.
struct World {
    node: TestNode,
    chief: Person,
    ann: Person,
    bob: Person,
    room: String,
    pair: String,
    /// The id of bob's membership of the room.
    session: String,
}

impl World {
    async fn new() -> Self {
        let node = TestNode::start().await;
        let chief = node.sign_up("chief").await;
        let (ann, bob) = (node.sign_up("ann").await, node.sign_up("bob").await);
        let room = ann.create_room("room").await;
        let session = bob.enter(&room, &ann).await;
        let pair = ann.private_room(&bob).await;
        Self { node, chief, ann, bob, room, pair, session }
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn only_administrators_get_in_whatever_they_ask() {
    let world = World::new().await;
    for (method, path) in [
        ("GET", "/admin/chat-rooms"),
        ("POST", "/admin/chat-rooms"),
        ("GET", "/admin/chat-rooms/x"),
        ("PATCH", "/admin/chat-rooms/x"),
        ("DELETE", "/admin/chat-rooms/x"),
        ("GET", "/admin/chat-rooms/private/x"),
        ("GET", "/admin/join-requests?limit=x"),
        ("GET", "/admin/join-requests/x"),
        ("DELETE", "/admin/join-requests/x"),
        ("GET", "/admin/chat-room-sessions"),
        ("GET", "/admin/chat-room-sessions/x"),
        ("DELETE", "/admin/chat-room-sessions/x"),
        ("GET", "/admin/messages?limit=x"),
        ("DELETE", "/admin/clear_messages"),
    ] {
        let ask = |person: &Person| person.request(method.parse().unwrap(), path);
        Answer::of(ask(&world.ann)).await.refused(403, "forbidden");
        Answer::of(ask(&world.node.anonymous())).await.refused(401, "unauthorized");
        if path.ends_with("/x") && method != "PATCH" {
            Answer::of(ask(&world.chief)).await.refused(400, "invalid");
            let path = path.replace("/x", &format!("/{NOBODY}"));
            let unknown = world.chief.request(method.parse().unwrap(), &path);
            Answer::of(unknown).await.refused(404, "not_found");
        }
    }
}

#[tokio::test]
async fn rooms_are_listed_by_kind_and_found() {
    let world = World::new().await;
    let (chief, room, pair) = (&world.chief, &world.room, &world.pair);
    let list = async |query: &str| chief.get(&format!("/admin/chat-rooms{query}")).await.is(200);
    assert_eq!(ids(&list("").await), [room, pair]);
    assert_eq!(ids(&list("?is_group=true").await), [room]);
    assert_eq!(ids(&list("?is_group=false").await), [pair]);
    assert_eq!(ids(&list(&format!("?after={room}")).await), [pair]);
    assert_eq!(ids(&list("?skip=1").await), [pair]);
    for any in [room, pair] {
        let found = chief.get(&format!("/admin/chat-rooms/{any}")).await.is(200);
        assert_eq!(found["id"], json!(any));
    }
    let private = |id: &str| format!("/admin/chat-rooms/private/{id}");
    assert_eq!(chief.get(&private(pair)).await.is(200)["is_group"], false);
    chief.get(&private(room)).await.refused(404, "not_found");
    chief.get("/admin/chat-rooms?is_group=maybe").await.refused(422, "invalid");
}

#[tokio::test]
async fn a_room_is_made_for_oneself_or_somebody() {
    let world = World::new().await;
    let make = async |query: &str, body: Value| {
        world.chief.post(&format!("/admin/chat-rooms{query}"), body).await
    };
    let own = make("?is_group=true", json!({"name": "own"})).await.is(200);
    assert_eq!((&own["name"], &own["owner"]["id"]), (&json!("own"), &world.chief.user["id"]));
    let anns = make("", json!({"name": "hers", "owner_id": world.ann.id()})).await.is(200);
    assert!(world.ann.room_ids(true).await.contains(&anns["id"].as_str().unwrap().to_owned()));
    let pair = json!({"owner_id": world.bob.id(), "addressed_users_id": world.ann.id()});
    assert_eq!(make("?is_group=false", pair).await.is(200)["id"], json!(world.pair));
    make("?is_group=false", json!({"name": "x"})).await.refused(422, "invalid");
    make("", json!({})).await.refused(422, "invalid");
    make("", json!({"name": "x", "owner_id": NOBODY})).await.refused(404, "not_found");
    make("", json!({"name": "x", "owner_id": "x"})).await.refused(400, "invalid");
}

#[tokio::test]
async fn a_room_gets_another_name_and_owner_and_its_members_are_told() {
    let world = World::new().await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    let path = format!("/admin/chat-rooms/{}", world.room);
    let change = async |body: Value| world.chief.patch(&path, body).await;
    let body = json!({"name": "renamed", "owner_id": world.bob.id()});
    let changed = change(body).await.is(200);
    assert_eq!(
        (&changed["name"], &changed["owner"]["username"]),
        (&json!("renamed"), &json!("bob"))
    );
    let told = bob_hears.hears("room_updated").await;
    assert_eq!((&told["name"], &told["owner"]["id"]), (&json!("renamed"), &world.bob.user["id"]));
    let deleting = format!("/delete-chat-room?chat_room_id={}", world.room);
    world.ann.delete(&deleting).await.refused(403, "forbidden");
    let tail = told["seq"].clone();
    assert_eq!(change(json!({})).await.is(200), changed, "nothing asked, nothing changed");
    assert_eq!(world.bob.rooms(true).await[0]["seq"], tail);
    assert_eq!(change(json!({"name": "again"})).await.is(200)["owner"]["username"], "bob");
    change(json!({"name": ""})).await.refused(422, "invalid");
    change(json!({"owner_id": world.chief.id()})).await.refused(422, "invalid");
    change(json!({"owner_id": NOBODY})).await.refused(404, "not_found");
    let of_pair = format!("/admin/chat-rooms/{}", world.pair);
    world.chief.patch(&of_pair, json!({"name": "x"})).await.refused(409, "conflict");
    let unknown = format!("/admin/chat-rooms/{NOBODY}");
    world.chief.patch(&unknown, json!({"name": "x"})).await.refused(404, "not_found");
}

#[tokio::test]
async fn any_room_is_deleted_and_a_pair_may_begin_anew() {
    let world = World::new().await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    for room in [&world.room, &world.pair] {
        let path = format!("/admin/chat-rooms/{room}");
        world.chief.delete(&path).await.is(204);
        world.chief.delete(&path).await.refused(404, "not_found");
        world.ann.get(&format!("/chat-room/{room}")).await.refused(404, "not_found");
    }
    bob_hears.hears("room_deleted").await;
    assert_ne!(world.bob.private_room(&world.ann).await, world.pair);
}

#[tokio::test]
async fn join_requests_are_listed_and_deleted() {
    let world = World::new().await;
    let eve = world.node.sign_up("eve").await;
    let request = eve.ask(&world.room).await;
    let list = world.chief.get("/admin/join-requests").await.is(200);
    assert_eq!(ids(&list).last(), Some(&request.as_str()));
    let path = format!("/admin/join-requests/{request}");
    assert_eq!(world.chief.get(&path).await.is(200)["user"]["username"], "eve");
    world.chief.delete(&path).await.is(204);
    world.chief.get(&path).await.refused(404, "not_found");
    world.chief.delete(&path).await.refused(404, "not_found");
    world.ann.answer(&request, true).await.refused(404, "not_found");
    eve.ask(&world.room).await;
}

#[tokio::test]
async fn memberships_are_listed_and_ended_but_an_owners() {
    let world = World::new().await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    let list = world.chief.get("/admin/chat-room-sessions?limit=500").await.is(200);
    assert_eq!(ids(&list).len(), 4);
    let path = |id: &str| format!("/admin/chat-room-sessions/{id}");
    let found = world.chief.get(&path(&world.session)).await.is(200);
    assert_eq!(
        (&found["user"]["username"], &found["chat_room"]["id"]),
        (&json!("bob"), &json!(world.room))
    );
    world.chief.delete(&path(&world.session)).await.is(204);
    world.chief.delete(&path(&world.session)).await.refused(404, "not_found");
    assert_eq!(bob_hears.hears("member_removed").await["reason"], "removed");
    let messages = format!("/chat-rooms/{}/messages", world.room);
    world.bob.get(&messages).await.refused(403, "forbidden");

    let of = |room: &str, person: &Person| {
        let sessions = list.as_array().unwrap().iter();
        let mut mine = sessions.filter(|one| one["user"]["id"] == person.user["id"]);
        mine.find(|one| one["chat_room"]["id"] == room).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let owner = of(&world.room, &world.ann);
    world.chief.delete(&path(&owner)).await.refused(409, "conflict");
    world.chief.delete(&path(&of(&world.pair, &world.bob))).await.is(204);
    world.bob.get(&format!("/chat-room/{}", world.pair)).await.refused(404, "not_found");
    assert_eq!(world.ann.private_room(&world.bob).await, world.pair, "they meet where they met");
    world.bob.get(&format!("/chat-room/{}", world.pair)).await.is(200);
}

#[tokio::test]
async fn messages_of_all_rooms_are_listed_newest_first() {
    let world = World::new().await;
    for nth in 0..5 {
        let room = if nth % 2 == 0 { &world.room } else { &world.pair };
        world.ann.say(room, &format!("{nth}")).await;
    }
    let page = async |query: &str| {
        let answer = world.chief.get(&format!("/admin/messages{query}")).await;
        let link = answer.header("link").to_owned();
        let page = answer.is(200);
        let words = page.as_array().unwrap().iter().map(|one| one["content"].clone());
        (words.collect::<Vec<_>>(), link)
    };
    assert_eq!(
        page("").await,
        (["4", "3", "2", "1", "0"].map(Value::from).to_vec(), String::new())
    );
    let (words, link) = page("?limit=2&skip=1").await;
    assert_eq!(words, ["3", "2"]);
    assert_eq!(link, "</admin/messages?limit=2&skip=3>; rel=\"next\"");
    for query in ["limit=0", "skip=-1", "limit=x"] {
        world.chief.get(&format!("/admin/messages?{query}")).await.refused(422, "invalid");
    }
}

#[tokio::test]
async fn clearing_leaves_no_message_and_every_position() {
    let world = World::new().await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    let empty = world.chief.create_room("empty").await;
    let body = json!({"content": "gone soon", "client_id": "k"});
    let path = format!("/chat-rooms/{}/messages", world.room);
    let said = world.ann.post(&path, body.clone()).await.is(201);
    world.ann.say(&world.pair, "this too").await;
    world.chief.delete("/admin/clear_messages").await.is(204);
    assert_eq!(world.chief.get("/admin/messages").await.is(200), json!([]));
    assert_eq!(world.bob.words(&world.room, "").await, Vec::<String>::new());
    let gone = format!("{path}/{}", said["id"].as_str().unwrap());
    world.ann.get(&gone).await.refused(404, "not_found");
    let cleared = bob_hears.hears("messages_cleared").await;
    assert_eq!(cleared["through"], said["seq"]);
    let after = world.ann.say(&world.room, "after").await;
    assert_eq!(after["seq"].as_u64(), cleared["seq"].as_u64().map(|seq| seq + 1));
    assert_eq!(world.bob.words(&world.room, "").await, ["after"]);
    assert_eq!(world.bob.rooms(true).await[0]["last_message"]["content"], "after");
    world.ann.post(&path, body).await.refused(404, "not_found");
    assert_eq!(world.chief.rooms(true).await[0]["seq"], 1, "{empty}: nothing there to clear");
}
