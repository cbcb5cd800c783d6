//! Rooms that one node of several owns: order, losses, owners that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use natter::bus::{Bus, Reply, Subject};
use natter::domain::Role;
use natter::metrics::DirectReason;
use natter::room::{Change, Refused};
use tokio::task::JoinSet;

use super::fleet::{Fleet, PATIENCE, Speaker, keyed};
use super::hall::{added, command, post, sign_up};
use crate::support::{Fate, Fault};

#[tokio::test]
async fn what_is_said_on_any_node_ends_in_one_line_and_the_owner_alone_appends() {
    let fleet = Fleet::of(3).await;
    let user = &fleet.hall.owner;
    let mut tapes = Vec::new();
    for node in fleet.nodes() {
        tapes.push(node.listen(&fleet.hall, user, 1).await);
    }
    let mut speakers: Vec<_> = (0..6).map(|nth| Speaker::new(user, &format!("s{nth}"))).collect();
    let mut nodes = fleet.nodes().cycle();
    let talks = speakers
        .iter_mut()
        .map(|speaker| speaker.talk(&fleet.hall, nodes.next().expect("it cycles"), 100));
    futures::future::join_all(talks).await;
    let line = fleet.line(1).await;
    assert_eq!(line.len(), 600);
    speakers.iter().for_each(|speaker| speaker.check(&line));
    for (_, tape) in &tapes {
        tape.wait_for(601).await;
        let told: Vec<String> = tape.lasting().into_iter().map(|(_, text)| text).collect();
        assert_eq!(told, line);
    }
    for number in fleet.others() {
        assert_eq!(fleet.node(number).appends(), 0);
        assert!(fleet.node(number).metrics.cluster.forwarded_commands.get() >= 200);
    }
    let appends = fleet.node(fleet.owner()).appends();
    assert!((1..=600).contains(&appends), "{appends}");
}

#[tokio::test]
async fn every_change_of_a_room_goes_by_its_owner() {
    let fleet = Fleet::of(2).await;
    let (hall, here) = (&fleet.hall, fleet.node(fleet.others()[0]));
    let guest = sign_up(&hall.store, "guest").await;
    let mut changes = vec![
        Change::Add(added(&guest, Role::Member)),
        Change::Remove { user: guest.id, reason: natter::domain::RemovalReason::Removed },
    ];
    changes.push(Change::Delete);
    for (nth, change) in changes.into_iter().enumerate() {
        let done = here.commit(hall, command(&hall.owner, change)).await.unwrap();
        assert_eq!(done.event.seq.0, nth as u64 + 2);
    }
    let refused = here.commit(hall, command(&hall.owner, post(&hall.owner, "?"))).await;
    assert!(matches!(refused, Err(Refused::NotFound)));
    assert_eq!(here.appends(), 0);
    assert_eq!(here.metrics.cluster.forwarded_commands.get(), 4);
}

#[tokio::test]
async fn whoever_is_told_a_position_finds_that_their_node_has_delivered_up_to_it() {
    let fleet = Fleet::of(2).await;
    let here = fleet.node(fleet.others()[0]);
    let (_connection, tape) = here.listen(&fleet.hall, &fleet.hall.owner, 1).await;
    // Frames come late or never; the answers do not.
    let owner = fleet.node(fleet.owner());
    let count = AtomicU64::new(0);
    let events = Subject::room_events(fleet.hall.room);
    owner.wire.judged(move |subject| {
        if *subject != events {
            return Fate::Arrives;
        }
        match count.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Fate::Arrives,
            1 => Fate::Lost,
            _ => Fate::Late(Duration::from_millis(20)),
        }
    });
    for nth in 0..20 {
        let said = here.say(&fleet.hall, &fleet.hall.owner, &nth.to_string()).await;
        let told = tape.lasting().last().map(|(seq, _)| *seq);
        assert!(told >= Some(said.event.seq.0), "{told:?}");
    }
}

#[tokio::test]
async fn an_owner_whose_store_is_silent_takes_nothing_and_whoever_asked_goes_the_direct_way() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    owner.rooms.set_silent(true);
    let mut speaker = Speaker::new(&fleet.hall.owner, "s");
    speaker.talk(&fleet.hall, here, 20).await;
    speaker.check(&fleet.line(1).await);
    assert!(here.direct(DirectReason::Bounced) > 0);
    assert_eq!(owner.appends(), 0);
    let user = &fleet.hall.owner;
    let refused = owner.commit(&fleet.hall, command(user, post(user, "?"))).await;
    assert!(matches!(refused, Err(Refused::Unavailable(_))));
    owner.rooms.set_silent(false);
    assert_eq!(owner.say(&fleet.hall, user, "again").await.event.seq.0, 22);
}

#[tokio::test]
async fn a_receipt_that_is_lost_costs_a_moment_and_nothing_else() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    owner.wire.judged(|subject| match subject.is_inbox() {
        true => Fate::Lost,
        false => Fate::Arrives,
    });
    let mut speaker = Speaker::new(&fleet.hall.owner, "s");
    speaker.talk(&fleet.hall, here, 50).await;
    // What the owner has appended and what went the direct way are the same.
    let said = owner.say(&fleet.hall, &fleet.hall.owner, "last").await;
    let line = fleet.line(1).await;
    speaker.check(&line);
    assert_eq!((line.len(), said.event.seq.0), (51, 52));
    assert!(here.direct(DirectReason::NoReceipt) > 0);
}

#[tokio::test]
async fn a_result_that_is_lost_is_found_in_the_log() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    let guest = sign_up(&fleet.hall.store, "guest").await;
    let answers = AtomicU64::new(0);
    owner.wire.judged(move |subject| {
        // The receipt arrives, what follows does not.
        match subject.is_inbox() && answers.fetch_add(1, Ordering::SeqCst) > 0 {
            true => Fate::Lost,
            false => Fate::Arrives,
        }
    });
    let change = Change::Add(added(&guest, Role::Member));
    let done = here.commit(&fleet.hall, command(&fleet.hall.owner, change)).await.unwrap();
    assert_eq!((done.event.seq.0, done.repeated), (2, false));
    assert_eq!(here.direct(DirectReason::NoResult), 1);
    assert_eq!(fleet.hall.tail().await, 2);
}

#[tokio::test]
async fn a_request_that_comes_again_is_carried_out_once() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    let to_owner = Subject::node(owner.nodes.me());
    let mut tape = fleet.bus.subscribe(&to_owner);
    let said = here.say(&fleet.hall, &fleet.hall.owner, "once").await;
    let request = tape.next().await.unwrap().payload;
    // By whoever could listen, to the owner and to another.
    let mut replayed = Vec::new();
    for to in [&to_owner, &to_owner, &Subject::node(here.nodes.me())] {
        replayed.push(fleet.bus.request(to, request.clone()));
    }
    let last = here.say(&fleet.hall, &fleet.hall.owner, "last").await;
    assert_eq!(last.event.seq, said.event.seq.next());
    assert!(here.rooms.reaches(owner.nodes.me(), PATIENCE).await);
    for mut replies in replayed {
        let heard = tokio::time::timeout(Duration::ZERO, replies.next()).await;
        assert!(heard.is_err() || heard == Ok(None), "{heard:?}");
    }
    assert_eq!(fleet.line(1).await, ["once", "last"]);
}

#[tokio::test]
async fn what_a_stranger_answers_is_not_believed() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    // In the owner's place somebody without the key answers first, and somebody with it for another request.
    let to_owner = Subject::node(owner.nodes.me());
    let mut heard = fleet.bus.subscribe(&to_owner);
    let (bus, seal) = (fleet.bus.clone(), owner.seal.clone());
    let (me, sent) = (here.nodes.me(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&sent);
    let stranger = tokio::spawn(async move {
        while let Some(delivery) = heard.next().await {
            let Some(reply) = delivery.reply else { continue };
            let refused =
                serde_json::json!({"id": 7, "answer": {"done": [[0, {"refused": "forbidden"}]]}});
            bus.publish(&reply, seal.seal(&Subject::answers(me), &refused));
            bus.publish(&reply, bytes::Bytes::from_static(b"{}"));
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    for nth in 0..20 {
        here.say(&fleet.hall, &fleet.hall.owner, &nth.to_string()).await;
    }
    assert_eq!(fleet.line(1).await.len(), 20);
    assert!(sent.load(Ordering::SeqCst) > 0);
    stranger.abort();
}

#[tokio::test]
async fn the_same_key_on_three_nodes_at_once_is_stored_once_and_answered_alike() {
    let fleet = Arc::new(Fleet::of(3).await);
    for round in 0..10 {
        let mut tries = JoinSet::new();
        for nth in 0..9 {
            let fleet = Arc::clone(&fleet);
            tries.spawn(async move {
                let key = format!("key {round}");
                let command = keyed(&fleet.hall.owner, "once", &key);
                fleet.node(nth % 3 + 1).commit(&fleet.hall, command).await.unwrap()
            });
        }
        let outcomes = tries.join_all().await;
        assert!(outcomes.iter().all(|outcome| outcome.event.seq.0 == round + 2));
        assert_eq!(outcomes.iter().filter(|outcome| !outcome.repeated).count(), 1);
    }
    assert_eq!(fleet.line(1).await.len(), 10);
}

#[tokio::test]
async fn nodes_that_all_believe_they_own_a_room_share_its_line() {
    // The link of each is down, so that each goes the direct way at once.
    let fleet = Fleet::of(3).await;
    for node in fleet.nodes() {
        node.wire.cut(true);
    }
    let mut speakers: Vec<_> =
        (0..3).map(|nth| Speaker::new(&fleet.hall.owner, &format!("s{nth}"))).collect();
    let talks = speakers.iter_mut().zip(fleet.nodes());
    let talks = talks.map(|(speaker, node)| speaker.talk(&fleet.hall, node, 100));
    futures::future::join_all(talks).await;
    let line = fleet.line(1).await;
    assert_eq!(line.len(), 300);
    speakers.iter().for_each(|speaker| speaker.check(&line));
    for node in fleet.nodes() {
        assert!(node.appends() > 0);
        assert!(node.direct(DirectReason::LinkDown) >= 100);
    }
}

#[tokio::test]
async fn an_owner_that_is_killed_takes_nothing_with_it() {
    for fault in [Fault::Hangs, Fault::HangsAfter] {
        let mut fleet = Fleet::of(5).await;
        let owner = fleet.owner();
        // Carried out or not, the owner never hears of it.
        fleet.node(owner).say(&fleet.hall, &fleet.hall.owner, "before").await;
        fleet.node(owner).store.meets([fault]);
        let mut speakers: Vec<_> = (0..5)
            .filter(|nth| nth + 1 != owner)
            .map(|nth| (nth + 1, Speaker::new(&fleet.hall.owner, &format!("s{nth}"))))
            .collect();
        let hung = fleet.node(owner).store.clone();
        {
            let talks = speakers
                .iter_mut()
                .map(|(number, speaker)| speaker.talk(&fleet.hall, fleet.node(*number), 40));
            let mut talks = std::pin::pin!(futures::future::join_all(talks));
            let hangs = tokio::time::timeout(PATIENCE, hung.has_hung());
            tokio::select! {
                _ = &mut talks => panic!("the owner should hang"),
                hangs = hangs => hangs.unwrap(),
            }
            fleet.node(owner).stop();
            talks.await;
        }
        fleet.kill(owner);
        let line = fleet.line(1).await;
        assert_eq!(line.len(), 161, "{fault:?}");
        for (_, speaker) in &speakers {
            speaker.check(&line);
            assert_eq!(speaker.repeats, 0, "nobody was told that anything failed");
        }
    }
}

#[tokio::test]
async fn a_node_that_is_drained_owns_nothing_finishes_what_it_has_and_fails_nobody() {
    let mut fleet = Fleet::of(3).await;
    let owner = fleet.owner();
    let others = fleet.others();
    let mut speakers: Vec<_> =
        (0..2).map(|nth| Speaker::new(&fleet.hall.owner, &format!("s{nth}"))).collect();
    {
        let going = fleet.node(owner);
        let talks = speakers
            .iter_mut()
            .zip(&others)
            .map(|(speaker, number)| speaker.talk(&fleet.hall, fleet.node(*number), 300));
        let drain = async {
            let (_one, tape) =
                fleet.node(others[0]).listen(&fleet.hall, &fleet.hall.owner, 1).await;
            tape.wait_for(20).await;
            going.nodes.drain();
        };
        tokio::join!(futures::future::join_all(talks), drain);
        assert!(going.nodes.owner_of(fleet.hall.room.as_bytes()).is_some());
        // What its own clients say goes to the new owner, as soon as that one has heard that it is it.
        let to_the_new_owner = async {
            let mut before = None;
            while before != Some(going.appends()) {
                before = Some(going.appends());
                going.say(&fleet.hall, &fleet.hall.owner, "from the one that goes").await;
            }
        };
        tokio::time::timeout(PATIENCE, to_the_new_owner).await.expect("to go to the new owner");
    }
    fleet.drain(owner).await;
    fleet.is_acquainted().await;
    let line = fleet.line(1).await;
    speakers.iter().for_each(|speaker| speaker.check(&line));
    assert!(line.len() > 600);
}

#[tokio::test]
async fn an_owner_that_cannot_read_a_room_bars_what_was_said_behind_the_refusal() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    owner.store.is_blind(true);
    let (connection, _) = super::hall::connection(&fleet.hall.owner, natter::room::Scope::Session);
    let room = fleet.hall.room;
    let (rooms, user) = (here.rooms.clone(), fleet.hall.owner.clone());
    let old = connection.lane(room);
    let first = submit(&rooms, room, Some(old.clone()), &user, "first").await;
    assert!(matches!(first, Err(Refused::Unavailable(_))), "{first:?}");
    owner.store.is_blind(false);
    // Said before the refusal was told; what another says has no part in it.
    let behind = submit(&rooms, room, Some(old), &user, "behind").await;
    assert!(matches!(behind, Err(Refused::Overloaded)), "{behind:?}");
    let other = submit(&rooms, room, None, &user, "other").await.unwrap();
    assert_eq!(other.event.seq.0, 2);
    connection.begin_anew(room);
    let again = submit(&rooms, room, Some(connection.lane(room)), &user, "first").await.unwrap();
    assert_eq!(again.event.seq.0, 3);
    assert_eq!(fleet.line(1).await, ["other", "first"]);
}

async fn submit(
    rooms: &natter::room::Rooms,
    room: natter::domain::RoomId,
    lane: Option<natter::room::Lane>,
    user: &natter::domain::User,
    text: &str,
) -> Result<natter::room::Committed, Refused> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let reply = Box::new(move |outcome| drop(tell.send(outcome)));
    rooms.submit(room, lane, command(user, post(user, text)), reply).await;
    tokio::time::timeout(PATIENCE, told).await.expect("an answer").unwrap()
}

#[tokio::test]
async fn a_node_asked_for_a_room_of_another_sends_back_what_it_is_brought() {
    let fleet = Fleet::of(2).await;
    let (here, owner) = (fleet.node(fleet.others()[0]), fleet.node(fleet.owner()));
    // The owner believes that the other is it, and brings it a command, as a third node would.
    let parcel = serde_json::json!({
        "room": fleet.hall.room, "sender": fleet.hall.owner.id, "client_id": "k", "nonce": 7,
        "authority": "service", "change": "clear",
    });
    let errand = |id: u64, commands: serde_json::Value| serde_json::json!({"id": id, "errand": {"commit": {"commands": commands}}});
    let to = Subject::node(here.nodes.me());
    let asked = owner.seal.seal_once(&to, &errand(1, serde_json::json!([parcel, {"v": 2}])));
    let mut replies = fleet.bus.request(&to, asked);
    let heard = tokio::time::timeout(PATIENCE, replies.next()).await.unwrap();
    let Some(Reply::Answer(answer)) = heard else { panic!("{heard:?}") };
    let answers = Subject::answers(owner.nodes.me());
    let answer = owner.seal.open::<serde_json::Value>(&answers, &answer).unwrap().body;
    assert_eq!(answer["answer"]["done"], serde_json::json!([[0, "bounced"], [1, "bounced"]]));
    assert_eq!(here.metrics.cluster.bounced_commands.get(), 2);
    assert_eq!(fleet.hall.tail().await, 1);
}
