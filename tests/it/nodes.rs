//! Nodes that hear of each other.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use natter::bus::seal::Seal;
use natter::bus::{Bus, DynBus, LocalBus, Subject};
use natter::domain::BootId;
use natter::keys::Keys;
use natter::nodes::Nodes;
use tokio::time::Instant;

use crate::support::{Fate, Judged};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn seal(id: u64) -> Seal {
    Seal::new(BootId::new(1, id), Keys::derive(SECRET, None).bus)
}

fn join(bus: DynBus, id: u64) -> Nodes {
    Nodes::join(bus, seal(id), Some(format!("http://127.0.0.1:{id}")))
}

fn known(nodes: &Nodes) -> Vec<u64> {
    let id = |boot: BootId| u64::from(*boot.as_bytes().last().unwrap());
    nodes.others().into_iter().map(|peer| id(peer.boot)).collect()
}

/// Waits until `nodes` satisfy `condition`.
async fn wait(nodes: &Nodes, what: &str, condition: impl Fn(&Nodes) -> bool) {
    let mut changes = nodes.changes();
    let waited = async {
        while !condition(nodes) {
            changes.changed().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waited).await;
    assert!(waited.is_ok(), "{what}: {:?}", nodes.others());
}

#[tokio::test(start_paused = true)]
async fn nodes_hear_of_each_other_and_agree_who_owns_what() {
    let bus = LocalBus::shared();
    let nodes: Vec<_> = (1..=3).map(|id| join(Arc::new(bus.clone()), id)).collect();
    for (nth, node) in nodes.iter().enumerate() {
        wait(node, "both others", |node| node.others().len() == 2 && node.is_link_up()).await;
        assert!(!known(node).contains(&(nth as u64 + 1)));
    }
    assert_eq!(nodes[0].other(nodes[1].me()).unwrap().url.as_deref(), Some("http://127.0.0.1:2"));
    let mut owned: HashMap<BootId, usize> = HashMap::new();
    for key in 0..3000_u32 {
        let owners: Vec<_> = nodes
            .iter()
            .map(|node| node.owner_of(&key.to_be_bytes()).unwrap_or(node.me()))
            .collect();
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
        *owned.entry(owners[0]).or_default() += 1;
    }
    assert!(
        owned.len() == 3 && owned.values().all(|share| (800..1200).contains(share)),
        "{owned:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_drains_owns_nothing_and_who_leaves_is_gone_at_once() {
    let bus = LocalBus::shared();
    let (one, other) = (join(Arc::new(bus.clone()), 1), join(Arc::new(bus.clone()), 2));
    wait(&one, "the other", |one| known(one) == [2] && one.is_link_up()).await;
    wait(&other, "the other", |other| known(other) == [1] && other.is_link_up()).await;
    other.drain();
    wait(&one, "the draining", |one| one.others()[0].is_draining).await;
    for key in 0..100_u32 {
        assert_eq!(one.owner_of(&key.to_be_bytes()), None);
        assert_eq!(other.owner_of(&key.to_be_bytes()), Some(one.me()));
    }
    other.leave();
    let before = Instant::now();
    wait(&one, "the end", |one| one.others().is_empty()).await;
    assert!(before.elapsed() < natter::nodes::DEAD_AFTER, "by its word, not by its silence");
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_dead_and_who_is_cut_off_declares_nobody_so() {
    let bus = LocalBus::shared();
    let (steady, lonely) = (Arc::new(bus.clone()), Judged::new(&bus, BootId::new(1, 2)));
    let (one, other) = (join(steady, 1), join(Arc::clone(&lonely) as DynBus, 2));
    wait(&one, "the other", |one| known(one) == [2]).await;
    wait(&other, "the other", |other| known(other) == [1] && other.is_link_up()).await;
    // What the second says goes nowhere, not even to itself.
    lonely.judged(|_| Fate::Lost);
    wait(&other, "its own link down", |other| !other.is_link_up()).await;
    wait(&one, "the other's end", |one| one.others().is_empty()).await;
    assert_eq!(known(&other), [1]);
    assert_eq!(other.owner_of(b"anything"), None);
    lonely.judged(|_| Fate::Arrives);
    wait(&other, "its link back", Nodes::is_link_up).await;
    wait(&one, "the other's return", |one| known(one) == [2]).await;
    assert_eq!(known(&other), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forged_or_said_again_makes_no_node() {
    let bus = LocalBus::shared();
    let subject = Subject::nodes();
    let mut tape = bus.subscribe(&subject);
    let other = join(Arc::new(bus.clone()), 2);
    let recorded = tape.next().await.unwrap().payload;
    other.leave();
    drop(other);
    let one = join(Arc::new(bus.clone()), 1);
    wait(&one, "itself", Nodes::is_link_up).await;
    let stranger = Seal::new(BootId::new(1, 3), Keys::derive(b"another", None).bus);
    let peer = |id: u64| serde_json::json!({"boot": BootId::new(1, id), "url": null, "version": "9", "is_draining": false, "is_leaving": false});
    bus.publish(&subject, stranger.seal_once(&subject, &peer(3)));
    bus.publish(&subject, seal(4).seal(&subject, &peer(4))); // Without a counter.
    bus.publish(&subject, seal(5).seal_once(&subject, &peer(6))); // For another.
    bus.publish(&subject, Bytes::from_static(b"{}"));
    bus.publish(&subject, recorded.clone());
    bus.publish(&subject, recorded); // Once it may be late, twice it is not.
    bus.publish(&subject, seal(7).seal_once(&subject, &peer(7)));
    wait(&one, "the true one", |one| known(one).contains(&7)).await;
    assert!(known(&one).iter().all(|id| [2, 7].contains(id)), "{:?}", known(&one));
    // Nothing of what was said again keeps a node alive.
    wait(&one, "the dead", |one| one.others().is_empty()).await;
}
