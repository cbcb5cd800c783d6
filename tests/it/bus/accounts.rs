//! What the accounts of the folder `nats` may and may not do, on servers that run with these very files.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use natter::bus::{Bus, Subject, Subscription};
use natter::domain::{BootId, UserId};
use tokio::time::timeout;

use super::foreign::{Foreign, next};
use super::{connect, link_is, number, room, soon};
use crate::support::nats::{NatsServer, free_port};

const NODE: &str = "n0000000000000001";
const READER: &str = "r0000000000000001";

fn passwords() -> Vec<(&'static str, String)> {
    vec![
        ("NATTER_NATS_NODE_PASSWORD", NODE.to_owned()),
        ("NATTER_NATS_READER_PASSWORD", READER.to_owned()),
    ]
}

async fn server() -> Option<NatsServer> {
    NatsServer::shipped("server.conf", 0, passwords()).await
}

#[tokio::test]
async fn nodes_are_let_in_and_nobody_without_a_password_is() {
    let Some(server) = server().await else { return };
    let bus = connect(&server.url(&format!("natter:{NODE}"))).await.unwrap();
    link_is(&*bus, true).await;
    for (user, password) in
        [("natter", READER), ("natter-reader", NODE), ("natter", ""), ("admin", "admin"), ("", "")]
    {
        let refused = Foreign::connect(server.port, user, password).await;
        assert!(refused.is_err(), "{user}:{password}");
    }
    let anonymous = async_nats::ConnectOptions::new();
    assert!(Foreign::with(server.port, anonymous).await.is_err());
    let varz = server.told("varz").await;
    assert_eq!(varz["max_payload"], 1024 * 1024);
    for listener in ["websocket", "mqtt", "leaf", "gateway"] {
        assert!(varz[listener]["port"].as_u64().is_none_or(|port| port == 0), "{listener}");
    }
    assert!(varz["jetstream"]["config"].is_null(), "{}", varz["jetstream"]);
}

#[tokio::test]
async fn a_node_says_and_hears_what_nodes_do_and_nothing_else() {
    let Some(server) = server().await else { return };
    let mut node = Foreign::connect(server.port, "natter", NODE).await.unwrap();
    for subject in [
        Subject::room_events(room()),
        Subject::room_signals(room()),
        Subject::user(UserId::new(1, 1)),
        Subject::node(BootId::new(1, 1)),
        Subject::nodes(),
        Subject::limits(),
    ] {
        let mut heard = node.listens(subject.as_str()).await;
        node.publishes(subject.as_str(), subject.to_string()).await;
        assert_eq!(next(&mut heard).await.payload, Bytes::from(subject.to_string()));
    }
    assert!(node.complaints().is_empty());
    for other in ["natter", "other.subject", "$SYS.REQ.SERVER.PING", "$JS.API.INFO", "_INBOX.1"] {
        node.may_not_publish(other).await;
        node.may_not_listen(other).await;
    }
    node.may_not_listen(">").await;
    node.may_not_listen("*.room.*.events").await;
}

#[tokio::test]
async fn a_reader_hears_the_events_of_rooms_and_says_nothing() {
    let Some(server) = server().await else { return };
    let mut node = Foreign::connect(server.port, "natter", NODE).await.unwrap();
    let mut reader = Foreign::connect(server.port, "natter-reader", READER).await.unwrap();
    let (one, other) = (Subject::room_events(room()), Subject::room_events(room()));
    let mut everything = reader.listens("natter.room.*.events").await;
    let mut just_one = reader.listens(one.as_str()).await;
    // What the node hears of this in the end is all that there was.
    let mut heard = node.listens("natter.>").await;
    for subject in [
        one.as_str(),
        "natter.nodes",
        Subject::node(BootId::new(1, 1)).as_str(),
        "natter.inbox.000000000001000000000001.1",
        "natter.x",
        "anything",
        "$SYS.REQ.SERVER.PING",
    ] {
        reader.may_not_publish(subject).await;
    }
    for subject in [
        "natter.>",
        ">",
        "natter.nodes",
        "natter.room.*.signals",
        "natter.room.>",
        "natter.user.*",
        "natter.node.*",
        "natter.inbox.>",
        "natter.limits",
        "$SYS.>",
        "_INBOX.>",
    ] {
        reader.may_not_listen(subject).await;
    }
    node.publishes("natter.nodes", "a heartbeat").await;
    node.publishes(other.as_str(), "of another").await;
    node.publishes(one.as_str(), "of one").await;
    assert_eq!(next(&mut everything).await.payload, "of another");
    assert_eq!(next(&mut everything).await.payload, "of one");
    assert_eq!(next(&mut just_one).await.payload, "of one");
    for payload in ["a heartbeat", "of another", "of one"] {
        let mut told = next(&mut heard).await;
        while told.payload.is_empty() {
            told = next(&mut heard).await; // What the node tells itself.
        }
        assert_eq!(told.payload, payload);
    }
}

#[tokio::test]
async fn three_servers_are_one_bus() {
    let routes = [free_port(), free_port(), free_port()];
    let urls =
        routes.map(|port| format!("\"nats-route://natter:c0000000000000001@127.0.0.1:{port}\""));
    let mut servers = Vec::new();
    for (nth, port) in routes.into_iter().enumerate() {
        let mut environment = passwords();
        environment.extend([
            ("NATTER_NATS_NAME", format!("nats-{nth}")),
            ("NATTER_NATS_ROUTE_PASSWORD", "c0000000000000001".to_owned()),
            ("NATTER_NATS_ROUTES", format!("[{}]", urls.join(","))),
        ]);
        let Some(server) = NatsServer::shipped("cluster.conf", port, environment).await else {
            return;
        };
        servers.push(server);
    }
    // A node on each, which hears all of them.
    let credentials = format!("natter:{NODE}");
    let urls = servers.iter().map(|server| server.url(&credentials));
    let buses = join_all(urls.map(async |url| connect(&url).await.unwrap())).await;
    let subject = Subject::room_events(room());
    let mut ears: Vec<_> = buses.iter().map(|bus| bus.subscribe(&subject)).collect();
    for (nth, bus) in buses.iter().enumerate() {
        bus.settled().await;
        for heard in &mut ears {
            comes_through(&**bus, &subject, heard, nth).await;
        }
    }
    // A node whose server is killed goes to another.
    let all = servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
    let all = format!("nats://{credentials}@{}", all.collect::<Vec<_>>().join(","));
    let roaming = connect(&all).await.unwrap();
    let mut heard = roaming.subscribe(&subject);
    for server in servers.iter_mut().take(2) {
        server.kill().await;
    }
    comes_through(&*buses[2], &subject, &mut heard, 7).await;
    comes_through(&*roaming, &subject, &mut ears[2], 8).await;
}

/// Says something again and again until it is heard: servers learn one after the other who listens where.
async fn comes_through(bus: &dyn Bus, subject: &Subject, heard: &mut Subscription, nth: usize) {
    let told = async {
        loop {
            bus.publish(subject, number(nth));
            let wait = timeout(Duration::from_millis(50), heard.next());
            if let Ok(Some(delivery)) = wait.await
                && delivery.payload == number(nth)
            {
                return;
            }
        }
    };
    soon(&format!("number {nth}"), told).await;
}
