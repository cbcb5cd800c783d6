//! What trimming takes from a log, and what it leaves.

use natter::domain::membership::ReadMarker;
use natter::domain::{
    AttachmentId, AttachmentState, Body, Page, Retention, Role, RoomId, Seq, Timestamp, User,
};
use natter::store::{Appended, History, Store, StoreError};

use super::contract;
use super::uploads::{new_upload, post};
use super::world::{Pen, added, all, at, group, message, paged, removed, seqs, user, whole_log};

contract![
    a_trimmed_log_goes_on_where_it_was,
    the_newest_event_stays_whatever_its_age,
    only_the_beginning_goes,
    what_is_gone_is_unread_by_nobody,
    what_events_have_changed_stays,
    a_room_that_is_cleared_or_deleted_is_trimmed_too,
    a_long_log_goes_in_pieces,
    trimming_twice_and_at_once_is_trimming,
    a_client_id_that_is_gone_is_free_again,
    files_of_messages_that_are_gone_are_claimed,
    how_long_a_room_is_kept_is_what_was_set,
];

const END: Seq = Seq(u64::MAX);

/// Trims until there is no more.
async fn trim(store: &dyn Store, room: RoomId, before: Timestamp) {
    while store.trim(room, before).await.unwrap() {}
}

async fn floor(store: &dyn Store, room: RoomId) -> Seq {
    let floors = store.floors(&[room, RoomId::new(1, 1)]).await.unwrap();
    assert!(floors.len() <= 1);
    floors.first().map_or(Seq::ZERO, |(of, floor)| {
        assert_eq!(*of, room);
        *floor
    })
}

async fn unread(store: &dyn Store, room: RoomId, user: &User) -> u64 {
    let entries = store.rooms_of(user.id, None, Page::first(10)).await.unwrap();
    let entry = entries.iter().find(|entry| entry.room.id == room).unwrap();
    let place = store.membership(room, user.id).await.unwrap().unwrap();
    assert_eq!(place.read.ordinal, entry.read.ordinal);
    entry.tail.ordinal - entry.read.ordinal
}

async fn a_trimmed_log_goes_on_where_it_was(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 9).await;
    assert_eq!(floor(store, room).await, Seq::ZERO);
    trim(store, room, said[5].timestamp).await;
    assert_eq!(floor(store, room).await, said[4].seq);
    assert_eq!(store.tail(room).await.unwrap(), Some(pen.tail));
    assert_eq!(whole_log(store, room, 2).await, said[5..]);
    let newest = store.messages(room, History::Before(END), END, 100).await.unwrap();
    let oldest = store.messages(room, History::After(Seq::ZERO), END, 2).await.unwrap();
    assert_eq!((&newest[..], &oldest[..]), (&said[5..], &said[5..7]));
    assert_eq!(store.event(room, said[4].seq).await.unwrap(), None);
    assert_eq!(store.all_messages(0, 100).await.unwrap().len(), 4);
    // The position behind the tail is the only one that is free, as ever.
    let mut again = said[0].clone();
    again.client_id = None;
    assert!(matches!(store.append(&[again]).await, Appended::PositionTaken { index: 0 }));
    let next = pen.say(&ann, "next").await;
    assert_eq!(next.seq, said[8].seq.next());
    assert_eq!(seqs(&whole_log(store, room, 100).await), (7..=11).collect::<Vec<_>>());
    let state = store.room_state(room).await.unwrap().unwrap();
    assert_eq!((state.tail, state.members.len()), (pen.tail, 1));
}

async fn the_newest_event_stays_whatever_its_age(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    trim(store, room, Timestamp(i64::MAX)).await;
    let left = whole_log(store, room, 10).await;
    assert_eq!(seqs(&left), [said[2].seq.0]);
    assert!(matches!(left[0].body, Body::Gone { .. }), "{left:?}");
    assert_eq!(floor(store, room).await, said[2].seq);
    assert_eq!(store.tail(room).await.unwrap(), Some(pen.tail));
    assert!(store.messages(room, History::Before(END), END, 10).await.unwrap().is_empty());
    let entries = store.rooms_of(ann.id, None, Page::first(10)).await.unwrap();
    assert_eq!((&entries[0].last_message, entries[0].tail), (&None, pen.tail));
    // It goes when there is a newer one.
    let next = pen.say(&ann, "next").await;
    trim(store, room, next.timestamp).await;
    assert_eq!(whole_log(store, room, 10).await, [next]);
}

async fn only_the_beginning_goes(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let mut said = pen.say_often(&ann, 2).await;
    // Another node, whose clock was late.
    let mut late = pen.event(&ann, message(&ann, "late"));
    late.timestamp = at(0);
    all(store, std::slice::from_ref(&late)).await;
    said.push(late);
    trim(store, room, said[1].timestamp).await;
    assert_eq!(whole_log(store, room, 10).await, said[1..]);
}

async fn what_is_gone_is_unread_by_nobody(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 6).await;
    let read = ReadMarker { seq: said[1].seq, ordinal: 2 };
    store.mark_read(room, bob.id, read).await.unwrap();
    assert_eq!((unread(store, room, &bob).await, unread(store, room, &ann).await), (4, 0));
    trim(store, room, said[4].timestamp).await;
    assert_eq!((unread(store, room, &bob).await, unread(store, room, &ann).await), (2, 0));
    assert_eq!(store.ordinal(room, said[0].seq).await.unwrap(), 4);
    assert_eq!(store.ordinal(room, said[4].seq).await.unwrap(), 5);
    // A marker that is set below the floor is at the floor.
    let below = ReadMarker { seq: said[2].seq, ordinal: 4 };
    let stands = store.mark_read(room, bob.id, below).await.unwrap().unwrap();
    assert_eq!(stands, ReadMarker { seq: said[3].seq, ordinal: 4 });
    trim(store, room, Timestamp(i64::MAX)).await;
    assert_eq!((unread(store, room, &bob).await, unread(store, room, &ann).await), (0, 0));
    pen.say(&ann, "new").await;
    assert_eq!((unread(store, room, &bob).await, unread(store, room, &ann).await), (1, 0));
}

async fn what_events_have_changed_stays(store: &dyn Store) {
    let (ann, bob, cat) =
        (user(store, "ann").await, user(store, "bob").await, user(store, "cat").await);
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.write(&ann, added(&bob, Role::Member, None)).await;
    pen.write(&ann, added(&cat, Role::Member, None)).await;
    pen.write(&cat, removed(&cat)).await;
    pen.write(&ann, super::world::updated("another name", &bob)).await;
    pen.say(&bob, "hello").await;
    trim(store, room, Timestamp(i64::MAX)).await;
    let members = store.members(room, Page::first(10)).await.unwrap();
    let members: Vec<_> = members.iter().map(|one| (one.user.id, one.role)).collect();
    assert_eq!(members, [(bob.id, Role::Owner), (ann.id, Role::Member)]);
    assert_eq!(store.membership(room, cat.id).await.unwrap(), None);
    let found = store.room(room).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.owner.id), ("another name", bob.id));
    assert_eq!(found.last_activity, pen.tail.timestamp);
}

async fn a_room_that_is_cleared_or_deleted_is_trimmed_too(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    pen.write(&ann, Body::Cleared { through: said[1].seq }).await;
    trim(store, room, said[2].timestamp).await;
    assert_eq!(seqs(&whole_log(store, room, 10).await), [said[2].seq.0, said[2].seq.0 + 1]);
    pen.write(&ann, Body::RoomDeleted).await;
    trim(store, room, Timestamp(i64::MAX)).await;
    assert_eq!(store.tail(room).await.unwrap(), Some(pen.tail));
    let more = pen.event(&ann, message(&ann, "too late"));
    assert!(matches!(store.append(&[more]).await, Appended::PositionTaken { index: 0 }));
    assert_eq!(store.room(room).await.unwrap(), None);
}

async fn a_long_log_goes_in_pieces(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 2_500).await;
    let before = said[2_400].timestamp;
    let mut pieces = 1;
    while store.trim(room, before).await.unwrap() {
        pieces += 1;
        // What is left at any time has no hole.
        let left = seqs(&whole_log(store, room, 500).await);
        let first = floor(store, room).await.0 + 1;
        assert_eq!(left, (first..=pen.tail.seq.0).collect::<Vec<_>>());
    }
    assert!(pieces > 1, "{pieces}");
    assert_eq!(whole_log(store, room, 500).await, said[2_400..]);
}

async fn trimming_twice_and_at_once_is_trimming(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 20).await;
    let trims = (0..8).map(|n| store.trim(room, said[n * 2].timestamp));
    let appends = async {
        for _ in 0..8 {
            pen.say(&ann, "meanwhile").await;
        }
    };
    let (trimmed, ()) = tokio::join!(futures::future::join_all(trims), appends);
    trimmed.into_iter().for_each(|one| assert!(!one.unwrap()));
    let floor = floor(store, room).await;
    assert_eq!(floor, said[13].seq, "it never goes back");
    let left = seqs(&whole_log(store, room, 100).await);
    assert_eq!(left, (floor.0 + 1..=pen.tail.seq.0).collect::<Vec<_>>());
    assert!(!store.trim(RoomId::new(1, 1), at(5)).await.unwrap(), "a room that never was");
}

async fn a_client_id_that_is_gone_is_free_again(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    let key = |nth: usize| said[nth].client_id.clone().unwrap();
    trim(store, room, said[1].timestamp).await;
    for (nth, left) in [(0, false), (1, true)] {
        let found = store.event_by_client_id(room, ann.id, &key(nth)).await.unwrap();
        assert_eq!(found.is_some(), left, "{nth}");
    }
    let mut kept = pen.event(&ann, message(&ann, "the same key"));
    kept.client_id = Some(key(1));
    assert!(matches!(store.append(&[kept.clone()]).await, Appended::ClientIdTaken { index: 0 }));
    kept.client_id = Some(key(0));
    all(store, &[kept]).await;
}

async fn files_of_messages_that_are_gone_are_claimed(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let mut files: Vec<AttachmentId> = Vec::new();
    let mut events = Vec::new();
    for _ in 0..2 {
        let upload = new_upload(room, &ann, at(0));
        store.create_upload(upload.clone()).await.unwrap();
        events.push(post(&mut pen, &ann, &upload.attachment).await);
        files.push(upload.attachment.id);
    }
    trim(store, room, events[1].timestamp).await;
    assert_eq!(store.claim_uploads(Timestamp(1), 10).await.unwrap(), files[..1]);
    let kept = store.upload(files[1]).await.unwrap().unwrap();
    assert_eq!(kept.state, AttachmentState::Attached);
}

async fn how_long_a_room_is_kept_is_what_was_set(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let rooms = [group(store, &ann, &[]).await, group(store, &ann, &[]).await];
    assert_eq!(store.retention(rooms[0]).await.unwrap(), None);
    for set in [Some(Retention::Days(30)), Some(Retention::Forever), None, Some(Retention::Days(7))]
    {
        store.set_retention(rooms[0], set).await.unwrap();
        assert_eq!(store.retention(rooms[0]).await.unwrap(), set);
    }
    let listed =
        paged!(1, |one: &(RoomId, Option<Retention>)| one.0, |page| store.retentions(page));
    assert_eq!(listed, [(rooms[0], Some(Retention::Days(7))), (rooms[1], None)]);
    Pen::at_tail(store, rooms[1]).await.write(&ann, Body::RoomDeleted).await;
    for nothing in [rooms[1], RoomId::new(1, 1)] {
        assert!(matches!(store.retention(nothing).await, Err(StoreError::NotFound)));
        let set = store.set_retention(nothing, None).await;
        assert!(matches!(set, Err(StoreError::NotFound)));
    }
}
