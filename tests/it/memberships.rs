//! Who is in a room: lists, leaving, removing, reading, presence, and the end of an account.

use natter::domain::{Body, Event, Seq};
use natter::jobs::deletions;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Person, TestNode};

/// A node, a room of ann's with bob in it, and eve outside. The first account, `chief`, administers.
struct World {
    node: TestNode,
    chief: Person,
    ann: Person,
    bob: Person,
    eve: Person,
    room: String,
}

impl World {
    async fn new() -> Self {
        let node = TestNode::start().await;
        let chief = node.sign_up("chief").await;
        let (ann, bob) = (node.sign_up("ann").await, node.sign_up("bob").await);
        let eve = node.sign_up("eve").await;
        let room = ann.create_room("room").await;
        bob.enter(&room, &ann).await;
        Self { node, chief, ann, bob, eve, room }
    }

    fn path(&self, rest: &str) -> String {
        format!("/chat-rooms/{}{rest}", self.room)
    }

    async fn members(&self, reader: &Person) -> Vec<(String, String)> {
        let members = reader.get(&self.path("/members")).await.is(200);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members = members.as_array().unwrap();
        members.iter().map(|one| (text(&one["user"]["username"]), text(&one["role"]))).collect()
    }

    async fn delete_account(&self, person: &Person) {
        self.chief.delete(&format!("/admin/users/{}", person.id())).await.is(204);
    }
}

fn pairs(members: &[(&str, &str)]) -> Vec<(String, String)> {
    members.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect()
}

#[tokio::test]
async fn members_see_each_other_the_owner_first_and_outsiders_nobody() {
    let world = World::new().await;
    let aaron = world.node.sign_up("aaron").await;
    aaron.enter(&world.room, &world.ann).await;
    let expected = pairs(&[("ann", "owner"), ("aaron", "member"), ("bob", "member")]);
    assert_eq!(world.members(&world.bob).await, expected);
    world.eve.get(&world.path("/members")).await.refused(403, "forbidden");

    let first = world.bob.get(&world.path("/members?limit=1")).await;
    let next = first.header("link").to_owned();
    let next = next.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    let first = first.is(200);
    let second = world.bob.get(&next).await.is(200);
    assert_eq!(second[0]["user"]["username"], "aaron");
    let by_membership = first[0]["id"].as_str().unwrap();
    let same = world.bob.get(&world.path(&format!("/members?limit=1&after={by_membership}"))).await;
    assert_eq!(same.is(200), second);
}

#[tokio::test]
async fn leaving_and_removing_end_a_membership_and_the_owner_stays() {
    let world = World::new().await;
    let carl = world.node.sign_up("carl").await;
    carl.enter(&world.room, &world.ann).await;
    let (_at_ann, ann_hears) = world.node.connect(&world.ann, Some(&world.room)).await;
    let member = |person: &Person| world.path(&format!("/members/{}", person.id()));
    world.bob.delete(&member(&carl)).await.refused(403, "forbidden");
    world.eve.delete(&member(&carl)).await.refused(403, "forbidden");
    world.ann.delete(&member(&world.eve)).await.refused(404, "not_found");
    world.ann.delete(&member(&world.ann)).await.refused(409, "conflict");
    world.ann.delete(&world.path("/members/me")).await.refused(409, "conflict");
    world.ann.delete(&world.path("/members/x")).await.refused(400, "invalid");
    world.bob.delete(&world.path("/members/me")).await.is(204);
    world.ann.delete(&member(&carl)).await.is(204);
    world.ann.delete(&member(&carl)).await.refused(404, "not_found");
    assert_eq!(world.members(&world.ann).await, pairs(&[("ann", "owner")]));
    for gone in [&world.bob, &carl] {
        gone.get(&world.path("/messages")).await.refused(403, "forbidden");
        gone.delete(&world.path("/members/me")).await.refused(403, "forbidden");
        let say = gone.post(&world.path("/messages"), json!({"content": "still here?"})).await;
        say.refused(403, "forbidden");
    }
    ann_hears.wait("two goings", |tape| tape.told("member_removed").len() == 2).await;
    let reasons = ann_hears.told("member_removed");
    let reasons: Vec<&Value> = reasons.iter().map(|told| &told["reason"]).collect();
    assert_eq!(reasons, ["left", "removed"]);
}

#[tokio::test]
async fn a_read_marker_moves_forward_only_and_is_told_to_oneself_and_the_others() {
    let world = World::new().await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    let (_at_ann, ann_hears) = world.node.connect(&world.ann, Some(&world.room)).await;
    let mut sent = Vec::new();
    for nth in 0..4 {
        let said = world.ann.say(&world.room, &format!("{nth}")).await;
        sent.push(said["seq"].as_u64().unwrap());
    }
    let mark =
        async |seq: u64| world.bob.put(&world.path("/read-marker"), json!({"seq": seq})).await;
    let room = &world.room;
    let expected =
        json!({"chat_room_id": room, "user_id": world.bob.id(), "seq": sent[1], "unread": 2});
    assert_eq!(mark(sent[1]).await.is(200), expected);
    assert_eq!(mark(1).await.is(200), expected, "it never moves back");
    mark(sent[3] + 1).await.refused(422, "invalid");
    assert_eq!(bob_hears.hears("read_marker").await, expected);
    let told = ann_hears.hears("read_marker").await;
    assert_eq!((&told["seq"], told.get("unread")), (&json!(sent[1]), None));
    assert_eq!(world.bob.rooms(true).await[0]["unread"], 2);
    mark(sent[3]).await.is(200);
    bob_hears.wait("the second marker", |tape| tape.told("read_marker").len() == 2).await;
    assert_eq!(world.bob.rooms(true).await[0]["unread"], 0);
    world.eve.put(&world.path("/read-marker"), json!({"seq": 1})).await.refused(403, "forbidden");
}

#[tokio::test]
async fn ones_own_messages_are_read() {
    let world = World::new().await;
    world.ann.say(&world.room, "hello").await;
    assert_eq!(world.bob.rooms(true).await[0]["unread"], 1);
    let own = world.bob.say(&world.room, "hello, ann").await;
    let entry = &world.bob.rooms(true).await[0];
    assert_eq!((&entry["unread"], &entry["read_seq"]), (&json!(0), &own["seq"]));
    assert_eq!(entry["last_message"]["content"], "hello, ann");
    assert_eq!(world.ann.rooms(true).await[0]["unread"], 1);
}

#[tokio::test]
async fn who_types_is_told_to_the_others_and_not_too_often() {
    let world = World::new().await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    let (_at_ann, ann_hears) = world.node.connect(&world.ann, Some(&world.room)).await;
    let typing = async |person: &Person, is_typing: bool| {
        person.post(&world.path("/typing"), json!({"is_typing": is_typing})).await
    };
    for is_typing in [true, true, true, false, false] {
        typing(&world.bob, is_typing).await.is(204);
    }
    typing(&world.eve, true).await.refused(403, "forbidden");
    ann_hears.wait("the end of typing", |tape| tape.told("typing").len() >= 2).await;
    let told = ann_hears.told("typing");
    let expected = |is_typing: bool| {
        json!({"chat_room_id": world.room, "user_id": world.bob.id(), "username": "bob",
               "is_typing": is_typing, "expires_in": 6})
    };
    assert_eq!(told, [expected(true), expected(false)]);
    assert_eq!(bob_hears.told("typing"), Vec::<Value>::new());
    typing(&world.bob, true).await.is(204);
    let body = json!({"is_typing": "yes"});
    world.bob.post(&world.path("/typing"), body).await.refused(422, "invalid");
}

#[tokio::test]
async fn the_online_lists_name_who_is_here_and_who_says_so() {
    let world = World::new().await;
    let pair = world.ann.private_room(&world.bob).await;
    let in_room = format!("/rooms-online-users?chat_room_id={}", world.room);
    assert_eq!(world.ann.get(&in_room).await.is(200), json!([]));
    assert_eq!(world.ann.get("/pv-online-users").await.is(200), json!([]));

    let (connection, _hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    assert_eq!(world.ann.get(&in_room).await.is(200), json!(["bob"]));
    assert_eq!(world.bob.get(&in_room).await.is(200), json!([]), "without the caller");
    assert_eq!(world.ann.get("/pv-online-users").await.is(200), json!(["bob"]));
    let in_pair = format!("/rooms-online-users?chat_room_id={pair}");
    assert_eq!(world.ann.get(&in_pair).await.is(200), json!([]), "presence is of a room");
    world.node.app().rooms.disconnect(&connection);
    assert_eq!(world.ann.get("/pv-online-users").await.is(200), json!([]));

    let (carl, declare) = (world.node.sign_up("carl").await, json!({"is_online": true}));
    carl.enter(&world.room, &world.ann).await;
    carl.put("/user/online-status", declare).await.is(200);
    let online = world.ann.get(&in_room).await.is(200);
    assert!(online.as_array().unwrap().contains(&json!("carl")), "{online}");
    let members = world.ann.get(&world.path("/members")).await.is(200);
    let carls = members.as_array().unwrap().iter().find(|one| one["user"]["username"] == "carl");
    assert_eq!(carls.unwrap()["is_online"], true);
    world.eve.get(&in_room).await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_deleted_owners_room_passes_to_who_has_been_in_it_longest() {
    let world = World::new().await;
    let aaron = world.node.sign_up("aaron").await;
    aaron.enter(&world.room, &world.ann).await;
    let own = world.ann.create_room("nobody else's").await;
    let pair = world.ann.private_room(&world.bob).await;
    let (_at_bob, bob_hears) = world.node.connect(&world.bob, Some(&world.room)).await;
    world.ann.say(&world.room, "farewell").await;
    world.delete_account(&world.ann).await;

    let expected = pairs(&[("bob", "owner"), ("aaron", "member")]);
    assert_eq!(world.members(&aaron).await, expected);
    let updated = bob_hears.hears("room_updated").await;
    assert_eq!((&updated["owner"]["username"], &updated["name"]), (&json!("bob"), &json!("room")));
    let removed = bob_hears.hears("member_removed").await;
    assert_eq!(removed["reason"], "account_deleted");
    assert_eq!(removed["seq"].as_u64(), updated["seq"].as_u64().map(|seq| seq + 1));
    assert_eq!(world.bob.words(&world.room, "").await, ["farewell"], "what was said stays");
    aaron.get(&format!("/chat-room/{own}")).await.refused(404, "not_found");
    let entry = &world.bob.rooms(false).await[0];
    assert_eq!((&entry["id"], &entry["peer"]), (&json!(pair), &json!(null)));
    world.bob.delete(&format!("/chat-rooms/{}/members/{}", world.room, aaron.id())).await.is(204);
}

#[tokio::test]
async fn a_deletion_that_stopped_in_the_middle_is_finished_and_may_run_twice() {
    let world = World::new().await;
    let other = world.bob.create_room("bob's").await;
    world.ann.enter(&other, &world.bob).await;
    let app = world.node.app();
    let ann = world.node.account(&world.ann).await;
    // The account is gone, and the node stopped before the rooms were told.
    app.store.remove_user(ann.id).await.unwrap();
    let (one, another) = tokio::join!(deletions::run_once(app), deletions::run_once(app));
    one.unwrap();
    another.unwrap();
    deletions::run_once(app).await.unwrap();
    assert_eq!(app.store.room_ids_of(ann.id).await.unwrap(), []);
    assert_eq!(world.members(&world.bob).await, pairs(&[("bob", "owner")]));
    for room in [&world.room, &other] {
        let events = app.store.events(room.parse().unwrap(), Seq::ZERO, Seq(100), 100).await;
        let is_removal = |event: &&Event| matches!(event.body, Body::MemberRemoved { .. });
        assert_eq!(events.unwrap().iter().filter(is_removal).count(), 1, "told once");
    }
    world.node.anonymous().token("ann", PASSWORD).await.refused(401, "unauthorized");
}
