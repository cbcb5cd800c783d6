//! A room whose owner changes again and again while people speak: each of them keeps their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use natter::bus::Subject;
use proptest::prelude::*;

use super::fleet::{Fleet, PATIENCE, Speaker};
use crate::support::Fate;

/// How the owner changes.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Another node comes that takes the room over.
    Comes,
    /// The owner is drained and goes.
    Drains,
    /// The owner is killed.
    Dies,
    /// What the owner answers is lost for a while.
    Mute,
    /// The owner is cut off, and back.
    Cut,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => Just(Move::Comes),
        2 => Just(Move::Drains),
        1 => Just(Move::Dies),
        1 => Just(Move::Mute),
        1 => Just(Move::Cut),
    ];
    prop::collection::vec(one, 2..7)
}

/// The nodes that people speak through: these stay.
const STAYING: u64 = 2;

async fn play(moves: Vec<Move>) {
    let mut fleet = Fleet::of(STAYING).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut talks = tokio::task::JoinSet::new();
    for nth in 0..4 {
        let mut speaker = Speaker::new(&fleet.hall.owner, &format!("s{nth}"));
        let (hall, done) = (Arc::clone(&fleet.hall), Arc::clone(&done));
        let node = Arc::clone(fleet.node(nth % STAYING + 1));
        talks.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                speaker.talk(&hall, &node, 25).await;
            }
            speaker
        });
    }
    let mut number = STAYING;
    for one in moves {
        make(&mut fleet, one, &mut number).await;
        goes_on(&fleet).await;
    }
    done.store(true, Ordering::SeqCst);
    let speakers = tokio::time::timeout(PATIENCE, talks.join_all()).await.expect("an end");
    let line = fleet.line(1).await;
    speakers.iter().for_each(|speaker| speaker.check(&line));
}

/// Waits until more was said.
async fn goes_on(fleet: &Fleet) {
    let before = fleet.hall.tail().await;
    let further = async {
        while fleet.hall.tail().await < before + 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, further).await.expect("somebody to go on");
}

async fn make(fleet: &mut Fleet, one: Move, number: &mut u64) {
    let room = fleet.hall.room;
    let believes_to_own =
        |fleet: &Fleet, node: u64| fleet.node(node).nodes.owner_of(room.as_bytes()).is_none();
    let owner = fleet.numbers().into_iter().find(|node| believes_to_own(fleet, *node));
    match (one, owner) {
        (Move::Comes, _) => {
            for _ in 0..4 {
                *number += 1;
                fleet.launch(*number).await;
                fleet.is_acquainted_with(*number).await;
                if believes_to_own(fleet, *number) {
                    return;
                }
            }
        }
        (Move::Drains, Some(owner)) if owner > STAYING => fleet.drain(owner).await,
        (Move::Dies, Some(owner)) if owner > STAYING => fleet.kill(owner),
        (Move::Mute, Some(owner)) => {
            let wire = &fleet.node(owner).wire;
            wire.judged(|subject: &Subject| match subject.is_inbox() {
                true => Fate::Lost,
                false => Fate::Arrives,
            });
            goes_on(fleet).await;
            wire.judged(|_| Fate::Arrives);
        }
        (Move::Cut, Some(owner)) => {
            let wire = &fleet.node(owner).wire;
            wire.cut(true);
            goes_on(fleet).await;
            wire.cut(false);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn whoever_owns_the_room_everybody_keeps_their_order(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(moves));
    }
}
