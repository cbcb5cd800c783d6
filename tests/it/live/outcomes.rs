//! Appends of which nobody says what became of them.

use std::sync::Arc;

use natter::domain::event::MemberAdded;
use natter::domain::{ClientId, Role};
use natter::room::{Change, Committed, Refused};
use tokio::task::JoinSet;

use super::hall::{Hall, added, command, post, sign_up};
use crate::support::Fault::{self, None, Refused as NotCarriedOut, ReplyLost};

/// Every way in which three appends can go, and one after them that goes well.
fn troubles() -> Vec<Vec<Fault>> {
    let ways = [None, NotCarriedOut, ReplyLost];
    let mut all = Vec::new();
    for one in ways {
        for two in ways {
            all.extend(ways.map(|three| vec![one, two, three, None]));
        }
    }
    all
}

fn positions(outcomes: &[Result<Committed, Refused>]) -> Vec<u64> {
    let mut all: Vec<u64> =
        outcomes.iter().map(|outcome| outcome.as_ref().unwrap().event.seq.0).collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn messages_whose_outcome_was_unknown_stand_once_and_are_answered() {
    for trouble in troubles() {
        let hall = Arc::new(Hall::with_faults(trouble.clone()).await);
        let (_connection, tape) = hall.listen(&hall.owner, 1).await;
        let mut says = JoinSet::new();
        for nth in 0..30 {
            says.spawn(say(Arc::clone(&hall), nth));
        }
        let outcomes = says.join_all().await;
        assert_eq!(positions(&outcomes), (2..=31).collect::<Vec<_>>(), "{trouble:?}");
        tape.wait_for(31).await;
        let mut words: Vec<u64> =
            tape.lasting().iter().map(|(_, text)| text.parse().unwrap()).collect();
        words.sort_unstable();
        assert_eq!(words, (0..30).collect::<Vec<_>>(), "{trouble:?}");
    }
}

/// Says a number, every other time with a key of the client's.
async fn say(hall: Arc<Hall>, nth: u32) -> Result<Committed, Refused> {
    let mut command = command(&hall.owner, post(&hall.owner, &nth.to_string()));
    if nth.is_multiple_of(2) {
        command.client_id = ClientId::parse(format!("key {nth}")).unwrap();
    }
    hall.rooms.commit(hall.room, command).await
}

#[tokio::test]
async fn a_change_of_membership_whose_outcome_was_unknown_is_answered_as_done() {
    for trouble in troubles() {
        let hall = Hall::with_faults(trouble.clone()).await;
        let guest = sign_up(&hall.store, "guest").await;
        let add: MemberAdded = added(&guest, Role::Member);
        let came = hall.rooms.commit(hall.room, command(&hall.owner, Change::Add(add))).await;
        assert_eq!(came.unwrap().event.seq.0, 2, "{trouble:?}");
        hall.remove(&guest).await;
        assert_eq!(hall.tail().await, 3, "{trouble:?}");
        assert!(hall.store.membership(hall.room, guest.id).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_called_so_and_a_retry_finds_out() {
    // As many tries as there are in a little more than the time after which the sender is told.
    let hall = Hall::with_faults(std::iter::repeat_n(ReplyLost, 36)).await;
    let retry = || {
        let mut command = command(&hall.owner, post(&hall.owner, "hello"));
        command.client_id = ClientId::parse("key".into()).unwrap();
        command
    };
    let outcome = hall.rooms.commit(hall.room, retry()).await;
    assert!(matches!(outcome, Err(Refused::Unknown)));
    let again = hall.rooms.commit(hall.room, retry()).await.unwrap();
    assert_eq!((again.event.seq.0, again.repeated), (2, true));
    assert_eq!(hall.tail().await, 2);
}
