//! Join requests.

use natter::domain::{Body, JoinRequest, JoinRequestId, Page, Role, RoomId, User, UserId};
use natter::store::{Conflict, NewJoinRequest, Store, StoreError};

use super::contract;
use super::world::{Pen, added, at, group, paged, tick, user};

contract![
    a_request_is_kept_as_it_was_made,
    a_user_has_one_open_request_for_a_room,
    of_many_requests_at_once_one_is_kept,
    a_request_needs_its_room_and_its_user,
    a_refused_request_is_answered_and_another_may_follow,
    becoming_a_member_approves_the_request,
    an_answered_request_cannot_be_refused,
    a_request_can_be_deleted_once,
    requests_page_by_id_and_room_without_gap_or_repeat,
    requests_go_with_their_room_and_their_user,
];

fn new_request(room: RoomId, user: &User) -> NewJoinRequest {
    NewJoinRequest {
        id: JoinRequestId::new(tick(), 1),
        room,
        user: user.id,
        message: Some("let me in; -- '".to_owned()),
        created_at: at(3),
    }
}

async fn ask(store: &dyn Store, room: RoomId, user: &User) -> JoinRequestId {
    let request = new_request(room, user);
    let id = request.id;
    store.create_join_request(request).await.unwrap();
    id
}

fn ids(requests: &[JoinRequest]) -> Vec<JoinRequestId> {
    requests.iter().map(|request| request.id).collect()
}

async fn approved(store: &dyn Store, id: JoinRequestId) -> Option<bool> {
    store.join_request(id).await.unwrap().unwrap().approved
}

async fn a_request_is_kept_as_it_was_made(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let new = new_request(room, &bob);
    store.create_join_request(new.clone()).await.unwrap();
    let expected = JoinRequest {
        id: new.id,
        room,
        user: bob,
        message: new.message,
        approved: None,
        created_at: new.created_at,
    };
    assert_eq!(store.join_request(new.id).await.unwrap(), Some(expected));
    let without = NewJoinRequest { message: None, ..new_request(room, &ann) };
    store.create_join_request(without.clone()).await.unwrap();
    assert_eq!(store.join_request(without.id).await.unwrap().unwrap().message, None);
    assert_eq!(store.join_request(JoinRequestId::new(tick(), 0)).await.unwrap(), None);
}

async fn a_user_has_one_open_request_for_a_room(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (room, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    let first = ask(store, room, &bob).await;
    let again = store.create_join_request(new_request(room, &bob)).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::AlreadyRequested))), "{again:?}");
    ask(store, other, &bob).await;
    ask(store, room, &ann).await;
    assert_eq!(store.join_requests(Some(room), Page::first(9)).await.unwrap()[0].id, first);
}

async fn of_many_requests_at_once_one_is_kept(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let asked = (0..20).map(|_| store.create_join_request(new_request(room, &bob)));
    let asked = futures::future::join_all(asked).await;
    assert_eq!(asked.iter().filter(|asked| asked.is_ok()).count(), 1);
    assert_eq!(store.join_requests(None, Page::first(99)).await.unwrap().len(), 1);
}

async fn a_request_needs_its_room_and_its_user(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (room, deleted) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    Pen::at_tail(store, deleted).await.write(&ann, Body::RoomDeleted).await;
    store.remove_user(bob.id).await.unwrap();
    let nowhere = new_request(RoomId::new(tick(), 0), &ann);
    let nobody = NewJoinRequest { user: UserId::new(tick(), 0), ..new_request(room, &ann) };
    for request in [nowhere, nobody, new_request(deleted, &ann), new_request(room, &bob)] {
        let id = request.id;
        let answer = store.create_join_request(request).await;
        assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
        assert_eq!(store.join_request(id).await.unwrap(), None);
    }
}

async fn a_refused_request_is_answered_and_another_may_follow(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let first = ask(store, room, &bob).await;
    store.refuse_join_request(first).await.unwrap();
    assert_eq!(approved(store, first).await, Some(false));
    let second = ask(store, room, &bob).await;
    assert_eq!(approved(store, second).await, None);
    assert_eq!(approved(store, first).await, Some(false));
}

async fn becoming_a_member_approves_the_request(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (room, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    let (here, there) = (ask(store, room, &bob).await, ask(store, other, &bob).await);
    let mut pen = Pen::at_tail(store, room).await;
    pen.write(&ann, added(&bob, Role::Member, Some(here))).await;
    assert_eq!(approved(store, here).await, Some(true));
    assert!(store.membership(room, bob.id).await.unwrap().is_some());
    // One of another room is not this room's to approve.
    pen.write(&ann, added(&bob, Role::Member, Some(there))).await;
    assert_eq!(approved(store, there).await, None);
}

async fn an_answered_request_cannot_be_refused(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let refused = ask(store, room, &bob).await;
    store.refuse_join_request(refused).await.unwrap();
    let approved_one = ask(store, room, &bob).await;
    let mut pen = Pen::at_tail(store, room).await;
    pen.write(&ann, added(&bob, Role::Member, Some(approved_one))).await;
    for (id, stays) in [(refused, false), (approved_one, true)] {
        let answer = store.refuse_join_request(id).await;
        assert!(
            matches!(answer, Err(StoreError::Conflict(Conflict::AlreadyHandled))),
            "{answer:?}"
        );
        assert_eq!(approved(store, id).await, Some(stays));
    }
    let nothing = store.refuse_join_request(JoinRequestId::new(tick(), 0)).await;
    assert!(matches!(nothing, Err(StoreError::NotFound)));
}

async fn a_request_can_be_deleted_once(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let id = ask(store, room, &bob).await;
    store.remove_join_request(id).await.unwrap();
    assert_eq!(store.join_request(id).await.unwrap(), None);
    assert!(matches!(store.remove_join_request(id).await, Err(StoreError::NotFound)));
    ask(store, room, &bob).await;
}

async fn requests_page_by_id_and_room_without_gap_or_repeat(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let (room, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    let (mut here, mut both) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let guest = user(store, &format!("user {n}")).await;
        here.push(ask(store, room, &guest).await);
        both.extend([here[n], ask(store, other, &guest).await]);
    }
    store.refuse_join_request(here[1]).await.unwrap();
    for limit in [1, 2, 5, 100] {
        let id = |request: &JoinRequest| request.id;
        let found = paged!(limit, id, |page| store.join_requests(Some(room), page));
        assert_eq!(ids(&found), here, "{limit}");
        let found = paged!(limit, id, |page| store.join_requests(None, page));
        assert_eq!(ids(&found), both, "{limit}");
    }
    let page = Page { after: Some(here[0]), skip: 1, limit: 2 };
    assert_eq!(ids(&store.join_requests(Some(room), page).await.unwrap()), here[2..4]);
}

async fn requests_go_with_their_room_and_their_user(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let cat = user(store, "cat").await;
    let (room, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    ask(store, room, &bob).await;
    ask(store, other, &bob).await;
    let stays = ask(store, other, &cat).await;
    Pen::at_tail(store, room).await.write(&ann, Body::RoomDeleted).await;
    store.remove_user(bob.id).await.unwrap();
    assert_eq!(ids(&store.join_requests(None, Page::first(9)).await.unwrap()), [stays]);
}
