//! What waits for the writer of a room while an append is under way.

use std::sync::Arc;

use natter::domain::{RemovalReason, User};
use natter::metrics::FullQueue;
use natter::room::{Change, Committed, Refused};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::fleet::{Berth, Fleet, PATIENCE};
use super::hall::{added, command, post, sign_up};
use crate::support::Fault;

/// Commands of one node that may wait for the writer of one room.
const PLACES: usize = 1024;

type Outcome = oneshot::Receiver<Result<Committed, Refused>>;

/// One node with a room, of which an append is held.
struct Held {
    fleet: Fleet,
    first: Outcome,
}

impl Held {
    async fn open() -> Self {
        let fleet = Fleet::of(1).await;
        let node = fleet.node(1);
        // The room is live, and its writer knows its members.
        node.say(&fleet.hall, &fleet.hall.owner, "before").await;
        node.store.meets([Fault::Held]);
        let first = submit(&fleet, &fleet.hall.owner, post(&fleet.hall.owner, "first")).await;
        timeout(PATIENCE, node.store.has_hung()).await.unwrap();
        Self { fleet, first }
    }

    fn node(&self) -> &Arc<Berth> {
        self.fleet.node(1)
    }

    async fn submit(&self, user: &User, change: Change) -> Outcome {
        submit(&self.fleet, user, change).await
    }
}

/// Returns once the command has a place among what waits, or is refused.
async fn submit(fleet: &Fleet, user: &User, change: Change) -> Outcome {
    let (tell, told) = oneshot::channel();
    let reply = Box::new(move |outcome| drop(tell.send(outcome)));
    let (rooms, room) = (fleet.node(1).rooms.clone(), fleet.hall.room);
    let command = command(user, change);
    let submitted =
        fleet.node(1).run(async move { rooms.submit(room, None, command, reply).await });
    timeout(PATIENCE, submitted).await.expect("to be submitted").unwrap();
    told
}

async fn told(outcome: Outcome) -> Result<Committed, Refused> {
    timeout(PATIENCE, outcome).await.expect("an answer").unwrap()
}

#[tokio::test]
async fn a_change_of_membership_goes_ahead_of_every_message_that_waits() {
    let held = Held::open().await;
    let (hall, node) = (Arc::clone(&held.fleet.hall), Arc::clone(held.node()));
    let guest = sign_up(&hall.store, "guest").await;
    node.store.release();
    told(held.first).await.unwrap();
    let add = Change::Add(added(&guest, natter::domain::Role::Member));
    node.commit(&hall, command(&hall.owner, add)).await.unwrap();
    node.store.meets([Fault::Held]);
    let held = Held {
        first: submit(&held.fleet, &hall.owner, post(&hall.owner, "under way")).await,
        ..held
    };
    timeout(PATIENCE, node.store.has_hung()).await.unwrap();

    let mut waiting = Vec::new();
    for nth in 0..20 {
        waiting.push(held.submit(&guest, post(&guest, &nth.to_string())).await);
    }
    let reason = RemovalReason::Removed;
    let removed = held.submit(&hall.owner, Change::Remove { user: guest.id, reason }).await;
    node.store.release();
    let under_way = told(held.first).await.unwrap().event.seq;
    assert_eq!(told(removed).await.unwrap().event.seq, under_way.next());
    for outcome in waiting {
        assert!(matches!(told(outcome).await, Err(Refused::NotFound)));
    }
    assert_eq!(hall.tail().await, under_way.0 + 1);
}

#[tokio::test]
async fn what_waits_for_too_long_and_what_finds_no_place_is_refused_and_nothing_of_it_is_stored() {
    let held = Held::open().await;
    let (hall, node) = (Arc::clone(&held.fleet.hall), Arc::clone(held.node()));
    let mut waiting = Vec::new();
    for nth in 1..PLACES {
        waiting.push(held.submit(&hall.owner, post(&hall.owner, &nth.to_string())).await);
    }
    // All places are taken: this one waits for one, until there is a refusal, whichever comes first.
    let late = held.submit(&hall.owner, post(&hall.owner, "late")).await;
    assert!(matches!(told(held.first).await, Err(Refused::Unknown)), "it may yet be stored");
    for outcome in waiting.into_iter().chain([late]) {
        let refused = told(outcome).await;
        assert!(matches!(refused, Err(Refused::Overloaded)), "{refused:?}");
    }
    let refused = node.metrics.queues.refused.of(FullQueue::Writer).get();
    assert_eq!(refused, PLACES as u64);
    node.store.release();
    let again = node.say(&hall, &hall.owner, "again").await;
    assert_eq!(again.event.seq.0, 4);
    assert_eq!(held.fleet.line(1).await, ["before", "first", "again"]);
}
