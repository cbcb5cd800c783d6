//! Who is online, whichever node is asked.

use std::time::Duration;

use natter::config::Config;
use serde_json::{Value, json};

use crate::sockets::client::Told;
use crate::sockets::{enter, sign_on};
use crate::support::{Answer, Cluster, DEADLINE, Ground, PASSWORD, Person, on_every_ground};

/// Asks again until the answer is as wanted.
async fn until<A>(ask: impl Fn() -> A, wanted: impl Fn(&Value) -> bool, what: &str)
where
    A: Future<Output = Answer>,
{
    let mut last = Value::Null;
    let asked = async {
        while !wanted(&last) {
            last = ask().await.is(200);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(DEADLINE, asked).await;
    assert!(asked.is_ok(), "{what}: {last}");
}

async fn is_online(person: &Person, wanted: bool) {
    let what = format!("{} online: {wanted}", person.id());
    until(|| person.get("/users/me"), |me| me["is_online"] == wanted, &what).await;
}

/// The same person, who calls another node.
async fn on(cluster: &Cluster, node: usize, person: &Person, name: &str) -> Person {
    let mut there = cluster.node(node).sign_in(name, PASSWORD).await;
    there.user.clone_from(&person.user);
    there
}

/// Sockets that nobody reads from answer no ping.
pub(super) fn patient(config: &mut Config) {
    config.socket.ping_timeout = Duration::from_secs(600);
}

on_every_ground![
    every_node_knows_who_is_online_whoever_serves_them,
    who_was_on_a_killed_node_goes_but_not_who_is_present_through_another_too,
];

async fn every_node_knows_who_is_online_whoever_serves_them(ground: &Ground) {
    let cluster = Cluster::on(ground, 3, patient).await;
    let (ann, ben) = (cluster.node(0).sign_up("ann").await, cluster.node(1).sign_up("ben").await);
    let room = ann.create_room("Everywhere").await;
    ben.enter(&room, &on(&cluster, 2, &ann, "ann").await).await;
    ann.private_room(&ben).await;
    let (mut hers, _) = enter(cluster.node(0), &ann, &room).await;
    let (his, _) = sign_on(cluster.node(1), &ben).await;
    for node in 0..3 {
        let ann = on(&cluster, node, &ann, "ann").await;
        let ben = on(&cluster, node, &ben, "ben").await;
        let online = format!("/rooms-online-users?chat_room_id={room}");
        until(|| ben.get(&online), |names| *names == json!(["ann"]), "in the room").await;
        until(|| ann.get("/pv-online-users"), |names| *names == json!(["ben"]), "peers").await;
        is_online(&ann, true).await;
        is_online(&ben, true).await;
        let members = format!("/chat-rooms/{room}/members");
        let flags = |members: &Value| {
            let members = members.as_array().into_iter().flatten();
            members.map(|member| member["is_online"] == true).collect::<Vec<_>>()
        };
        // He is connected, and has not opened the room.
        until(|| ann.get(&members), |all| flags(all) == [true, false], "members").await;
        let all = ann.get("/admin/users").await.is(200);
        assert_eq!(flags(&all), [true, true]);
    }
    his.close().await;
    for node in 0..3 {
        is_online(&on(&cluster, node, &ben, "ben").await, false).await;
    }
    hers.ask("chat", json!({"content": "alone again"})).await;
}

async fn who_was_on_a_killed_node_goes_but_not_who_is_present_through_another_too(ground: &Ground) {
    let mut cluster = Cluster::on(ground, 2, patient).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let (ben, cid) = (cluster.node(0).sign_up("ben").await, cluster.node(0).sign_up("cid").await);
    let room = ann.create_room("Fragile").await;
    ben.enter(&room, &ann).await;
    cid.enter(&room, &ann).await;
    let (mut hers, _) = enter(cluster.node(0), &ann, &room).await;
    let (_his, _) = enter(cluster.node(1), &ben, &room).await;
    let (_cids, _) = enter(cluster.node(1), &cid, &room).await;
    for _ in 0..2 {
        hers.event("join").await;
    }
    let (_too, _) = enter(cluster.node(0), &cid, &room).await;
    cluster.kill(1);
    let is_change =
        |told: &Told| matches!(told, Told::Event(name, _) if name == "join" || name == "leave");
    let gone = hers.until(is_change).await;
    assert!(
        matches!(&gone, Told::Event(name, whose) if name == "leave" && whose["username"] == "ben"),
        "{gone:?}"
    );
    let online = format!("/rooms-online-users?chat_room_id={room}");
    assert_eq!(ann.get(&online).await.is(200), json!(["cid"]));
    let said = hers.ask("chat", json!({"content": "who is there?"})).await;
    assert_eq!(said["ok"], true);
    assert!(!hers.unread().any(is_change));
}
