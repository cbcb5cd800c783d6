//! Live rooms of several nodes, which hear of each other over the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use natter::bus::codec::{Frame, Word};
use natter::bus::seal::Seal;
use natter::bus::{Bus, DynBus, Link, LocalBus, MAX_PAYLOAD, Replies, Subject, Subscription};
use natter::domain::{BootId, Epoch, Generation, Role, Seq};
use natter::keys::Keys;
use natter::room::{Change, Refused, Scope};
use natter::store::DynStore;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::hall::{DEADLINE, Hall, added, command, connection, post, rooms_over, seal, sign_up};
use crate::support::Faulty;

/// A bus that hands on what it likes.
struct Lossy<F> {
    bus: LocalBus,
    published: AtomicU64,
    max_payload: usize,
    /// Whether to hand on the message with this number.
    takes: F,
}

impl<F: Fn(u64, &str) -> bool + Send + Sync + 'static> Lossy<F> {
    fn bus(max_payload: usize, takes: F) -> DynBus {
        Arc::new(Self { bus: LocalBus::shared(), published: AtomicU64::new(0), max_payload, takes })
    }
}

#[async_trait]
impl<F: Fn(u64, &str) -> bool + Send + Sync> Bus for Lossy<F> {
    fn publish(&self, subject: &Subject, payload: Bytes) {
        let text = str::from_utf8(&payload).unwrap();
        assert!(text.len() <= self.max_payload, "{subject}: {} bytes", text.len());
        if (self.takes)(self.published.fetch_add(1, Ordering::SeqCst), text) {
            self.bus.publish(subject, payload);
        }
    }

    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn subscribe(&self, subject: &Subject) -> Subscription {
        self.bus.subscribe(subject)
    }

    fn request(&self, subject: &Subject, payload: Bytes) -> Replies {
        self.bus.request(subject, payload)
    }

    async fn settled(&self) {}

    fn reaches_others(&self) -> bool {
        true
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.bus.link()
    }
}

#[tokio::test]
async fn what_is_stored_through_one_node_is_told_on_the_other_in_order() {
    let hall = Hall::new().await;
    let other = rooms_over(&hall.store, &hall.bus).await;
    let (_here, here) = hall.listen(&hall.owner, 1).await;
    let (_there, there) = hall.listen_on(&other, &hall.owner, 1).await;
    for nth in 0..100 {
        // In turns, so that each node is the second to know of every other message.
        let rooms = if nth % 2 == 0 { &hall.rooms } else { &other };
        let change = post(&hall.owner, &nth.to_string());
        rooms.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    }
    for tape in [here, there] {
        tape.wait_for(101).await;
        let told: Vec<_> = tape.lasting();
        let expected: Vec<_> = (0..100).map(|nth| (nth + 2, nth.to_string())).collect();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn what_the_bus_loses_is_read_from_the_store() {
    let hall = Hall::new().await;
    let bus = Lossy::bus(MAX_PAYLOAD, |nth, _| nth.is_multiple_of(3));
    let (here, there) = (rooms_over(&hall.store, &bus).await, rooms_over(&hall.store, &bus).await);
    let (_connection, tape) = hall.listen_on(&there, &hall.owner, 1).await;
    // The last of these is one of those that the bus hands on.
    for nth in 0..40 {
        let change = post(&hall.owner, &nth.to_string());
        here.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    }
    tape.wait_for(41).await;
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (2..=41).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_last_frame_that_is_lost_is_made_good_for_by_an_echo() {
    let hall = Hall::new().await;
    let bus = Lossy::bus(MAX_PAYLOAD, |_, text| !text.contains("\"events\""));
    let store = Faulty::new(Arc::clone(&hall.store), []);
    let read: DynStore = store.clone();
    let (here, there) = (rooms_over(&hall.store, &bus).await, rooms_over(&read, &bus).await);
    let (_connection, tape) = hall.listen_on(&there, &hall.owner, 1).await;
    // A room that has just become live looks into the store by itself, twice more; from then on it has to be told.
    timeout(DEADLINE, store.has_told_tails(3)).await.unwrap();
    for nth in 0..3 {
        let change = post(&hall.owner, &nth.to_string());
        here.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    }
    tape.wait_for(4).await;
    assert_eq!(tape.lasting().len(), 3);
}

#[tokio::test]
async fn what_is_too_large_for_the_bus_is_read_from_the_store() {
    let hall = Hall::new().await;
    let bus = Lossy::bus(2000, |_, _| true);
    let (here, there) = (rooms_over(&hall.store, &bus).await, rooms_over(&hall.store, &bus).await);
    let (_connection, tape) = hall.listen_on(&there, &hall.owner, 1).await;
    let committed = (0..60).map(|nth| {
        let text = if nth % 7 == 0 { "a".repeat(5000) } else { nth.to_string() };
        here.commit(hall.room, command(&hall.owner, post(&hall.owner, &text)))
    });
    futures::future::try_join_all(committed).await.unwrap();
    tape.wait_for(61).await;
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (2..=61).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_is_let_in_through_one_node_is_served_on_the_other() {
    let hall = Hall::new().await;
    let other = rooms_over(&hall.store, &hall.bus).await;
    let guest = sign_up(&hall.store, "guest").await;
    let (session, tape) = connection(&guest, Scope::Session);
    other.connect(&session).unwrap();
    let change = Change::Add(added(&guest, Role::Member));
    hall.rooms.commit(hall.room, command(&hall.owner, change)).await.unwrap();
    tape.wait_for(2).await;
    hall.say(&hall.owner, "welcome").await.unwrap();
    tape.wait_for(3).await;
    assert_eq!(tape.lasting(), [(2, "member_added".to_owned()), (3, "welcome".to_owned())]);
    hall.remove(&guest).await;
    hall.say(&hall.owner, "not for them").await.unwrap();
    tape.wait_for(4).await;
    assert!(session.serves(hall.room).is_none());
}

#[tokio::test]
async fn what_is_fleeting_and_the_end_of_a_session_reach_the_other_node() {
    let hall = Hall::new().await;
    let other = rooms_over(&hall.store, &hall.bus).await;
    let guest = hall.member("guest").await;
    let (session, tape) = connection(&guest, Scope::Session);
    other.connect(&session).unwrap();
    let live = other.live_room(hall.room).await.unwrap().unwrap();
    live.serve(&session, Seq(2), Seq(2)).await.unwrap();
    assert!(live.open(&session, |_| ()));
    hall.rooms.signal(hall.room, "typing", &json!({"is_typing": true}), hall.owner.id);
    tape.wait("typing", |tape| tape.names().contains(&"typing".to_owned())).await;
    hall.rooms.tell_user(guest.id, "join_request", &json!({}));
    tape.wait("a word", |tape| tape.names().contains(&"join_request".to_owned())).await;
    hall.rooms.revoke(guest.id, None);
    tape.wait("the end", |tape| tape.disconnected.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn what_is_forged_or_not_understood_changes_nothing() {
    let hall = Hall::new().await;
    let (_connection, tape) = hall.listen(&hall.owner, 1).await;
    let said = hall.say(&hall.owner, "true").await.unwrap();
    let (ours, theirs) = (seal(), Seal::new(BootId::new(1, 1), Keys::derive(b"theirs", None).bus));
    let subject = Subject::room_events(hall.room);
    let mut elsewhere = (*said.event).clone();
    elsewhere.room = natter::domain::RoomId::new(7, 7);
    elsewhere.seq = Seq(3);
    let mut of_old = (*said.event).clone();
    of_old.seq = Seq(3);
    let epoch = hall.store.epoch().await.unwrap();
    let word = Word::Entered { room: hall.room, seq: Seq(9) };
    for payload in [
        Bytes::from_static(b""),
        Bytes::from_static(b"{}"),
        Bytes::from_static(b"\xff\xfe"),
        Bytes::from_static(br#"{"v":9,"node":"000000000001000000000001","body":{}}"#),
        ours.seal(&subject, &Frame::new(epoch, elsewhere.room, [&elsewhere])),
        ours.seal(&subject, &Frame::new(Epoch(!epoch.0), hall.room, [&of_old])),
        ours.seal(&subject, &word),
        ours.seal(&subject, &Frame::new(epoch, hall.room, [&*said.event])),
        theirs.seal(&subject, &Frame::new(epoch, hall.room, [&of_old])),
        ours.seal(&Subject::room_signals(hall.room), &Frame::new(epoch, hall.room, [&of_old])),
    ] {
        hall.bus.publish(&subject, payload);
    }
    hall.say(&hall.owner, "also true").await.unwrap();
    tape.wait_for(3).await;
    assert_eq!(tape.lasting(), [(2, "true".to_owned()), (3, "also true".to_owned())]);
}

#[tokio::test]
async fn who_hears_of_another_epoch_looks_whether_the_store_has_it() {
    let hall = Hall::new().await;
    let (_connection, tape) = hall.listen(&hall.owner, 1).await;
    let subject = Subject::room_events(hall.room);
    let told_by = |epoch: Epoch| {
        let frame = Frame::tail(epoch, hall.room, Seq(1000));
        hall.bus.publish(&subject, seal().seal(&subject, &frame));
    };
    // Whoever says that is of the past: what they say is not of this log, and everything goes on.
    let epoch = hall.store.epoch().await.unwrap();
    told_by(Epoch(!epoch.0));
    hall.say(&hall.owner, "still here").await.unwrap();
    tape.wait_for(2).await;
    assert!(hall.rooms.outlived().now_or_never().is_none());
    // Now this node is of the past, and hears of it.
    let renewed = hall.store.renew_epoch().await.unwrap();
    told_by(renewed);
    timeout(DEADLINE, hall.rooms.outlived()).await.unwrap();
    let refused = hall.say(&hall.owner, "of another life").await;
    assert!(matches!(refused, Err(Refused::Unavailable(_))));
    assert_eq!(hall.tail().await, 2, "nothing is stored with positions of the past");
}

#[tokio::test]
async fn a_late_word_of_a_revocation_ends_nobody_who_is_back_with_a_newer_token() {
    let hall = Hall::new().await;
    let other = rooms_over(&hall.store, &hall.bus).await;
    let mut tapes = Vec::new();
    for rooms in [&hall.rooms, &other] {
        for generation in [1, 2] {
            let (session, tape) = connection(&hall.owner, Scope::Session);
            session.verified(Generation(generation));
            rooms.connect(&session).unwrap();
            tapes.push((generation, session, tape));
        }
    }
    hall.rooms.revoke(hall.owner.id, Some(Generation(2)));
    for (_, _, tape) in tapes.iter().filter(|(generation, ..)| *generation == 1) {
        tape.wait("the end", |tape| tape.disconnected.load(Ordering::SeqCst)).await;
    }
    hall.rooms.tell_user(hall.owner.id, "join_request", &json!({}));
    for (_, session, tape) in tapes.iter().filter(|(generation, ..)| *generation == 2) {
        tape.hears("join_request").await;
        assert!(!session.is_revoked());
    }
}
