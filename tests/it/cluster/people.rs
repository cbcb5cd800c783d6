//! What people do through one node is so on every other: their rooms, what they have read, whether they may be here.

use natter::config::{Config, Limit};
use serde_json::{Value, json};

use super::online::patient;
use crate::sockets::client::{Socket, Told};
use crate::sockets::{enter, sign_on};
use crate::support::{Answer, Cluster, DEADLINE, Ground, PASSWORD, Person, on_every_ground};

on_every_ground![
    who_types_and_how_far_they_have_read_is_told_and_counted_on_every_node,
    a_retry_is_known_on_every_node_and_a_page_goes_on_where_another_node_ended,
    a_role_and_its_end_count_on_every_node,
    who_is_removed_from_a_room_or_disabled_or_deleted_is_out_on_every_node,
    a_token_that_was_revoked_on_one_node_opens_nothing_on_another,
];

const NODES: usize = 3;

/// Three nodes, a room of ann's, who administers, and ben, who is in it.
struct Town {
    cluster: Cluster,
    ann: Person,
    ben: Person,
    room: String,
}

impl Town {
    async fn on(ground: &Ground) -> Self {
        let free = |config: &mut Config| {
            patient(config);
            config.limits.messages_per_second = Limit::OFF;
        };
        let cluster = Cluster::on(ground, NODES, free).await;
        let ann = cluster.node(0).sign_up("ann").await;
        let ben = cluster.node(1).sign_up("ben").await;
        let room = ann.create_room("Town").await;
        ben.enter(&room, &ann).await;
        Self { cluster, ann, ben, room }
    }

    /// The same token at another node.
    fn at(&self, node: usize, person: &Person) -> Person {
        let url = self.cluster.node(node).url();
        let mut there = Person::with_token(url, person.token.as_deref().unwrap());
        there.user.clone_from(&person.user);
        there
    }

    /// Ben, signed in once more.
    async fn ben_again(&self, node: usize) -> Person {
        let mut ben = self.cluster.node(node).sign_in("ben", PASSWORD).await;
        ben.user.clone_from(&self.ben.user);
        ben
    }

    fn path(&self, rest: &str) -> String {
        format!("/chat-rooms/{}{rest}", self.room)
    }

    /// A room socket and a session socket of ben's on every node.
    async fn sockets_of_ben(&self) -> Vec<Socket> {
        let mut sockets = Vec::new();
        for node in 0..NODES {
            sockets.push(enter(self.cluster.node(node), &self.ben, &self.room).await.0);
            sockets.push(sign_on(self.cluster.node(node), &self.ben).await.0);
        }
        sockets
    }

    /// Asks at every node until each answers `wanted`.
    async fn everywhere(&self, person: &Person, path: &str, wanted: impl Fn(&Answer) -> bool) {
        for node in 0..NODES {
            let there = self.at(node, person);
            let mut last = None;
            let asked = async {
                while !last.as_ref().is_some_and(&wanted) {
                    last = Some(there.get(path).await);
                }
            };
            let asked = tokio::time::timeout(DEADLINE, asked).await;
            assert!(asked.is_ok(), "{path} at node {node}: {last:?}");
        }
    }
}

/// Waits until the server has ended each of these sockets, for good.
async fn are_ended(sockets: Vec<Socket>) {
    for mut socket in sockets {
        let is_end = |told: &Told| matches!(told, Told::Disconnected);
        let ended = tokio::time::timeout(DEADLINE, socket.until(is_end)).await;
        ended.expect("to be told that this is the end");
    }
}

async fn who_types_and_how_far_they_have_read_is_told_and_counted_on_every_node(ground: &Ground) {
    let town = Town::on(ground).await;
    let mut hers = Vec::new();
    for node in 0..NODES {
        hers.push(enter(town.cluster.node(node), &town.ann, &town.room).await.0);
    }
    let (mut his, _) = enter(town.cluster.node(2), &town.ben, &town.room).await;
    let mut sent = Vec::new();
    for nth in 0..3 {
        let said = town.at(nth, &town.ann).say(&town.room, &nth.to_string()).await;
        sent.push(said["seq"].as_u64().unwrap());
    }
    let unread = async |person: &Person| {
        let mut all = Vec::new();
        for node in 0..NODES {
            all.push(town.at(node, person).rooms(true).await[0]["unread"].as_u64().unwrap());
        }
        all
    };
    assert_eq!((unread(&town.ben).await, unread(&town.ann).await), (vec![3; 3], vec![0; 3]));

    assert_eq!(his.ask("typing", json!({"is_typing": true})).await["ok"], true);
    let marked = his.ask("mark_read", json!({"seq": sent[1]})).await;
    assert_eq!((&marked["ok"], &marked["unread"]), (&json!(true), &json!(1)));
    for socket in &mut hers {
        let typing = socket.event("typing").await;
        assert_eq!((&typing["username"], &typing["is_typing"]), (&json!("ben"), &json!(true)));
        let marker = socket.event("read_marker").await;
        assert_eq!((&marker["user_id"], &marker["seq"]), (&json!(town.ben.id()), &json!(sent[1])));
    }
    assert_eq!(unread(&town.ben).await, [1; 3]);
    // It never moves back, whichever node is asked.
    let (there, marker) = (town.at(0, &town.ben), town.path("/read-marker"));
    let back = there.put(&marker, json!({"seq": sent[0]})).await.is(200);
    assert_eq!(back["seq"], sent[1]);
    // What one says oneself is read.
    town.at(1, &town.ben).say(&town.room, "hello").await;
    assert_eq!((unread(&town.ben).await, unread(&town.ann).await), (vec![0; 3], vec![1; 3]));
}

async fn a_retry_is_known_on_every_node_and_a_page_goes_on_where_another_node_ended(
    ground: &Ground,
) {
    let town = Town::on(ground).await;
    let path = town.path("/messages");
    let mut ids = Vec::new();
    for nth in 0..40 {
        let said = json!({"content": nth.to_string(), "client_id": format!("key {nth}")});
        let first = town.at(nth % NODES, &town.ann).post(&path, said.clone()).await.is(201);
        for node in 0..NODES {
            let again = town.at(node, &town.ann).post(&path, said.clone()).await;
            assert!(again.status < 300, "{nth} at node {node}: {}", again.body);
            assert_eq!(again.body["id"], first["id"], "{nth} at node {node}");
            let other = json!({"content": "other", "client_id": format!("key {nth}")});
            let other = town.at(node, &town.ann).post(&path, other).await;
            other.refused(409, "client_id_conflict");
        }
        ids.push(first["id"].as_str().unwrap().to_owned());
    }
    let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
    // Backwards from the end and forwards from the beginning, each page from the next node.
    let (mut backwards, mut nodes) = (Vec::new(), (0..NODES).cycle());
    let mut query = "limit=7".to_owned();
    loop {
        let there = town.at(nodes.next().unwrap(), &town.ben);
        let page = there.history(&town.room, &query).await;
        let Some(oldest) = page.first() else { break };
        query = format!("limit=7&before={}", id(oldest));
        backwards.splice(0..0, page.iter().map(id));
    }
    assert_eq!(backwards, ids);
    let mut forwards = vec![ids[0].clone()];
    loop {
        let there = town.at(nodes.next().unwrap(), &town.ben);
        let query = format!("limit=7&after={}", forwards.last().unwrap());
        let page = there.history(&town.room, &query).await;
        if page.is_empty() {
            break;
        }
        forwards.extend(page.iter().map(id));
    }
    assert_eq!(forwards, ids);
    for (node, nth) in [(0, 12), (1, 20), (2, 31)] {
        let query = format!("limit=5&around={}", ids[nth]);
        let around = town.at(node, &town.ben).history(&town.room, &query).await;
        assert!(around.iter().map(id).any(|found| found == ids[nth]), "node {node}");
    }
    // The same by a socket, which asks for what precedes.
    for node in 0..NODES {
        let (mut socket, _) = enter(town.cluster.node(node), &town.ben, &town.room).await;
        let oldest = json!({"oldest_message_id": ids[30]});
        let page = socket.ask("get_more_messages", oldest).await;
        let page: Vec<String> = page["messages"].as_array().unwrap().iter().map(id).collect();
        assert_eq!(page, ids[..30], "node {node}");
    }
}

async fn a_role_and_its_end_count_on_every_node(ground: &Ground) {
    let town = Town::on(ground).await;
    let his = format!("/admin/users/{}", town.ben.id());
    let list = "/admin/users";
    town.everywhere(&town.ben, list, |answer| answer.status == 403).await;
    for (node, is_admin) in [(0, true), (1, false), (2, true)] {
        let change = json!({"is_admin": is_admin});
        town.at(node, &town.ann).patch(&his, change).await.is(200);
        let expected = if is_admin { 200 } else { 403 };
        town.everywhere(&town.ben, list, |answer| answer.status == expected).await;
    }
    // Two administrators who demote each other at once, on two nodes: one is left.
    let hers = format!("/admin/users/{}", town.ann.id());
    let (one, other) = (town.at(0, &town.ann), town.at(1, &town.ben));
    let demoted = || json!({"is_admin": false});
    let (one, other) = tokio::join!(one.patch(&his, demoted()), other.patch(&hers, demoted()));
    let succeeded = [&one, &other].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(succeeded, 1, "{} {}", one.body, other.body);
    // The room has another owner, and so others who may administer it.
    let room = town.path("");
    let owned = json!({"owner_id": town.ben.id()});
    let admin = if one.status == 200 { &town.ann } else { &town.ben };
    let renamed = town.at(2, admin).patch(&format!("/admin{room}"), owned).await;
    assert_eq!(renamed.body["owner"]["username"], "ben", "{}", renamed.body);
    let details = format!("/chat-room-details?chat_room_id={}", town.room);
    town.everywhere(&town.ben, &details, |answer| answer.status == 200).await;
    town.everywhere(&town.ann, &details, |answer| answer.status == 403).await;
}

async fn who_is_removed_from_a_room_or_disabled_or_deleted_is_out_on_every_node(ground: &Ground) {
    let town = Town::on(ground).await;
    let his = format!("/admin/users/{}", town.ben.id());
    let (mut hers, _) = enter(town.cluster.node(1), &town.ann, &town.room).await;

    let (in_room, sessions): (Vec<_>, Vec<_>) = {
        let mut sockets = town.sockets_of_ben().await.into_iter();
        let pairs = std::iter::from_fn(|| Some((sockets.next()?, sockets.next()?)));
        pairs.unzip()
    };
    let path = town.path(&format!("/members/{}", town.ben.id()));
    town.at(2, &town.ann).delete(&path).await.is(204);
    assert_eq!(hers.event("member_removed").await["user"]["id"], town.ben.id());
    are_ended(in_room).await;
    for mut session in sessions {
        assert_eq!(session.event("member_removed").await["chat_room_id"], town.room);
        let said = json!({"content": "?", "chat_room_id": town.room});
        let refused = session.ask("chat", said).await;
        assert_eq!(refused["error"]["code"], "forbidden", "{refused}");
    }
    town.everywhere(&town.ben, &town.path("/messages"), |answer| answer.status == 403).await;

    town.at(2, &town.ben).enter(&town.room, &town.at(0, &town.ann)).await;
    let sockets = town.sockets_of_ben().await;
    town.at(1, &town.ann).patch(&his, json!({"is_disabled": true})).await.is(200);
    are_ended(sockets).await;
    town.everywhere(&town.ben, "/users/me", |answer| answer.status == 401).await;

    town.at(2, &town.ann).patch(&his, json!({"is_disabled": false})).await.is(200);
    let ben = town.ben_again(0).await;
    let town = Town { ben, ..town };
    let sockets = town.sockets_of_ben().await;
    town.at(0, &town.ann).delete(&his).await.is(204);
    are_ended(sockets).await;
    town.everywhere(&town.ben, "/users/me", |answer| answer.status == 401).await;
    hers.until(|told| {
        matches!(told, Told::Event(name, removed)
            if name == "member_removed" && removed["reason"] == "account_deleted")
    })
    .await;
    town.everywhere(&town.ann, &town.path("/members"), |members| {
        members.body.as_array().is_some_and(|members| members.len() == 1)
    })
    .await;
}

async fn a_token_that_was_revoked_on_one_node_opens_nothing_on_another(ground: &Ground) {
    let town = Town::on(ground).await;
    for node in 0..NODES {
        let ben = town.ben_again(node).await;
        let mut sockets = Vec::new();
        for other in 0..NODES {
            sockets.push(sign_on(town.cluster.node(other), &ben).await.0);
        }
        town.at(node, &ben).post("/users/me/log-out-everywhere", json!({})).await;
        are_ended(sockets).await;
        town.everywhere(&ben, "/users/me", |answer| answer.status == 401).await;
    }
}
