//! What nodes ask of each other.

use std::time::Duration;

use natter::bus::seal::Seal;
use natter::bus::{Reply, Subject};
use natter::domain::BootId;
use natter::keys::Keys;
use natter::nodes::Nodes;
use serde_json::{Value, json};

use super::hall::{DEADLINE, Hall, rooms_of, seal};

#[tokio::test]
async fn a_node_that_is_there_answers_and_one_that_is_gone_does_not() {
    let hall = Hall::new().await;
    let (one, other) = (seal(), seal());
    let nodes = Nodes::alone(one.node());
    let here = rooms_of(&hall.store, &hall.bus, one.clone(), nodes).await;
    let nodes = Nodes::alone(other.node());
    let there = rooms_of(&hall.store, &hall.bus, other.clone(), nodes).await;
    assert!(here.reaches(one.node(), DEADLINE).await);
    assert!(here.reaches(other.node(), DEADLINE).await);
    assert!(there.reaches(one.node(), DEADLINE).await);
    drop(there);
    // What is on its way to it at this moment is not answered, and nobody says so.
    assert!(!here.reaches(other.node(), Duration::from_millis(500)).await);
    assert!(!here.reaches(other.node(), DEADLINE).await);
    assert!(!here.reaches(BootId::new(1, 1), DEADLINE).await);
}

#[tokio::test]
async fn what_is_forged_or_asked_again_is_not_answered() {
    let hall = Hall::new().await;
    let (ours, asked) = (seal(), seal());
    let theirs = Seal::new(ours.node(), Keys::derive(b"theirs", None).bus);
    let nodes = Nodes::alone(asked.node());
    let _rooms = rooms_of(&hall.store, &hall.bus, asked.clone(), nodes).await;
    let (to, hello) = (Subject::node(asked.node()), json!({"id": 7, "errand": "hello"}));
    let good = ours.seal_once(&to, &hello);
    let mut answered = Vec::new();
    for payload in [
        theirs.seal_once(&to, &hello),
        ours.seal(&to, &hello),
        ours.seal_once(&Subject::node(ours.node()), &hello),
        ours.seal_once(&to, &json!({"id": 7, "errand": "goodbye"})),
        ours.seal_once(&to, &json!({})),
        good.clone(),
        good,
    ] {
        answered.push(hall.bus.request(&to, payload));
    }
    // Errands are taken in one after the other, so whatever is answered is by now.
    let last = hall.bus.request(&to, ours.seal_once(&to, &hello));
    answered.push(last);
    let answer = tokio::time::timeout(DEADLINE, answered[7].next()).await.unwrap();
    let Some(Reply::Answer(answer)) = answer else { panic!("{answer:?}") };
    let opened = ours.open::<Value>(&Subject::answers(ours.node()), &answer).unwrap();
    assert_eq!((opened.node, opened.body["id"].as_u64()), (asked.node(), Some(7)));
    for (nth, replies) in answered.iter_mut().take(7).enumerate() {
        let heard = tokio::time::timeout(Duration::ZERO, replies.next()).await;
        assert_eq!(heard.is_ok(), nth == 5, "{nth}: {heard:?}");
    }
}
