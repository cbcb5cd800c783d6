//! What waits for a client that is slow, stuck or gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use natter::room::{Outbox, Packet, encode};

use super::hall::{Hall, Recorder, Tape};

fn packet(nth: u64) -> Packet {
    Packet::Event("chat", encode(&serde_json::json!({ "seq": nth })))
}

#[tokio::test]
async fn a_stuck_transport_is_given_two_slices_at_most_and_the_rest_in_order() {
    let tape = Arc::new(Tape::default());
    tape.stuck.store(true, Ordering::SeqCst);
    let outbox = Outbox::new(Recorder(Arc::clone(&tape)));
    for nth in 1..=500 {
        outbox.push(packet(nth));
    }
    assert_eq!(tape.lasting().len(), 64);
    for slice in 2..=8 {
        tape.flush();
        let given = (64 * slice).min(500);
        tape.wait("the next slice", |tape| tape.lasting().len() == given).await;
    }
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_lets_a_mebibyte_pile_up_is_cut_off_and_nothing_is_skipped_before() {
    let tape = Arc::new(Tape::default());
    tape.stuck.store(true, Ordering::SeqCst);
    let outbox = Outbox::new(Recorder(Arc::clone(&tape)));
    let large = encode(&serde_json::json!({ "seq": 1, "content": "x".repeat(16 * 1024) }));
    for _ in 0..200 {
        outbox.push(Packet::Event("chat", Arc::clone(&large)));
    }
    assert!(tape.killed.load(Ordering::SeqCst));
    assert!(outbox.is_closed());
    assert_eq!(tape.lasting().len(), 1, "what was given before the end stands");
}

#[tokio::test]
async fn a_transport_is_given_little_more_than_16_kib_at_once() {
    let tape = Arc::new(Tape::default());
    tape.stuck.store(true, Ordering::SeqCst);
    let outbox = Outbox::new(Recorder(Arc::clone(&tape)));
    for nth in 1..=50 {
        let payload = serde_json::json!({ "seq": nth, "content": "x".repeat(4096) });
        outbox.push(Packet::Event("chat", encode(&payload)));
    }
    assert_eq!(tape.lasting().len(), 4);
    tape.flush();
    tape.wait("the next slice", |tape| tape.lasting().len() == 8).await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_for_ten_seconds_is_cut_off() {
    let tape = Arc::new(Tape::default());
    tape.stuck.store(true, Ordering::SeqCst);
    let outbox = Outbox::new(Recorder(Arc::clone(&tape)));
    for nth in 1..=65 {
        outbox.push(packet(nth));
    }
    let begun = tokio::time::Instant::now();
    tape.wait("the end", |tape| tape.killed.load(Ordering::SeqCst)).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_stuck_listener_holds_up_nobody() {
    let hall = Hall::new().await;
    let (_stuck, stuck) = hall.listen(&hall.owner, 1).await;
    stuck.stuck.store(true, Ordering::SeqCst);
    let (_quick, quick) = hall.listen(&hall.owner, 1).await;
    let long = "x".repeat(16 * 1024);
    for _ in 0..200 {
        hall.say(&hall.owner, &long).await.unwrap();
    }
    quick.wait_for(201).await;
    assert!(stuck.killed.load(Ordering::SeqCst));
    assert!(!quick.killed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_client_that_pauses_in_a_long_replay_is_not_cut_off_over_it() {
    let hall = Hall::new().await;
    let long = "x".repeat(16 * 1024);
    for _ in 0..300 {
        hall.say(&hall.owner, &long).await.unwrap();
    }
    // From the store, and from what the feed holds: either is more than may wait for a client.
    for from in [1, 100] {
        let (connection, tape) =
            super::hall::connection(&hall.owner, natter::room::Scope::Room(hall.room));
        tape.stuck.store(true, Ordering::SeqCst);
        let live = hall.rooms.live_room(hall.room).await.unwrap().unwrap();
        let serving = {
            let connection = Arc::clone(&connection);
            let delivered = live.delivered();
            tokio::spawn(async move {
                live.serve(&connection, natter::domain::Seq(from), delivered).await
            })
        };
        tape.wait_for(from + 1).await;
        let filled = async {
            while connection.outbox.takes_more() && !serving.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::hall::DEADLINE, filled).await.unwrap();
        assert!(!connection.outbox.is_closed() && !serving.is_finished(), "from {from}");
        let reading = async {
            while tape.lasting().last().is_none_or(|(seq, _)| *seq < 301) {
                tape.flush();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::hall::DEADLINE, reading).await.unwrap();
        serving.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_slow_client_resumes_what_would_not_fit_into_its_queue() {
    let hall = Hall::new().await;
    let long = "x".repeat(16 * 1024);
    for _ in 0..300 {
        hall.say(&hall.owner, &long).await.unwrap();
    }
    let (connection, tape) =
        super::hall::connection(&hall.owner, natter::room::Scope::Room(hall.room));
    tape.stuck.store(true, Ordering::SeqCst);
    let live = hall.rooms.live_room(hall.room).await.unwrap().unwrap();
    let serving = {
        let connection = Arc::clone(&connection);
        tokio::spawn(async move {
            let delivered = live.delivered();
            live.serve(&connection, natter::domain::Seq(1), delivered).await
        })
    };
    let reading = async {
        while tape.lasting().len() < 300 {
            tape.flush();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::hall::DEADLINE, reading).await.unwrap();
    serving.await.unwrap().unwrap();
    assert!(!tape.killed.load(Ordering::SeqCst));
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (2..=301).collect::<Vec<_>>());
}
