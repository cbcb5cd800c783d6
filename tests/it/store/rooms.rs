//! Rooms and the lists of them.

use natter::domain::membership::{ReadMarker, sorted_pair};
use natter::domain::room::RoomOwner;
use natter::domain::{Body, Email, Page, Role, Room, RoomId, RoomKind, Seq, UserId, Username};
use natter::store::{NewRoom, RoomEntry, Store, StoreError, UserChange};

use super::contract;
use super::world::{
    Pen, added, at, group, new_group, new_private, new_user, paged, private, removed, stir, tick,
    updated, user, whole_log,
};

contract![
    a_room_is_kept_as_it_was_made,
    a_room_is_made_with_its_log_and_members,
    a_room_of_an_unknown_owner_is_not_made,
    a_room_whose_log_does_not_begin_at_the_beginning_is_not_made,
    making_the_same_room_again_changes_nothing,
    a_pair_gets_the_same_private_room_whoever_asks,
    of_many_who_make_a_pairs_room_at_once_all_get_one,
    a_pair_gets_a_new_room_once_the_old_one_is_deleted,
    the_state_of_a_room_is_of_one_moment,
    a_deleted_room_is_in_no_list,
    rooms_page_by_id_and_kind_without_gap_or_repeat,
    owned_rooms_are_groups_with_the_owners_view,
    a_room_is_listed_for_its_owner_who_is_not_in_it,
    owners_show_as_they_are_now,
    activity_is_that_of_the_newest_event,
    a_new_name_and_a_new_owner_show_at_once,
];

fn ids(rooms: &[Room]) -> Vec<RoomId> {
    rooms.iter().map(|room| room.id).collect()
}

fn entry_id(entry: &RoomEntry) -> RoomId {
    entry.room.id
}

async fn a_room_is_kept_as_it_was_made(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    for (new, kind) in [
        (new_group(store, &ann, &[]), RoomKind::Group),
        (new_private(store, &ann, &bob), RoomKind::Private),
    ] {
        assert_eq!(store.create_room(new.clone()).await.unwrap(), new.id);
        let expected = Room {
            id: new.id,
            name: new.name,
            kind,
            owner: RoomOwner {
                id: ann.id,
                email: ann.email.clone(),
                username: ann.username.clone(),
            },
            created_at: new.created_at,
            last_activity: new.events.last().unwrap().timestamp,
        };
        assert_eq!(store.room(new.id).await.unwrap(), Some(expected));
    }
    assert_eq!(store.room(RoomId::new(tick(), 0)).await.unwrap(), None);
}

async fn a_room_is_made_with_its_log_and_members(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let new = new_group(store, &ann, &[&bob]);
    store.create_room(new.clone()).await.unwrap();
    assert_eq!(whole_log(store, new.id, 10).await, new.events);
    let state = store.room_state(new.id).await.unwrap().unwrap();
    assert_eq!((state.tail.seq, state.tail.ordinal), (Seq(2), 0));
    let mut members = state.members;
    members.sort_by_key(|member| member.0);
    let expected = [(ann.id, ann.username, Role::Owner), (bob.id, bob.username, Role::Member)];
    assert_eq!(members, expected);
}

async fn a_room_of_an_unknown_owner_is_not_made(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let new = NewRoom { owner: UserId::new(tick(), 0), ..new_group(store, &ann, &[]) };
    let id = new.id;
    assert!(matches!(store.create_room(new).await, Err(StoreError::NotFound)));
    assert_eq!(store.room(id).await.unwrap(), None);
    assert_eq!(store.tail(id).await.unwrap(), None);
}

async fn a_room_whose_log_does_not_begin_at_the_beginning_is_not_made(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let mut new = new_group(store, &ann, &[]);
    new.events[0].seq = Seq(2);
    let id = new.id;
    assert!(store.create_room(new).await.is_err());
    assert_eq!(store.room(id).await.unwrap(), None);
    assert_eq!(store.membership(id, ann.id).await.unwrap(), None);
}

async fn making_the_same_room_again_changes_nothing(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let new = new_group(store, &ann, &[]);
    store.create_room(new.clone()).await.unwrap();
    Pen::at_tail(store, new.id).await.say(&ann, "text").await;
    assert_eq!(store.create_room(new.clone()).await.unwrap(), new.id);
    assert_eq!(whole_log(store, new.id, 10).await.len(), 2);
}

async fn a_pair_gets_the_same_private_room_whoever_asks(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let cat = user(store, "cat").await;
    let room = private(store, &ann, &bob).await;
    assert_eq!(private(store, &bob, &ann).await, room);
    assert_ne!(private(store, &ann, &cat).await, room);
    assert_ne!(group(store, &ann, &[&bob]).await, room);
    assert_eq!(whole_log(store, room, 10).await.len(), 2);
    assert_eq!(store.rooms(Some(RoomKind::Private), Page::first(10)).await.unwrap().len(), 2);
}

async fn of_many_who_make_a_pairs_room_at_once_all_get_one(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let made = (0..20).map(async |n| {
        let (one, other) = if n % 2 == 0 { (&ann, &bob) } else { (&bob, &ann) };
        private(store, one, other).await
    });
    let made = futures::future::join_all(made).await;
    assert!(made.iter().all(|room| *room == made[0]), "{made:?}");
    assert_eq!(ids(&store.rooms(None, Page::first(10)).await.unwrap()), [made[0]]);
    assert_eq!(store.room_ids_of(ann.id).await.unwrap().len(), 1);
}

async fn a_pair_gets_a_new_room_once_the_old_one_is_deleted(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let old = private(store, &ann, &bob).await;
    Pen::at_tail(store, old).await.write(&ann, Body::RoomDeleted).await;
    let new = private(store, &ann, &bob).await;
    assert_ne!(new, old);
    assert_eq!(private(store, &bob, &ann).await, new);
    assert!(sorted_pair(ann.id, bob.id) == sorted_pair(bob.id, ann.id));
}

async fn the_state_of_a_room_is_of_one_moment(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let bob = user(store, "bob").await;
    let room = group(store, &ann, &[]).await;
    let come_and_go = async {
        let mut pen = Pen::at_tail(store, room).await;
        for _ in 0..30 {
            pen.write(&ann, added(&bob, Role::Member, None)).await;
            pen.write(&ann, removed(&bob)).await;
        }
    };
    let look = async {
        for _ in 0..60 {
            let state = store.room_state(room).await.unwrap().unwrap();
            let is_in = state.members.iter().any(|member| member.0 == bob.id);
            assert_eq!(is_in, state.tail.seq.0 % 2 == 0, "{:?}", state.tail);
        }
    };
    tokio::join!(come_and_go, look);
}

async fn a_deleted_room_is_in_no_list(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    for room in [group(store, &ann, &[&bob]).await, private(store, &ann, &bob).await] {
        let mut pen = Pen::at_tail(store, room).await;
        pen.say(&ann, "text").await;
        let membership = store.membership(room, ann.id).await.unwrap().unwrap();
        pen.write(&ann, Body::RoomDeleted).await;
        assert_eq!(store.room(room).await.unwrap(), None);
        assert!(store.room_state(room).await.unwrap().is_none());
        assert_eq!(store.membership(room, ann.id).await.unwrap(), None);
        assert_eq!(store.membership_by_id(membership.id).await.unwrap(), None);
    }
    let first = || Page::first(10);
    assert!(store.rooms(None, first()).await.unwrap().is_empty());
    assert!(store.rooms(Some(RoomKind::Group), first()).await.unwrap().is_empty());
    assert!(store.rooms_owned(ann.id, first()).await.unwrap().is_empty());
    assert!(store.rooms_of(ann.id, None, first()).await.unwrap().is_empty());
    assert!(store.room_ids_of(bob.id).await.unwrap().is_empty());
    assert!(store.peers_of(bob.id).await.unwrap().is_empty());
    assert!(store.memberships(Page::first(10)).await.unwrap().is_empty());
    assert!(store.all_messages(0, 10).await.unwrap().is_empty());
}

async fn rooms_page_by_id_and_kind_without_gap_or_repeat(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let (mut groups, mut privates, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..5 {
        let other = user(store, &format!("user {n}")).await;
        groups.push(group(store, &ann, &[]).await);
        privates.push(private(store, &ann, &other).await);
        both.extend([groups[n], privates[n]]);
    }
    let kinds =
        [(Some(RoomKind::Group), groups), (Some(RoomKind::Private), privates), (None, both)];
    for (kind, expected) in kinds {
        for limit in [1, 2, 5, 100] {
            let found = paged!(limit, |room: &Room| room.id, |page| store.rooms(kind, page));
            assert_eq!(ids(&found), expected, "{kind:?} {limit}");
        }
        let page = Page { after: Some(expected[0]), skip: 1, limit: 2 };
        assert_eq!(ids(&store.rooms(kind, page).await.unwrap()), expected[2..4]);
    }
}

async fn owned_rooms_are_groups_with_the_owners_view(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    private(store, &ann, &bob).await;
    group(store, &bob, &[&ann]).await;
    let mut owned = Vec::new();
    for _ in 0..5 {
        owned.push(group(store, &ann, &[&bob]).await);
    }
    let said = Pen::at_tail(store, owned[0]).await.say(&bob, "text").await;
    for limit in [1, 2, 5, 100] {
        let found = paged!(limit, entry_id, |page| store.rooms_owned(ann.id, page));
        assert_eq!(found.iter().map(entry_id).collect::<Vec<_>>(), owned);
        assert!(found.iter().all(|entry| entry.role == Role::Owner && entry.peer.is_none()));
        assert_eq!(found[0].last_message, Some(said.clone()));
        assert_eq!(found[0].tail.ordinal - found[0].read.ordinal, 1);
        assert_eq!(found[1].last_message, None);
    }
}

async fn a_room_is_listed_for_its_owner_who_is_not_in_it(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.say(&ann, "text").await;
    pen.write(&ann, removed(&ann)).await;
    let found = store.rooms_owned(ann.id, Page::first(10)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].role, found[0].tail.ordinal - found[0].read.ordinal), (Role::Owner, 0));
    assert!(store.rooms_of(ann.id, None, Page::first(10)).await.unwrap().is_empty());
}

async fn owners_show_as_they_are_now(store: &dyn Store) {
    let ann = store.create_user(new_user("ann")).await.unwrap();
    let room = group(store, &ann, &[]).await;
    let change = UserChange {
        username: Some(Username::parse("anna").unwrap()),
        email: Some(Email::parse("anna@example.org").unwrap()),
        ..UserChange::default()
    };
    store.update_user(ann.id, change).await.unwrap();
    let owner = store.room(room).await.unwrap().unwrap().owner;
    assert_eq!((owner.username.as_str(), owner.email.as_str()), ("anna", "anna@example.org"));
    let state = store.room_state(room).await.unwrap().unwrap();
    assert_eq!(state.members[0].1.as_str(), "anna");
}

async fn activity_is_that_of_the_newest_event(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let activity = async || store.room(room).await.unwrap().unwrap().last_activity;
    stir(store, room, &ann, at(5_000)).await;
    assert_eq!(activity().await, at(5_000));
    let said = Pen::at_tail(store, room).await.say(&ann, "text").await;
    assert_eq!(activity().await, said.timestamp);
}

async fn a_new_name_and_a_new_owner_show_at_once(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[&bob]).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.write(&ann, updated("new", &bob)).await;
    let found = store.room(room).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.owner.id), ("new", bob.id));
    let role = async |user: UserId| store.membership(room, user).await.unwrap().unwrap().role;
    assert_eq!((role(ann.id).await, role(bob.id).await), (Role::Member, Role::Owner));
    assert!(store.rooms_owned(ann.id, Page::first(10)).await.unwrap().is_empty());
    let owned = store.rooms_owned(bob.id, Page::first(10)).await.unwrap();
    assert_eq!(owned.iter().map(entry_id).collect::<Vec<_>>(), [room]);
    assert_eq!(owned[0].read, ReadMarker { seq: Seq(2), ordinal: 0 });
}
