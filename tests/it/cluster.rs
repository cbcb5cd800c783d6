//! Several nodes as one service.

use std::time::Duration;

use crate::support::Cluster;

#[tokio::test]
async fn an_account_of_one_node_is_an_account_of_all() {
    let cluster = Cluster::start(2).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("a room").await;
    let elsewhere = cluster.node(1).sign_in("ann", crate::support::PASSWORD).await;
    elsewhere.say(&room, "from the other node").await;
    assert_eq!(ann.words(&room, "").await, ["from the other node"]);
}

#[tokio::test]
async fn a_killed_node_and_a_drained_one_are_missed_by_the_others() {
    let mut cluster = Cluster::with(3, |config| config.drain_grace = Duration::from_secs(4)).await;
    let address = cluster.node(0).addr();
    cluster.kill(0);
    cluster.is_acquainted().await;
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err(), "a killed node listens no more");
    cluster.drain(1).await;
    cluster.is_acquainted().await;
    let ann = cluster.node(2).sign_up("ann").await;
    ann.create_room("the store is open").await;
}
