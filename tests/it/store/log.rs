//! The log: appending, reading back, and what events do to others.

use natter::domain::{Body, ClientId, Event, RemovalReason, Role, RoomId, Seq};
use natter::store::{Appended, History, Store};

use super::contract;
use super::world::{
    Pen, added, all, at, digest, group, message, new_user, removed, seqs, tick, updated, user,
    whole_log,
};

contract![
    every_kind_of_event_comes_back_as_it_was,
    appending_nothing_is_done,
    a_taken_position_keeps_the_prefix_and_nothing_behind,
    the_same_events_again_find_their_positions_taken,
    a_hole_is_refused_like_a_taken_position,
    a_taken_client_id_keeps_the_prefix_and_nothing_behind,
    a_client_id_counts_within_its_room_and_sender,
    of_many_appends_at_one_position_one_wins,
    many_rooms_append_at_once,
    no_position_is_free_in_a_room_that_is_not,
    a_deleted_room_keeps_its_log_and_takes_nothing_more,
    the_tail_follows_the_log,
    a_renewed_epoch_is_another_one,
    tails_are_told_of_many_rooms_at_once,
    beginnings_and_ends_of_stays_are_found_in_every_room,
    events_page_in_order_without_a_hole,
    ordinals_count_messages_only,
    a_deleted_message_leaves_its_place,
    clearing_blanks_every_message_up_to_its_end,
    a_long_log_is_cleared_at_once,
    a_deleted_room_has_nothing_left_to_read,
    an_edit_changes_the_text_and_nothing_else,
    an_event_is_found_by_its_client_id_also_when_it_is_gone,
];

async fn every_kind_of_event_comes_back_as_it_was(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let text = "'; DROP TABLE events; -- \u{1f35c} {\"$gt\": \"\"}\r\n\t\\ %_";
    let target = Seq(900);
    let bodies = [
        message(&ann, text),
        Body::Gone { digest: digest("gone") },
        Body::Edited { target, text: text.to_owned() },
        Body::Deleted { target },
        Body::Reacted { target, emoji: "👍".to_owned(), users: vec![ann.id, bob.id] },
        Body::Reacted { target, emoji: "👍".to_owned(), users: vec![] },
        added(&bob, Role::Member, None),
        updated("new name", &bob),
        removed(&bob),
        Body::MemberRemoved {
            user: bob.id,
            username: bob.username.clone(),
            reason: RemovalReason::AccountDeleted,
        },
        Body::Cleared { through: Seq(0) },
        Body::RoomDeleted,
    ];
    let mut events: Vec<_> = bodies.into_iter().map(|body| pen.event(&ann, body)).collect();
    all(store, &events).await;
    // Nothing but the place is left of the messages of a deleted room.
    events[0].body = Body::Gone { digest: digest(text) };
    assert_eq!(whole_log(store, room, 100).await[1..], events);
    for event in events {
        assert_eq!(store.event(room, event.seq).await.unwrap(), Some(event));
    }
    assert_eq!(store.event(room, Seq(0)).await.unwrap(), None);
    assert_eq!(store.event(room, pen.tail.seq.next()).await.unwrap(), None);
}

async fn appending_nothing_is_done(store: &dyn Store) {
    all(store, &[]).await;
}

async fn a_taken_position_keeps_the_prefix_and_nothing_behind(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let one = pen.say(&ann, "one").await;
    let mut late = Pen { store, room, tail: pen.tail };
    let (two, three) =
        (late.event(&ann, message(&ann, "two")), late.event(&ann, message(&ann, "three")));
    // A batch whose second event claims a position that is taken.
    let stale = Event { seq: one.seq, ..three.clone() };
    let appended = store.append(&[two.clone(), stale, three.clone()]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 1 }), "{appended:?}");
    assert_eq!(whole_log(store, room, 100).await[1..], [one, two]);
    all(store, &[three]).await;
}

async fn the_same_events_again_find_their_positions_taken(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let events = pen.say_often(&ann, 3).await;
    let appended = store.append(&events).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
    // By its nonce each is known as one's own.
    for event in events {
        let found = store.event(room, event.seq).await.unwrap().unwrap();
        assert_eq!(found.nonce, event.nonce);
    }
}

async fn a_hole_is_refused_like_a_taken_position(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let events: Vec<_> = (0..4).map(|_| pen.event(&ann, message(&ann, "text"))).collect();
    let appended = store.append(&events[1..]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
    let with_hole = [events[0].clone(), events[1].clone(), events[3].clone()];
    let appended = store.append(&with_hole).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 2 }), "{appended:?}");
    assert_eq!(whole_log(store, room, 100).await[1..], events[..2]);
}

async fn a_taken_client_id_keeps_the_prefix_and_nothing_behind(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let first = pen.say(&ann, "first").await;
    let mut events: Vec<_> = (0..3).map(|_| pen.event(&ann, message(&ann, "text"))).collect();
    events[1].client_id.clone_from(&first.client_id);
    let appended = store.append(&events).await;
    assert!(matches!(appended, Appended::ClientIdTaken { index: 1 }), "{appended:?}");
    assert_eq!(whole_log(store, room, 100).await[1..], [first, events[0].clone()]);
    // Also twice in one batch.
    let mut pen = Pen::at_tail(store, room).await;
    let mut events: Vec<_> = (0..2).map(|_| pen.event(&ann, message(&ann, "text"))).collect();
    events[1].client_id = events[0].client_id.clone();
    let appended = store.append(&events).await;
    assert!(matches!(appended, Appended::ClientIdTaken { index: 1 }), "{appended:?}");
    assert_eq!(store.tail(room).await.unwrap().unwrap().seq, events[0].seq);
}

async fn a_client_id_counts_within_its_room_and_sender(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (one, other) = (group(store, &ann, &[&bob]).await, group(store, &ann, &[&bob]).await);
    let client_id = Some(ClientId::stored("same".to_owned()));
    for (room, sender) in [(one, &ann), (one, &bob), (other, &ann), (other, &bob)] {
        let mut pen = Pen::at_tail(store, room).await;
        let event = pen.event(sender, message(sender, "text"));
        all(store, &[Event { client_id: client_id.clone(), ..event }]).await;
    }
    // And differs by case: it is a key, not a name.
    let mut pen = Pen::at_tail(store, one).await;
    let event = pen.event(&ann, message(&ann, "text"));
    all(store, &[Event { client_id: Some(ClientId::stored("SAME".to_owned())), ..event }]).await;
}

async fn of_many_appends_at_one_position_one_wins(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let tail = Pen::at_tail(store, room).await.tail;
    let rivals: Vec<_> = (0..20)
        .map(|_| {
            let mut pen = Pen { store, room, tail };
            [pen.event(&ann, message(&ann, "a")), pen.event(&ann, message(&ann, "b"))]
        })
        .collect();
    let appended =
        futures::future::join_all(rivals.iter().map(|events| store.append(events))).await;
    let won: Vec<_> = appended
        .iter()
        .zip(&rivals)
        .filter_map(|(appended, events)| match appended {
            Appended::All => Some(events.to_vec()),
            Appended::PositionTaken { index: 0 } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(whole_log(store, room, 100).await[1..], won[0]);
}

async fn many_rooms_append_at_once(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let mut pens = Vec::new();
    for _ in 0..20 {
        let room = group(store, &ann, &[]).await;
        pens.push(Pen::at_tail(store, room).await);
    }
    let said = futures::future::join_all(pens.iter_mut().map(async |pen| {
        let mut said = Vec::new();
        for n in 0..10 {
            said.push(pen.say(&ann, &format!("{n}")).await);
        }
        (pen.room, said)
    }));
    for (room, said) in said.await {
        assert_eq!(whole_log(store, room, 3).await[1..], said);
    }
}

async fn no_position_is_free_in_a_room_that_is_not(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = RoomId::new(tick(), 0);
    let mut pen = Pen { store, room, tail: natter::domain::room::Tail::default() };
    let appended = store.append(&[pen.event(&ann, message(&ann, "text"))]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
    assert_eq!(store.tail(room).await.unwrap(), None);
    assert!(whole_log(store, room, 10).await.is_empty());
}

async fn a_deleted_room_keeps_its_log_and_takes_nothing_more(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let end = pen.event(&ann, Body::RoomDeleted);
    let behind = pen.event(&ann, added(&bob, Role::Member, None));
    let appended = store.append(&[end.clone(), behind.clone()]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 1 }), "{appended:?}");
    let appended = store.append(&[behind]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
    assert_eq!(store.tail(room).await.unwrap().unwrap().seq, end.seq);
    assert_eq!(whole_log(store, room, 10).await.last(), Some(&end));
    assert_eq!(store.membership(room, bob.id).await.unwrap(), None);
}

async fn the_tail_follows_the_log(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    assert_eq!((pen.tail.seq, pen.tail.ordinal), (Seq(1), 0));
    let said = pen.say_often(&ann, 3).await;
    let tail = store.tail(room).await.unwrap().unwrap();
    assert_eq!((tail.seq, tail.ordinal, tail.timestamp), (Seq(4), 3, said[2].timestamp));
    pen.write(&ann, updated("other", &ann)).await;
    let tail = store.tail(room).await.unwrap().unwrap();
    assert_eq!((tail.seq, tail.ordinal), (Seq(5), 3));
}

async fn a_renewed_epoch_is_another_one(store: &dyn Store) {
    let old = store.epoch().await.unwrap();
    let new = store.renew_epoch().await.unwrap();
    assert_ne!(new, old);
    assert_eq!(store.epoch().await.unwrap(), new);
}

async fn tails_are_told_of_many_rooms_at_once(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let (one, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    Pen::at_tail(store, one).await.say_often(&ann, 3).await;
    let mut pen = Pen::at_tail(store, other).await;
    pen.write(&ann, Body::RoomDeleted).await;
    let never = RoomId::new(tick(), 0);
    let mut found = store.tails(&[other, never, one]).await.unwrap();
    found.sort();
    assert_eq!(found, [(one, Seq(4)), (other, Seq(2))]);
    assert!(store.tails(&[]).await.unwrap().is_empty());
}

async fn beginnings_and_ends_of_stays_are_found_in_every_room(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (one, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    let start = (at(1_000), RoomId::new(0, 0), Seq(0));
    assert!(store.stay_changes(start, 9).await.unwrap().is_empty());
    let mut expected = Vec::new();
    for room in [one, other] {
        let mut pen = Pen::at_tail(store, room).await;
        pen.tail.timestamp = at(2_000);
        pen.say(&ann, "text").await;
        expected.push(pen.write(&ann, added(&bob, Role::Member, None)).await);
        pen.write(&ann, updated("new", &ann)).await;
        expected.push(pen.write(&ann, removed(&bob)).await);
        expected.push(pen.write(&ann, Body::RoomDeleted).await);
    }
    let place = |event: &Event| (event.timestamp, event.room, event.seq);
    expected.sort_by_key(place);
    for limit in [1, 2, 100] {
        let (mut found, mut behind) = (Vec::new(), start);
        loop {
            let page = store.stay_changes(behind, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            behind = place(last);
            found.extend(page);
        }
        assert_eq!(found, expected, "{limit}");
    }
}

async fn events_page_in_order_without_a_hole(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let other = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    for n in 0..6 {
        pen.say(&ann, "text").await;
        pen.write(&ann, updated(&format!("name {n}"), &ann)).await;
        Pen::at_tail(store, other).await.say(&ann, "elsewhere").await;
    }
    for limit in [1, 2, 5, 13, 100] {
        let log = whole_log(store, room, limit).await;
        assert_eq!(seqs(&log), (1..=13).collect::<Vec<_>>());
    }
    let part = store.events(room, Seq(3), Seq(6), 100).await.unwrap();
    assert_eq!(seqs(&part), [4, 5, 6]);
    assert_eq!(seqs(&store.events(room, Seq(3), Seq(6), 2).await.unwrap()), [4, 5]);
    assert!(store.events(room, Seq(13), Seq(100), 10).await.unwrap().is_empty());
    assert!(store.events(room, Seq(6), Seq(3), 10).await.unwrap().is_empty());
}

async fn ordinals_count_messages_only(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    for _ in 0..3 {
        pen.say(&ann, "text").await;
        pen.write(&ann, updated("name", &ann)).await;
    }
    // Positions: 1 made, 2 message, 3 name, 4 message, 5 name, 6 message, 7 name.
    for (seq, ordinal) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (99, 3)]
    {
        assert_eq!(store.ordinal(room, Seq(seq)).await.unwrap(), ordinal, "{seq}");
    }
    pen.write(&ann, Body::Cleared { through: Seq(5) }).await;
    assert_eq!(store.ordinal(room, Seq(4)).await.unwrap(), 2, "what is gone still counts");
    assert_eq!(store.ordinal(RoomId::new(tick(), 0), Seq(4)).await.unwrap(), 0);
}

async fn a_deleted_message_leaves_its_place(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    pen.write(&ann, Body::Deleted { target: said[1].seq }).await;
    let Body::Message(message) = &said[1].body else { unreachable!() };
    let gone = Event { body: Body::Gone { digest: message.digest }, ..said[1].clone() };
    assert_eq!(store.event(room, said[1].seq).await.unwrap(), Some(gone.clone()));
    assert_eq!(whole_log(store, room, 10).await[2], gone);
    let left = store.messages(room, History::Before(Seq(99)), Seq(99), 10).await.unwrap();
    assert_eq!(left, [said[0].clone(), said[2].clone()]);
    // Once more, and of what is no message: nothing changes.
    pen.write(&ann, Body::Deleted { target: said[1].seq }).await;
    pen.write(&ann, Body::Deleted { target: Seq(1) }).await;
    assert!(matches!(store.event(room, Seq(1)).await.unwrap().unwrap().body, Body::MemberAdded(_)));
}

async fn clearing_blanks_every_message_up_to_its_end(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let (room, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    let elsewhere = Pen::at_tail(store, other).await.say(&ann, "elsewhere").await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 5).await;
    let before = whole_log(store, room, 100).await;
    pen.write(&ann, Body::Cleared { through: said[2].seq }).await;
    let after = whole_log(store, room, 100).await;
    for (before, after) in before.iter().zip(&after) {
        let expected = match &before.body {
            Body::Message(message) if before.seq <= said[2].seq => {
                Event { body: Body::Gone { digest: message.digest }, ..before.clone() }
            }
            _ => before.clone(),
        };
        assert_eq!(*after, expected);
    }
    let left = store.messages(room, History::After(Seq(0)), Seq(99), 10).await.unwrap();
    assert_eq!(left, said[3..]);
    assert_eq!(store.event(other, elsewhere.seq).await.unwrap(), Some(elsewhere));
    assert_eq!(store.tail(room).await.unwrap().unwrap().ordinal, 5);
}

async fn a_long_log_is_cleared_at_once(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3500).await;
    let kept = pen.say(&ann, "kept").await;
    let clear = pen.event(&ann, Body::Cleared { through: said[3499].seq });
    // An edit in the same batch finds nothing any more.
    let edit = pen.event(&ann, Body::Edited { target: said[3400].seq, text: "late".to_owned() });
    all(store, &[clear, edit]).await;
    for from in [History::Before(Seq(9999)), History::After(Seq(0))] {
        let page = store.messages(room, from, Seq(9999), 10).await.unwrap();
        assert_eq!(page, std::slice::from_ref(&kept));
    }
    assert_eq!(store.all_messages(0, 10).await.unwrap(), [kept]);
    for event in [&said[0], &said[1700], &said[3400], &said[3499]] {
        let by_seq = store.event(room, event.seq).await.unwrap().unwrap();
        assert!(matches!(by_seq.body, Body::Gone { .. }), "{by_seq:?}");
        let key = event.client_id.as_ref().unwrap();
        assert_eq!(store.event_by_client_id(room, ann.id, key).await.unwrap(), Some(by_seq));
    }
    let log = whole_log(store, room, 500).await;
    assert!(log[1..=3500].iter().all(|event| matches!(event.body, Body::Gone { .. })));
    assert_eq!(log.len(), 3504);
}

async fn a_deleted_room_has_nothing_left_to_read(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    pen.write(&ann, Body::RoomDeleted).await;
    assert!(store.messages(room, History::After(Seq(0)), Seq(99), 10).await.unwrap().is_empty());
    assert!(store.all_messages(0, 10).await.unwrap().is_empty());
    let log = whole_log(store, room, 10).await;
    assert_eq!(seqs(&log), [1, 2, 3, 4, 5]);
    assert!(
        said.iter().all(|event| matches!(log[event.seq.0 as usize - 1].body, Body::Gone { .. }))
    );
}

async fn an_edit_changes_the_text_and_nothing_else(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say(&ann, "before").await;
    pen.write(&ann, Body::Edited { target: said.seq, text: "after".to_owned() }).await;
    let Body::Message(message) = said.body.clone() else { unreachable!() };
    let message = natter::domain::Message { text: "after".to_owned(), ..message };
    let edited = Event { body: Body::Message(message), ..said };
    assert_eq!(store.event(room, edited.seq).await.unwrap(), Some(edited.clone()));
    // What is gone stays gone.
    pen.write(&ann, Body::Deleted { target: edited.seq }).await;
    pen.write(&ann, Body::Edited { target: edited.seq, text: "again".to_owned() }).await;
    let found = store.event(room, edited.seq).await.unwrap().unwrap();
    assert!(matches!(found.body, Body::Gone { .. }));
}

async fn an_event_is_found_by_its_client_id_also_when_it_is_gone(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let bob = store.create_user(new_user("bob")).await.unwrap();
    let room = group(store, &ann, &[&bob]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say(&ann, "text").await;
    let client_id = said.client_id.clone().unwrap();
    let found = store.event_by_client_id(room, ann.id, &client_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&said));
    assert_eq!(store.event_by_client_id(room, bob.id, &client_id).await.unwrap(), None);
    let other = ClientId::stored(format!("{}x", client_id.as_str()));
    assert_eq!(store.event_by_client_id(room, ann.id, &other).await.unwrap(), None);
    pen.write(&ann, Body::Cleared { through: said.seq }).await;
    let found = store.event_by_client_id(room, ann.id, &client_id).await.unwrap().unwrap();
    assert_eq!((found.seq, found.body), (said.seq, Body::Gone { digest: digest("text") }));
    // And its key stays taken.
    let again = Event { client_id: Some(client_id), ..pen.event(&ann, message(&ann, "new")) };
    let appended = store.append(&[again]).await;
    assert!(matches!(appended, Appended::ClientIdTaken { index: 0 }), "{appended:?}");
    assert!(said.timestamp > at(0));
}
