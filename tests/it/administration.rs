//! Accounts in the hands of an administrator.

use serde_json::{Value, json};

use crate::support::{PASSWORD, TestNode};

#[tokio::test]
async fn accounts_are_made_read_changed_and_deleted() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let account = json!({"email": "made@example.org", "username": "made", "password": PASSWORD});
    let made = boss.post("/admin/users", account).await.is(201);
    assert_eq!((&made["is_admin"], &made["is_disabled"]), (&json!(false), &json!(false)));
    assert!(!made.to_string().contains("$2"), "the hash is in no answer");
    let path = format!("/admin/users/{}", made["id"].as_str().unwrap());
    assert_eq!(boss.get(&path).await.is(200), made);
    assert_eq!(boss.get("/admin/users").await.is(200).as_array().unwrap().len(), 2);

    let change = json!({"email": "remade@example.org", "username": "remade", "is_admin": true});
    let changed = boss.patch(&path, change).await.is(200);
    assert_eq!((&changed["username"], &changed["is_admin"]), (&json!("remade"), &json!(true)));
    let remade = node.sign_in("remade", PASSWORD).await;
    remade.get("/admin/users").await.is(200);
    assert_eq!(boss.patch(&path, json!({})).await.is(200), changed);
    boss.patch(&path, json!({"is_admin": false})).await.is(200);
    remade.get("/admin/users").await.refused(403, "forbidden");

    boss.delete(&path).await.is(204);
    remade.get("/users/me").await.refused(401, "unauthorized");
    node.anonymous().token("remade", PASSWORD).await.refused(401, "unauthorized");
    boss.get(&path).await.refused(404, "not_found");
    boss.delete(&path).await.refused(404, "not_found");
    boss.patch(&path, json!({})).await.refused(404, "not_found");
    boss.get("/admin/users/x").await.refused(400, "invalid");
    node.sign_up("remade").await; // The name and the address are free again.
}

#[tokio::test]
async fn a_new_password_and_disabling_end_every_token_at_once() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let ann = node.sign_up("ann").await;
    let path = format!("/admin/users/{}", ann.id());
    boss.patch(&path, json!({"password": "given by an admin"})).await.is(200);
    ann.get("/users/me").await.refused(401, "unauthorized");
    let ann = node.sign_in("ann", "given by an admin").await;
    boss.patch(&path, json!({"is_disabled": true})).await.is(200);
    ann.get("/users/me").await.refused(401, "unauthorized");
    node.anonymous().token("ann", "given by an admin").await.refused(401, "unauthorized");
    boss.patch(&path, json!({"is_disabled": false})).await.is(200);
    ann.get("/users/me").await.refused(401, "unauthorized");
    node.sign_in("ann", "given by an admin").await.get("/users/me").await.is(200);
}

#[tokio::test]
async fn what_is_taken_or_malformed_changes_nothing() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let ann = node.sign_up("ann").await;
    let path = format!("/admin/users/{}", ann.id());
    let before = boss.get(&path).await.is(200);
    boss.patch(&path, json!({"username": "BOSS"})).await.refused(400, "username_taken");
    boss.patch(&path, json!({"email": "Boss@example.org"})).await.refused(400, "email_taken");
    for wrong in [
        json!({"is_admin": "yes"}),
        json!({"email": "x"}),
        json!({"username": "a\u{200b}b"}),
        json!({"password": "x".repeat(73)}),
        json!({"username": {"$set": 1}}),
        json!([]),
        json!(null),
    ] {
        boss.patch(&path, wrong).await.refused(422, "invalid");
    }
    assert_eq!(boss.get(&path).await.is(200), before);
    ann.get("/users/me").await.is(200);
}

#[tokio::test]
async fn there_is_always_an_administrator() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let path = format!("/admin/users/{}", boss.id());
    for change in [json!({"is_admin": false}), json!({"is_disabled": true})] {
        boss.patch(&path, change).await.refused(409, "last_admin");
    }
    boss.delete(&path).await.refused(409, "last_admin");
    let other = node.sign_up("other").await;
    let others = format!("/admin/users/{}", other.id());
    boss.patch(&others, json!({"is_admin": true})).await.is(200);
    // Each takes the role from the other at the same moment: one of them keeps it.
    let demoted = json!({"is_admin": false});
    let (one, two) =
        tokio::join!(boss.patch(&others, demoted.clone()), other.patch(&path, demoted));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 403 | 409]), "{statuses:?}");
}

#[tokio::test]
async fn a_deleted_account_leaves_its_rooms_and_its_messages_stay() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let (owner, ann) = (node.sign_up("owner").await, node.sign_up("ann").await);
    let room = owner.create_room("a room").await;
    ann.enter(&room, &owner).await;
    let messages = format!("/chat-rooms/{room}/messages");
    ann.post(&messages, json!({"content": "I was here"})).await.is(201);
    boss.delete(&format!("/admin/users/{}", ann.id())).await.is(204);
    let members = owner.get(&format!("/chat-rooms/{room}/members")).await.is(200);
    let names: Vec<&Value> =
        members.as_array().unwrap().iter().map(|m| &m["user"]["username"]).collect();
    assert_eq!(names, ["owner"]);
    assert_eq!(owner.get(&messages).await.is(200)[0]["content"], "I was here");
}
