//! Memberships, read markers, and the lists that a member sees.

use natter::domain::membership::ReadMarker;
use natter::domain::{
    Body, Event, Membership, MembershipId, Page, Role, RoomId, RoomKind, Seq, User, UserId,
    Username,
};
use natter::store::{RoomEntry, Store, UserChange};

use super::contract;
use super::world::{Pen, added, all, at, group, paged, private, removed, stir, tick, user};

contract![
    a_membership_says_what_its_event_said,
    nothing_of_before_is_unread_to_a_new_member,
    a_membership_ends_and_may_begin_anew,
    adding_a_member_again_keeps_what_they_have_read,
    nobody_without_an_account_becomes_a_member,
    members_are_the_owner_first_then_by_name,
    members_page_without_gap_or_repeat,
    all_memberships_page_by_id_without_gap_or_repeat,
    a_members_rooms_come_newest_activity_first,
    a_members_rooms_page_without_gap_or_repeat,
    a_room_in_a_list_shows_what_its_member_needs,
    a_cleared_room_has_no_last_message,
    the_peer_shows_as_long_as_they_are_there,
    the_rooms_of_a_user_come_with_their_tails,
    peers_are_the_others_of_private_rooms,
    a_read_marker_only_moves_forward,
    who_writes_has_read_what_stands_before,
    of_many_read_marks_at_once_the_furthest_stays,
    the_last_connection_is_noted,
    who_writes_has_read,
    deleted_accounts_are_found_as_long_as_they_are_in_rooms,
];

fn names(members: &[Membership]) -> Vec<&str> {
    members.iter().map(|member| member.user.username.as_str()).collect()
}

fn rooms(entries: &[RoomEntry]) -> Vec<RoomId> {
    entries.iter().map(|entry| entry.room.id).collect()
}

async fn a_membership_says_what_its_event_said(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let event = pen.write(&ann, added(&bob, Role::Member, None)).await;
    let Body::MemberAdded(said) = &event.body else { unreachable!() };
    let expected = Membership {
        id: said.membership,
        room,
        user: bob.clone(),
        role: Role::Member,
        created_at: event.timestamp,
        last_seen: event.timestamp,
        read: ReadMarker { seq: event.seq, ordinal: event.ordinal },
    };
    assert_eq!(store.membership(room, bob.id).await.unwrap(), Some(expected.clone()));
    assert_eq!(store.membership_by_id(said.membership).await.unwrap(), Some(expected));
    assert_eq!(store.membership(room, ann.id).await.unwrap().unwrap().role, Role::Owner);
    assert_eq!(store.membership(room, UserId::new(tick(), 0)).await.unwrap(), None);
    assert_eq!(store.membership(RoomId::new(tick(), 0), ann.id).await.unwrap(), None);
    assert_eq!(store.membership_by_id(MembershipId::new(tick(), 0)).await.unwrap(), None);
}

async fn nothing_of_before_is_unread_to_a_new_member(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.say_often(&ann, 5).await;
    pen.write(&ann, added(&bob, Role::Member, None)).await;
    let unread = async || {
        let entry = store.rooms_of(bob.id, None, Page::first(1)).await.unwrap().remove(0);
        entry.tail.ordinal - entry.read.ordinal
    };
    assert_eq!(unread().await, 0);
    pen.say_often(&ann, 2).await;
    assert_eq!(unread().await, 2);
}

async fn a_membership_ends_and_may_begin_anew(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    let first = store.membership(room, bob.id).await.unwrap().unwrap();
    let mut pen = Pen::at_tail(store, room).await;
    pen.write(&ann, removed(&bob)).await;
    assert_eq!(store.membership(room, bob.id).await.unwrap(), None);
    assert_eq!(store.membership_by_id(first.id).await.unwrap(), None);
    assert!(store.rooms_of(bob.id, None, Page::first(9)).await.unwrap().is_empty());
    pen.write(&ann, removed(&bob)).await;
    pen.say(&ann, "text").await;
    pen.write(&ann, added(&bob, Role::Member, None)).await;
    let second = store.membership(room, bob.id).await.unwrap().unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(second.read.seq, pen.tail.seq);
    assert_eq!(names(&store.members(room, Page::first(9)).await.unwrap()), ["ann", "bob"]);
}

async fn adding_a_member_again_keeps_what_they_have_read(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    let before = store.membership(room, bob.id).await.unwrap().unwrap();
    let mut pen = Pen::at_tail(store, room).await;
    pen.say(&ann, "unread").await;
    pen.write(&ann, added(&bob, Role::Owner, None)).await;
    let after = store.membership(room, bob.id).await.unwrap().unwrap();
    assert_eq!((after.read, after.created_at), (before.read, before.created_at));
    assert_eq!(after.role, Role::Owner);
    assert_eq!(store.members(room, Page::first(9)).await.unwrap().len(), 2);
}

async fn nobody_without_an_account_becomes_a_member(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let stranger = natter::domain::User { id: UserId::new(tick(), 0), ..ann.clone() };
    let mut pen = Pen::at_tail(store, room).await;
    pen.write(&ann, added(&stranger, Role::Member, None)).await;
    assert_eq!(store.membership(room, stranger.id).await.unwrap(), None);
    assert_eq!(store.tail(room).await.unwrap(), Some(pen.tail));
}

async fn members_are_the_owner_first_then_by_name(store: &dyn Store) {
    let zoe = user(store, "Zoe").await;
    let (bob, ann, cat) =
        (user(store, "bob").await, user(store, "Ann").await, user(store, "CAT").await);
    let room = group(store, &zoe, &[&bob, &ann, &cat]).await;
    let members = store.members(room, Page::first(10)).await.unwrap();
    assert_eq!(names(&members), ["Zoe", "Ann", "bob", "CAT"]);
    assert!(store.members(RoomId::new(tick(), 0), Page::first(10)).await.unwrap().is_empty());
}

async fn members_page_without_gap_or_repeat(store: &dyn Store) {
    let owner = user(store, "owner").await;
    let mut others = Vec::new();
    for n in (0..6).rev() {
        others.push(user(store, &format!("user {n}")).await);
    }
    let room = group(store, &owner, &others.iter().collect::<Vec<_>>()).await;
    let expected = ["owner", "user 0", "user 1", "user 2", "user 3", "user 4", "user 5"];
    for limit in [1, 2, 3, 7, 100] {
        let found =
            paged!(limit, |member: &Membership| member.user.id, |page| store.members(room, page));
        assert_eq!(names(&found), expected, "{limit}");
    }
    let page = Page { after: Some(owner.id), skip: 1, limit: 2 };
    assert_eq!(names(&store.members(room, page).await.unwrap()), ["user 1", "user 2"]);
    // Behind somebody who has gone since.
    Pen::at_tail(store, room).await.write(&owner, removed(&others[2])).await;
    let page = Page { after: Some(others[2].id), skip: 0, limit: 9 };
    assert_eq!(names(&store.members(room, page).await.unwrap()), ["user 4", "user 5"]);
    let page = Page { after: Some(UserId::new(tick(), 0)), skip: 0, limit: 9 };
    assert!(store.members(room, page).await.unwrap().is_empty());
}

async fn all_memberships_page_by_id_without_gap_or_repeat(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    for _ in 0..3 {
        group(store, &ann, &[&bob]).await;
    }
    for limit in [1, 4, 100] {
        let found = paged!(limit, |member: &Membership| member.id, |page| store.memberships(page));
        assert_eq!(found.len(), 6);
        assert!(found.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}

async fn a_members_rooms_come_newest_activity_first(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let quiet = group(store, &ann, &[]).await;
    let pair = private(store, &ann, &bob).await;
    let loud = group(store, &ann, &[&bob]).await;
    stir(store, quiet, &ann, at(1_000)).await;
    stir(store, pair, &ann, at(2_000)).await;
    stir(store, loud, &ann, at(3_000)).await;
    let order = async |kind| rooms(&store.rooms_of(ann.id, kind, Page::first(9)).await.unwrap());
    assert_eq!(order(None).await, [loud, pair, quiet]);
    // An append counts at once.
    let mut pen = Pen::at_tail(store, quiet).await;
    pen.tail.timestamp = at(4_000);
    pen.say(&ann, "text").await;
    assert_eq!(order(None).await, [quiet, loud, pair]);
    assert_eq!(order(Some(RoomKind::Group)).await, [quiet, loud]);
    assert_eq!(order(Some(RoomKind::Private)).await, [pair]);
}

async fn a_members_rooms_page_without_gap_or_repeat(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let mut made = vec![private(store, &ann, &bob).await];
    for _ in 0..6 {
        made.push(group(store, &ann, &[]).await);
    }
    group(store, &bob, &[]).await;
    // Some of the same moment.
    for (n, room) in made.iter().enumerate() {
        stir(store, *room, &ann, at(10_000 + n as u64 / 3)).await;
    }
    let expected = rooms(&store.rooms_of(ann.id, None, Page::first(100)).await.unwrap());
    assert_eq!(expected.len(), 7);
    for limit in [1, 2, 3, 7] {
        let id = |entry: &RoomEntry| entry.room.id;
        let found = paged!(limit, id, |page| store.rooms_of(ann.id, None, page));
        assert_eq!(rooms(&found), expected, "{limit}");
    }
    let page = Page { after: Some(expected[0]), skip: 2, limit: 2 };
    assert_eq!(rooms(&store.rooms_of(ann.id, None, page).await.unwrap()), expected[3..5]);
    // Behind a room that the user has left since, and behind one that never was.
    let mut pen = Pen::at_tail(store, expected[2]).await;
    let timestamp = pen.tail.timestamp; // So that it stays at its place.
    let left = Event { timestamp, ..pen.event(&ann, removed(&ann)) };
    all(store, &[left]).await;
    let page = Page { after: Some(RoomId::new(tick(), 0)), skip: 0, limit: 9 };
    assert!(store.rooms_of(ann.id, None, page).await.unwrap().is_empty());
    let page = Page { after: Some(expected[2]), skip: 0, limit: 9 };
    assert_eq!(rooms(&store.rooms_of(ann.id, None, page).await.unwrap()), expected[3..]);
}

async fn a_room_in_a_list_shows_what_its_member_needs(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = private(store, &ann, &bob).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    let to = ReadMarker { seq: said[0].seq, ordinal: said[0].ordinal };
    store.mark_read(room, bob.id, to).await.unwrap();
    let entry = store.rooms_of(bob.id, None, Page::first(1)).await.unwrap().remove(0);
    assert_eq!(entry.room, store.room(room).await.unwrap().unwrap());
    assert_eq!((entry.role, entry.read, entry.tail), (Role::Member, to, pen.tail));
    assert_eq!(entry.last_message, said.last().cloned());
    assert_eq!(entry.peer, Some((ann.id, ann.username.clone())));
    let entry = store.rooms_of(ann.id, None, Page::first(1)).await.unwrap().remove(0);
    assert_eq!((entry.role, entry.peer), (Role::Owner, Some((bob.id, bob.username.clone()))));
    // A person shows under the name that they have now.
    let name = Username::parse("robert").unwrap();
    let change = UserChange { username: Some(name.clone()), ..UserChange::default() };
    store.update_user(bob.id, change).await.unwrap();
    let entry = store.rooms_of(ann.id, None, Page::first(1)).await.unwrap().remove(0);
    assert_eq!(entry.peer, Some((bob.id, name)));
}

async fn a_cleared_room_has_no_last_message(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 3).await;
    let last = async || {
        let entry = store.rooms_of(ann.id, None, Page::first(1)).await.unwrap().remove(0);
        entry.last_message.map(|message| message.seq)
    };
    assert_eq!(last().await, Some(said[2].seq));
    pen.write(&ann, Body::Deleted { target: said[2].seq }).await;
    assert_eq!(last().await, Some(said[1].seq));
    pen.write(&ann, Body::Cleared { through: pen.tail.seq }).await;
    assert_eq!(last().await, None);
}

async fn the_peer_shows_as_long_as_they_are_there(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = private(store, &ann, &bob).await;
    Pen::at_tail(store, room).await.write(&bob, removed(&bob)).await;
    let entry = store.rooms_of(ann.id, None, Page::first(1)).await.unwrap().remove(0);
    assert_eq!(entry.peer, None);
    assert!(store.peers_of(ann.id).await.unwrap().is_empty());
}

async fn the_rooms_of_a_user_come_with_their_tails(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let one = group(store, &ann, &[&bob]).await;
    let two = private(store, &ann, &bob).await;
    group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, one).await;
    pen.say_often(&ann, 3).await;
    let mut found = store.room_ids_of(bob.id).await.unwrap();
    found.sort_by_key(|room| room.0);
    let other = store.tail(two).await.unwrap().unwrap();
    assert_eq!(found, [(one, pen.tail), (two, other)]);
    assert!(store.room_ids_of(UserId::new(tick(), 0)).await.unwrap().is_empty());
}

async fn peers_are_the_others_of_private_rooms(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let cat = user(store, "cat").await;
    let (one, two) = (private(store, &ann, &bob).await, private(store, &cat, &ann).await);
    private(store, &bob, &cat).await;
    group(store, &ann, &[&bob, &cat]).await;
    let mut found = store.peers_of(ann.id).await.unwrap();
    found.sort_by_key(|peer| peer.0);
    assert_eq!(found, [(one, bob.id, bob.username), (two, cat.id, cat.username)]);
}

async fn a_read_marker_only_moves_forward(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    Pen::at_tail(store, room).await.say_often(&ann, 5).await;
    let to = |seq: u64| ReadMarker { seq: Seq(seq), ordinal: seq.saturating_sub(2) };
    for (mark, then) in [(3, 3), (2, 3), (3, 3), (7, 7), (0, 7), (4, 7)] {
        let answer = store.mark_read(room, bob.id, to(mark)).await.unwrap();
        assert_eq!(answer, Some(to(then)), "{mark}");
    }
    assert_eq!(store.membership(room, bob.id).await.unwrap().unwrap().read, to(7));
    assert_eq!(store.mark_read(room, UserId::new(tick(), 0), to(3)).await.unwrap(), None);
    assert_eq!(store.mark_read(RoomId::new(tick(), 0), bob.id, to(3)).await.unwrap(), None);
}

async fn who_writes_has_read_what_stands_before(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.say(&ann, "one").await;
    let two = pen.say(&bob, "two").await;
    pen.say(&ann, "three").await;
    let read = async |user: &User| {
        let read = store.membership(room, user.id).await.unwrap().unwrap().read;
        (read.seq, read.ordinal)
    };
    assert_eq!(read(&bob).await, (two.seq, 2));
    assert_eq!(read(&ann).await, (pen.tail.seq, 3));
}

async fn of_many_read_marks_at_once_the_furthest_stays(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    Pen::at_tail(store, room).await.say_often(&ann, 50).await;
    let to = |seq: u64| ReadMarker { seq: Seq(seq), ordinal: seq.saturating_sub(2) };
    let marks = (1..=50).map(|seq| store.mark_read(room, bob.id, to((seq * 7) % 50 + 3)));
    let answers = futures::future::try_join_all(marks).await.unwrap();
    assert!(answers.iter().all(Option::is_some));
    assert_eq!(store.membership(room, bob.id).await.unwrap().unwrap().read, to(52));
}

async fn the_last_connection_is_noted(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    store.touch_membership(room, ann.id, at(9_000)).await.unwrap();
    assert_eq!(store.membership(room, ann.id).await.unwrap().unwrap().last_seen, at(9_000));
    store.touch_membership(room, UserId::new(tick(), 0), at(9_000)).await.unwrap();
}

async fn who_writes_has_read(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.say_often(&ann, 3).await;
    let own = pen.say(&bob, "I have read it all").await;
    pen.say(&ann, "but this").await;
    let read = async |user: UserId| store.membership(room, user).await.unwrap().unwrap().read;
    assert_eq!(read(bob.id).await, ReadMarker { seq: own.seq, ordinal: own.ordinal });
    assert_eq!(read(ann.id).await.ordinal, 5);
}

async fn deleted_accounts_are_found_as_long_as_they_are_in_rooms(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (one, other) = (group(store, &ann, &[&bob]).await, group(store, &ann, &[&bob]).await);
    assert_eq!(store.deleted_members(9).await.unwrap(), []);
    store.remove_user(bob.id).await.unwrap();
    for room in [one, other] {
        assert_eq!(store.deleted_members(9).await.unwrap(), [bob.id]);
        Pen::at_tail(store, room).await.write(&ann, removed(&bob)).await;
    }
    assert_eq!(store.deleted_members(9).await.unwrap(), []);
}
