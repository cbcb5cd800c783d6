//! A node and its nats-server, which comes and goes.

use natter::bus::{Reply, Subject};
use natter::metrics::Metrics;

use super::{asked, connect, connect_counted, hears, link_is, number, room, soon, subject};
use crate::support::nats::{NatsServer, free_port};

const USERS: &str = "authorization { user: natter, password: \"p@ss:word/\" }";
const USER: &str = "natter:p%40ss%3aword%2f";

fn counted(metrics: &Metrics, series: &str) -> u64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series}")).trim().parse().unwrap()
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_is_used_again() {
    let Some(mut server) = NatsServer::start(USERS).await else { return };
    let metrics = Metrics::new();
    let bus = connect_counted(&server.url(USER), &metrics).await.unwrap();
    let (before, during) = (subject(), subject());
    let mut old = bus.subscribe(&before);
    bus.settled().await;
    bus.publish(&before, number(1));
    hears(&mut old, 1).await;
    let losses = bus.link().borrow().losses;
    assert_eq!(counted(&metrics, "natter_bus_up"), 1);

    server.kill().await;
    link_is(&*bus, false).await;
    assert_eq!(counted(&metrics, "natter_bus_up"), 0);
    // All this would wait for the server, if anything did.
    let mut many = Vec::new();
    for _ in 0..10_000 {
        bus.publish(&before, number(2));
        many.push(bus.subscribe(&subject()));
    }
    let mut new = bus.subscribe(&during);
    bus.settled().await;
    assert_eq!(asked(bus.request(&before, number(3))).await, Some(Reply::NoResponders));
    drop(many);
    assert_eq!(counted(&metrics, "natter_bus_dropped_messages_total{reason=\"down\"}"), 10_001);

    server.again().await;
    link_is(&*bus, true).await;
    assert!(bus.link().borrow().losses >= losses + 2, "once for the end, once for the beginning");
    // The link is not up before the server knows of what was subscribed to before.
    bus.publish(&before, number(4));
    hears(&mut old, 4).await;
    bus.settled().await;
    bus.publish(&during, number(5));
    hears(&mut new, 5).await;
}

#[tokio::test]
async fn who_waits_for_an_answer_when_the_server_goes_waits_no_longer() {
    let Some(mut server) = NatsServer::start(USERS).await else { return };
    let bus = connect(&server.url(USER)).await.unwrap();
    let subject = subject();
    let mut heard = bus.subscribe(&subject);
    bus.settled().await;
    let mut replies = bus.request(&subject, number(1));
    hears(&mut heard, 1).await;
    server.kill().await;
    assert_eq!(soon("the end", replies.next()).await, Some(Reply::NoResponders));
    assert_eq!(soon("the end", replies.next()).await, None);
}

#[tokio::test]
async fn a_node_starts_without_a_server_and_finds_it_when_it_comes() {
    // Two addresses, of which one never answers as a server does.
    let nobody = free_port();
    let Some(mut server) = NatsServer::start(USERS).await else { return };
    server.kill().await;
    let url = format!("nats://{USER}@127.0.0.1:{nobody},127.0.0.1:{}", server.port);
    let bus = connect(&url).await.unwrap();
    assert!(!bus.link().borrow().is_up);
    let room = room();
    let mut heard = bus.subscribe(&Subject::room_events(room));
    bus.settled().await;
    server.again().await;
    link_is(&*bus, true).await;
    bus.settled().await;
    bus.publish(&Subject::room_events(room), number(1));
    hears(&mut heard, 1).await;
}
