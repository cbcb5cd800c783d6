//! Rooms and the ways into them, over HTTP.

use futures::future::{join, join_all};
use natter::config::Limit;
use serde_json::json;

use crate::support::{Answer, Person, TestNode};

const NOBODY: &str = "000000000000000000000000";

/// A node with an administrator whom no test needs, and these people.
async fn node_with<const N: usize>(names: [&str; N]) -> (TestNode, [Person; N]) {
    let node = TestNode::start().await;
    node.sign_up("chief").await;
    let mut people = Vec::new();
    for name in names {
        people.push(node.sign_up(name).await);
    }
    let Ok(people) = people.try_into() else { unreachable!("one for each name") };
    (node, people)
}

#[tokio::test]
async fn whoever_makes_a_room_owns_it_and_is_in_it() {
    let (_node, [ann]) = node_with(["ann"]).await;
    let made = ann.post("/chat-rooms", json!({"name": "Lunch 🍜"})).await.is(200);
    let (room, session) = (&made["chat_room"], &made["session"]);
    let brief = json!({"id": ann.id(), "email": "ann@example.org", "username": "ann"});
    assert_eq!(room["name"], "Lunch 🍜");
    assert_eq!((&room["is_group"], &room["owner"]), (&json!(true), &brief));
    assert_eq!((&session["user"], &session["chat_room"]["id"]), (&brief, &room["id"]));
    let entry = &ann.rooms(true).await[0];
    assert_eq!(
        (&entry["id"], &entry["role"], &entry["seq"]),
        (&room["id"], &json!("owner"), &json!(1))
    );
    assert_eq!((&entry["unread"], &entry["last_message"]), (&json!(0), &json!(null)));
}

#[tokio::test]
async fn a_name_that_is_none_makes_no_room() {
    let (_node, [ann]) = node_with(["ann"]).await;
    for name in [json!(""), json!("a\u{200b}b"), json!("x".repeat(101)), json!("a\0"), json!(5)] {
        let refused = ann.post("/chat-rooms", json!({"name": name})).await.refused(422, "invalid");
        assert_eq!(refused["errors"][0]["field"], "name", "{name}");
    }
    assert_eq!(ann.room_ids(true).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_private_room_of_others_answers_everywhere_as_an_unknown_one() {
    let (_node, [ann, bob, eve]) = node_with(["ann", "bob", "eve"]).await;
    let pair = ann.private_room(&bob).await;
    let of = |room: &str| {
        [
            ("GET", format!("/chat-room/{room}"), json!(null)),
            ("GET", format!("/search-chat-rooms?chat_room_id={room}"), json!(null)),
            ("GET", format!("/chat-room-details?chat_room_id={room}"), json!(null)),
            ("DELETE", format!("/delete-chat-room?chat_room_id={room}"), json!(null)),
            ("POST", "/join-request".to_owned(), json!({"chat_room_id": room})),
            ("GET", format!("/rooms-online-users?chat_room_id={room}"), json!(null)),
            ("GET", format!("/chat-rooms/{room}/members"), json!(null)),
            ("DELETE", format!("/chat-rooms/{room}/members/me"), json!(null)),
            ("DELETE", format!("/chat-rooms/{room}/members/{}", bob.id()), json!(null)),
            ("PUT", format!("/chat-rooms/{room}/read-marker"), json!({"seq": 1})),
            ("GET", format!("/chat-rooms/{room}/messages"), json!(null)),
            ("POST", format!("/chat-rooms/{room}/messages"), json!({"content": "hi"})),
            ("POST", format!("/chat-rooms/{room}/typing"), json!({"is_typing": true})),
        ]
    };
    for ((method, path, body), (_, unknown, same)) in of(&pair).into_iter().zip(of(NOBODY)) {
        let method: reqwest::Method = method.parse().unwrap();
        let foreign = Answer::of(eve.request(method.clone(), &path).json(&body)).await;
        let unknown = Answer::of(eve.request(method, &unknown).json(&same)).await;
        assert_eq!(foreign.refused(404, "not_found"), unknown.refused(404, "not_found"), "{path}");
    }
    for member in [&ann, &bob] {
        member.get(&format!("/chat-room/{pair}")).await.is(200);
        let search = member.get(&format!("/search-chat-rooms?chat_room_id={pair}")).await;
        search.refused(404, "not_found");
    }
}

#[tokio::test]
async fn a_pair_has_one_room_also_when_both_ask_at_once() {
    let (node, [ann, bob]) = node_with(["ann", "bob"]).await;
    let asking = (0..8).map(|nth| {
        let (one, other) = if nth % 2 == 0 { (&ann, &bob) } else { (&bob, &ann) };
        one.private_room(other)
    });
    let rooms = join_all(asking).await;
    assert!(rooms.iter().all(|room| *room == rooms[0]), "{rooms:?}");
    assert_eq!(ann.room_ids(false).await, [rooms[0].clone()]);
    let entry = &bob.rooms(false).await[0];
    assert_eq!(entry["name"].as_str().map(|name| name.split(", ").count()), Some(2));
    assert_eq!(entry["peer"], json!({"id": ann.id(), "username": "ann"}));
    let oneself = json!({"addressed_users_id": ann.id()});
    ann.post("/pv-chat-room", oneself).await.refused(400, "private_with_oneself");
    for (id, status, code) in [(NOBODY, 404, "not_found"), ("x", 400, "invalid")] {
        ann.post("/pv-chat-room", json!({"addressed_users_id": id})).await.refused(status, code);
    }
    let chief = node.sign_in("chief", crate::support::PASSWORD).await;
    let disable = json!({"is_disabled": true});
    chief.patch(&format!("/admin/users/{}", bob.id()), disable).await.is(200);
    let to_bob = json!({"addressed_users_id": bob.id()});
    ann.post("/pv-chat-room", to_bob).await.refused(404, "not_found");
}

#[tokio::test]
async fn nobody_leaves_or_deletes_a_private_room() {
    let (_node, [ann, bob]) = node_with(["ann", "bob"]).await;
    let pair = ann.private_room(&bob).await;
    for person in [&ann, &bob] {
        let leaving = person.delete(&format!("/chat-rooms/{pair}/members/me")).await;
        leaving.refused(409, "conflict");
        let deleting = person.delete(&format!("/delete-chat-room?chat_room_id={pair}")).await;
        deleting.refused(403, "forbidden");
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_says_why() {
    let (_node, [ann, bob, eve]) = node_with(["ann", "bob", "eve"]).await;
    let room = ann.create_room("room").await;
    bob.enter(&room, &ann).await;
    eve.ask(&room).await;
    let body = json!({"chat_room_id": room});
    ann.post("/join-request", body.clone()).await.refused(400, "own_room");
    bob.post("/join-request", body.clone()).await.refused(400, "already_member");
    eve.post("/join-request", body).await.refused(400, "already_requested");
    for message in [json!("x".repeat(1025)), json!("a\0b"), json!(5)] {
        let body = json!({"chat_room_id": room, "message": message});
        eve.post("/join-request", body).await.refused(422, "invalid");
    }
}

#[tokio::test]
async fn the_owner_hears_of_a_request_and_the_requester_of_the_answer() {
    let (node, [ann, bob]) = node_with(["ann", "bob"]).await;
    let room = ann.create_room("room").await;
    let (_at_ann, ann_hears) = node.connect(&ann, None).await;
    let (_at_bob, bob_hears) = node.connect(&bob, None).await;
    let body = json!({"chat_room_id": room, "message": "please"});
    let asked = bob.post("/join-request", body).await.is(200);
    assert_eq!((&asked["message"], &asked["approved"]), (&json!("please"), &json!(null)));
    assert_eq!(ann_hears.hears("join_request").await, asked);
    let id = asked["id"].as_str().unwrap();
    let details = ann.get(&format!("/join-request-details?join_request_id={id}")).await.is(200);
    assert_eq!(details, asked);
    let handled = ann.answer(id, true).await.is(200);
    assert_eq!(
        (&handled["status"], &handled["session"]["user"]["id"]),
        (&json!("approved"), &bob.user["id"])
    );
    for hears in [&bob_hears, &ann_hears] {
        let told = hears.hears("join_request_handled").await;
        assert_eq!((&told["id"], &told["approved"]), (&asked["id"], &json!(true)));
    }
    let added = bob_hears.hears("member_added").await;
    assert_eq!((&added["user"]["username"], &added["role"]), (&json!("bob"), &json!("member")));
}

#[tokio::test]
async fn of_many_answers_at_once_one_counts() {
    let (_node, [ann, bob]) = node_with(["ann", "bob"]).await;
    let room = ann.create_room("room").await;
    let request = bob.ask(&room).await;
    let answers = join_all((0..8).map(|_| ann.answer(&request, true))).await;
    let (right, wrong): (Vec<_>, Vec<_>) = answers.into_iter().partition(|one| one.status == 200);
    assert_eq!(right.len(), 1);
    for one in wrong {
        one.refused(400, "already_handled");
    }
    ann.answer(&request, false).await.refused(400, "already_handled");
    let members = ann.get(&format!("/chat-rooms/{room}/members")).await.is(200);
    assert_eq!(members.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn who_was_refused_stays_out_and_may_ask_again() {
    let (_node, [ann, bob]) = node_with(["ann", "bob"]).await;
    let room = ann.create_room("room").await;
    let first = bob.ask(&room).await;
    let handled = ann.answer(&first, false).await.is(200);
    assert_eq!(handled, json!({"status": "refused", "session": null}));
    bob.get(&format!("/chat-rooms/{room}/messages")).await.refused(403, "forbidden");
    let second = bob.ask(&room).await;
    let details = ann.get(&format!("/chat-room-details?chat_room_id={room}")).await.is(200);
    let told = |nth: usize| &details["chat_room_join_requests"][nth];
    assert_eq!((&told(0)["id"], &told(0)["approved"]), (&json!(first), &json!(false)));
    assert_eq!((&told(1)["id"], &told(1)["approved"]), (&json!(second), &json!(null)));
    let page = ann.get(&format!("/chat-room-details?chat_room_id={room}&limit=1")).await;
    assert!(page.header("link").contains(&format!("after={first}")), "{:?}", page.headers);
}

#[tokio::test]
async fn only_the_owner_sees_and_answers_requests_and_deletes() {
    let (_node, [ann, bob, eve]) = node_with(["ann", "bob", "eve"]).await;
    let room = ann.create_room("room").await;
    bob.enter(&room, &ann).await;
    let request = eve.ask(&room).await;
    for person in [&bob, &eve] {
        for path in [
            format!("/chat-room-details?chat_room_id={room}"),
            format!("/join-request-details?join_request_id={request}"),
        ] {
            person.get(&path).await.refused(403, "forbidden");
        }
        person.answer(&request, true).await.refused(403, "forbidden");
        let deleting = person.delete(&format!("/delete-chat-room?chat_room_id={room}")).await;
        deleting.refused(403, "forbidden");
    }
    ann.delete(&format!("/delete-chat-room?chat_room_id={room}")).await.is(204);
    ann.get(&format!("/chat-room/{room}")).await.refused(404, "not_found");
    bob.post(&format!("/chat-rooms/{room}/messages"), json!({"content": "hi"}))
        .await
        .refused(404, "not_found");
    ann.answer(&request, true).await.refused(404, "not_found");
}

#[tokio::test]
async fn rooms_come_newest_activity_first_and_in_pages() {
    let (_node, [ann]) = node_with(["ann"]).await;
    let mut rooms = Vec::new();
    for nth in 0..5 {
        rooms.push(ann.create_room(&format!("room {nth}")).await);
    }
    ann.say(&rooms[1], "the latest").await;
    let expected = [1, 4, 3, 2, 0].map(|nth| rooms[nth].clone());
    assert_eq!(ann.room_ids(true).await, expected);
    let mut path = "/user/submitted-chat-rooms?limit=2".to_owned();
    let mut found = Vec::new();
    loop {
        let page = ann.post(&path, json!({"is_group": true})).await;
        let link = page.header("link").to_owned();
        let page = page.is(200);
        found.extend(
            page.as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = link.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            break;
        };
        path = next.0.to_owned();
    }
    assert_eq!(found, expected);
    let owned = ann.get("/chat-rooms?limit=3").await.is(200);
    assert_eq!(owned.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn nobody_is_in_more_rooms_than_the_operator_allows() {
    let node = TestNode::with(|config| config.limits.memberships_per_user = Limit::new(2)).await;
    let (ann, bob) = (node.sign_up("ann").await, node.sign_up("bob").await);
    let room = ann.create_room("one").await;
    ann.private_room(&bob).await;
    let third = ann.post("/chat-rooms", json!({"name": "three"})).await;
    third.refused(409, "conflict");
    let eve = node.sign_up("eve").await;
    let to_ann = json!({"addressed_users_id": ann.id()});
    eve.post("/pv-chat-room", to_ann).await.refused(409, "conflict");
    assert_eq!(ann.private_room(&bob).await, bob.private_room(&ann).await, "what is there stays");
    bob.create_room("bob's").await;
    let request = bob.ask(&room).await;
    ann.answer(&request, true).await.refused(409, "conflict");
    ann.delete(&format!("/delete-chat-room?chat_room_id={room}")).await.is(204);
    ann.create_room("another").await;
}

#[tokio::test]
async fn a_request_from_who_cannot_be_told_apart_by_time_is_kept_once() {
    let (_node, [ann, bob]) = node_with(["ann", "bob"]).await;
    let room = ann.create_room("room").await;
    let body = json!({"chat_room_id": room});
    let (one, other) =
        join(bob.post("/join-request", body.clone()), bob.post("/join-request", body)).await;
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}
