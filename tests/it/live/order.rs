//! Order, holes, doubles, retries, rights.

use std::sync::Arc;

use natter::domain::{ClientId, Nonce};
use natter::room::{Change, Refused, Rooms, Scope};

use super::hall::{Hall, command, connection, post, rooms_over};

#[tokio::test]
async fn what_one_task_submits_is_stored_and_told_in_this_order() {
    let hall = Hall::new().await;
    let (_connection, tape) = hall.listen(&hall.owner, 1).await;
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for nth in 0..1000 {
        let sender = sender.clone();
        let reply = Box::new(move |outcome: Result<natter::room::Committed, Refused>| {
            sender.send((nth, outcome.unwrap().event.seq.0)).unwrap();
        });
        let change = post(&hall.owner, &nth.to_string());
        hall.rooms.submit(hall.room, None, command(&hall.owner, change), reply).await;
    }
    for nth in 0..1000 {
        assert_eq!(answers.recv().await.unwrap(), (nth, nth + 2));
    }
    tape.wait_for(1001).await;
    let told: Vec<_> =
        tape.lasting().into_iter().map(|(seq, text)| (seq, text.parse().unwrap())).collect();
    let expected: Vec<(u64, u64)> = (0..1000).map(|nth| (nth + 2, nth)).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn every_reader_sees_the_same_line_whoever_speaks() {
    let hall = Arc::new(Hall::new().await);
    let mut speakers = vec![hall.owner.clone()];
    for nth in 0..9 {
        speakers.push(hall.member(&format!("speaker{nth}")).await);
    }
    let start = hall.tail().await;
    let mut tapes = Vec::new();
    for speaker in &speakers {
        tapes.push(hall.listen(speaker, start).await);
    }
    let mut talks = tokio::task::JoinSet::new();
    for speaker in speakers {
        let hall = Arc::clone(&hall);
        talks.spawn(async move {
            for nth in 0..20 {
                hall.say(&speaker, &format!("{} {nth}", speaker.username)).await.unwrap();
            }
        });
    }
    talks.join_all().await;
    let first = tapes[0].1.clone();
    first.wait_for(start + 200).await;
    let line = first.lasting();
    let positions: Vec<u64> = line.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (start + 1..=start + 200).collect::<Vec<_>>());
    for (_, tape) in &tapes {
        tape.wait_for(start + 200).await;
        assert_eq!(tape.lasting(), line);
    }
}

#[tokio::test]
async fn a_connection_resumes_at_every_position_without_a_gap_or_a_double() {
    let hall = Hall::new().await;
    for nth in 2..=400 {
        hall.say(&hall.owner, &nth.to_string()).await.unwrap();
    }
    // From before the ring, from within it, at the tail; and all of it from the store, on a node of its own.
    let other = rooms_over(&hall.store, &hall.bus).await;
    for rooms in [&hall.rooms, &other] {
        let live = rooms.live_room(hall.room).await.unwrap().unwrap();
        for from in (0..=400).step_by(7).chain([399, 400]) {
            let (connection, tape) = connection(&hall.owner, Scope::Room(hall.room));
            live.serve(&connection, natter::domain::Seq(from), live.delivered()).await.unwrap();
            if from < 400 {
                tape.wait_for(400).await;
            }
            let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
            assert_eq!(positions, (from + 1..=400).collect::<Vec<_>>(), "from {from}");
        }
    }
}

#[tokio::test]
async fn who_comes_in_the_middle_of_a_burst_misses_nothing() {
    let hall = Arc::new(Hall::new().await);
    let burst = {
        let hall = Arc::clone(&hall);
        tokio::spawn(async move {
            for nth in 2..=600 {
                hall.say(&hall.owner, &nth.to_string()).await.unwrap();
            }
        })
    };
    let mut tapes = Vec::new();
    while !burst.is_finished() && tapes.len() < 100 {
        let from = hall.tail().await;
        tapes.push((from, hall.listen(&hall.owner, from).await.1));
    }
    burst.await.unwrap();
    assert!(tapes.len() > 5, "the burst was over before anybody came");
    for (from, tape) in tapes.iter().filter(|(from, _)| *from < 600) {
        tape.wait_for(600).await;
        let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
        assert_eq!(positions, (from + 1..=600).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_same_client_id_at_once_is_stored_once_and_answered_alike() {
    let hall = Arc::new(Hall::new().await);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let hall = Arc::clone(&hall);
        tries.spawn(async move {
            let mut command = command(&hall.owner, post(&hall.owner, "once"));
            command.client_id = ClientId::parse("key".into()).unwrap();
            hall.rooms.commit(hall.room, command).await.unwrap()
        });
    }
    let outcomes = tries.join_all().await;
    assert!(outcomes.iter().all(|outcome| outcome.event.seq.0 == 2));
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.repeated).count(), 1);
    assert_eq!(hall.tail().await, 2);

    let mut other = command(&hall.owner, post(&hall.owner, "something else"));
    other.client_id = ClientId::parse("key".into()).unwrap();
    let refused = hall.rooms.commit(hall.room, other).await.unwrap_err();
    assert!(matches!(refused, Refused::ClientIdConflict));
    assert_eq!(hall.tail().await, 2);
}

#[tokio::test]
async fn who_is_removed_gets_the_answer_to_what_was_stored_before_and_nothing_more() {
    let hall = Hall::new().await;
    let guest = hall.member("guest").await;
    let retry = || {
        let mut command = command(&guest, post(&guest, "hello"));
        command.client_id = ClientId::parse("key".into()).unwrap();
        command
    };
    let first = hall.rooms.commit(hall.room, retry()).await.unwrap();
    let (_connection, tape) = hall.listen(&guest, 3).await;
    hall.remove(&guest).await;
    hall.say(&hall.owner, "they are gone").await.unwrap();

    let again = hall.rooms.commit(hall.room, retry()).await.unwrap();
    assert_eq!((again.event.seq, again.repeated), (first.event.seq, true));
    let refused = hall.say(&guest, "still here?").await.unwrap_err();
    assert!(matches!(refused, Refused::NotFound));
    tape.wait("the end", |tape| tape.disconnected.load(std::sync::atomic::Ordering::SeqCst)).await;
    assert_eq!(tape.names().last().unwrap(), "member_removed");
}

#[tokio::test]
async fn nobody_speaks_behind_their_removal_however_close() {
    let hall = Arc::new(Hall::new().await);
    let guest = hall.member("guest").await;
    let flood = {
        let (hall, guest) = (Arc::clone(&hall), guest.clone());
        tokio::spawn(async move {
            let mut last = 0;
            while let Ok(said) = hall.say(&guest, "flood").await {
                last = said.event.seq.0;
            }
            last
        })
    };
    let (_connection, tape) = hall.listen(&hall.owner, 2).await;
    tape.wait_for(20).await;
    hall.remove(&guest).await;
    let last = flood.await.unwrap();
    let tail = hall.tail().await;
    assert_eq!(tail, last + 1, "the removal is the last event, right behind the last message");
}

async fn talk(hall: &Hall, rooms: &Rooms, messages: u32) {
    for nth in 0..messages {
        let change = post(&hall.owner, &nth.to_string());
        rooms.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    }
}

#[tokio::test]
async fn two_writers_of_one_room_share_its_line() {
    let hall = Arc::new(Hall::new().await);
    let other = rooms_over(&hall.store, &hall.bus).await;
    let mut talks = tokio::task::JoinSet::new();
    for rooms in [hall.rooms.clone(), other.clone()] {
        for _ in 0..4 {
            let (hall, rooms) = (Arc::clone(&hall), rooms.clone());
            talks.spawn(async move { talk(&hall, &rooms, 25).await });
        }
    }
    talks.join_all().await;
    assert_eq!(hall.tail().await, 201);
    // What the other wrote is read by the one that is behind, at its next append at the latest.
    let (_connection, tape) = hall.listen(&hall.owner, 1).await;
    let change = post(&hall.owner, "last");
    hall.rooms.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    tape.wait_for(202).await;
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (2..=202).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deleted_room_ends_for_everybody_and_takes_nothing_more() {
    let hall = Hall::new().await;
    let guest = hall.member("guest").await;
    let (_one, tape) = hall.listen(&guest, 2).await;
    let refused = hall.rooms.commit(hall.room, command(&guest, Change::Delete)).await;
    assert!(matches!(refused.unwrap_err(), Refused::Forbidden));
    hall.rooms.commit(hall.room, command(&hall.owner, Change::Delete)).await.unwrap();
    tape.wait_for(3).await;
    assert_eq!(tape.lasting(), [(3, "room_deleted".to_owned())]);
    for user in [&guest, &hall.owner] {
        assert!(matches!(hall.say(user, "anybody?").await.unwrap_err(), Refused::NotFound));
    }
}

#[tokio::test]
async fn a_session_socket_serves_a_room_from_the_moment_its_user_comes_in() {
    let hall = Hall::new().await;
    let guest = super::hall::sign_up(&hall.store, "guest").await;
    let (session, tape) = connection(&guest, Scope::Session);
    hall.rooms.connect(&session).unwrap();
    hall.say(&hall.owner, "before").await.unwrap();
    let change = Change::Add(super::hall::added(&guest, natter::domain::Role::Member));
    hall.rooms.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    hall.say(&hall.owner, "after").await.unwrap();
    tape.wait_for(4).await;
    assert_eq!(tape.lasting(), [(3, "member_added".to_owned()), (4, "after".to_owned())]);
    hall.remove(&guest).await;
    hall.say(&hall.owner, "not for them").await.unwrap();
    tape.wait_for(5).await;
    assert!(session.serves(hall.room).is_none());
    assert_eq!(tape.lasting().last().unwrap(), &(5, "member_removed".to_owned()));
}

#[test]
fn a_minted_key_is_told_to_nobody() {
    assert_eq!(ClientId::minted(Nonce([7; 16])).given(), None);
}
