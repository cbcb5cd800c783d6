//! Limits hold for the cluster, not for each node.

use natter::config::{Config, Limit};
use serde_json::json;

use crate::support::{Cluster, Ground, PASSWORD, on_every_ground};

on_every_ground![a_flood_over_all_nodes_passes_little_more_than_over_one];

async fn a_flood_over_all_nodes_passes_little_more_than_over_one(ground: &Ground) {
    let slow = |config: &mut Config| {
        config.limits.messages_per_second = Limit::new(1);
        config.limits.message_burst = Limit::new(40);
    };
    let cluster = Cluster::on(ground, 3, slow).await;
    let ann = cluster.node(0).sign_up("ann").await;
    let room = ann.create_room("Flooded").await;
    let mut people = Vec::new();
    for node in 0..3 {
        people.push(cluster.node(node).sign_in("ann", PASSWORD).await);
    }
    let path = format!("/chat-rooms/{room}/messages");
    let (began, mut passed, mut refused) = (std::time::Instant::now(), 0, 0);
    for nth in 0..150 {
        let said = people[nth % 3].post(&path, json!({"content": "flood"})).await;
        match said.status {
            201 => passed += 1,
            _ => {
                said.refused(429, "rate_limited");
                refused += 1;
            }
        }
    }
    // Twice the burst of one node, and twice what came in meanwhile.
    let most = 2 * (40 + began.elapsed().as_secs() + 1);
    assert!(passed >= 40 && passed <= most, "{passed} passed, {refused} did not");
}
