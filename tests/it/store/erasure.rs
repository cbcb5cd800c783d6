//! Finding what a person has left, and writing it anew.

use natter::domain::{AttachmentState, Body, Page, Role, RoomId, Timestamp, User, UserId, Words};
use natter::store::{Conflict, Store, StoreError};

use super::contract;
use super::uploads::{new_upload, post};
use super::world::{Pen, added, at, group, message, new_user, private, user, whole_log};

contract![
    what_is_to_be_erased_is_noted_until_it_is_done,
    the_last_administrator_is_not_erased,
    a_person_is_found_in_every_room_that_they_left_something_in,
    what_is_rewritten_is_what_stands_there,
    the_file_of_a_message_that_is_rewritten_to_nothing_is_claimed,
    a_private_room_gets_another_name_and_a_group_does_not,
];

/// Everybody's first account administers; this is another's.
async fn person(store: &dyn Store, name: &str) -> User {
    if store.users(Page::first(1)).await.unwrap().is_empty() {
        user(store, "boss").await;
    }
    user(store, name).await
}

async fn what_is_to_be_erased_is_noted_until_it_is_done(store: &dyn Store) {
    let (ann, bob) = (person(store, "ann").await, person(store, "bob").await);
    assert!(store.erasures(10).await.unwrap().is_empty());
    store.begin_erasure(ann.id, Words::Kept).await.unwrap();
    assert_eq!(store.user(ann.id).await.unwrap(), None);
    assert!(store.user_by_login("ann").await.unwrap().is_none());
    assert_eq!(store.erasures(10).await.unwrap(), [(ann.id, Words::Kept)]);
    // Said again, the later word holds; also of one that was deleted before.
    store.begin_erasure(ann.id, Words::Erased).await.unwrap();
    store.remove_user(bob.id).await.unwrap();
    store.begin_erasure(bob.id, Words::Kept).await.unwrap();
    let mut noted = store.erasures(10).await.unwrap();
    noted.sort_by_key(|(user, _)| *user);
    assert_eq!(noted, [(ann.id, Words::Erased), (bob.id, Words::Kept)]);
    assert_eq!(store.erasures(1).await.unwrap().len(), 1);
    let before = Timestamp::now();
    for _ in 0..2 {
        store.end_erasure(ann.id).await.unwrap();
    }
    assert_eq!(store.erasures(10).await.unwrap(), [(bob.id, Words::Kept)]);
    let revoked = store.revoked(before).await.unwrap();
    assert!(revoked.iter().any(|(user, _)| *user == ann.id), "nodes learn that it is done");
    let nobody = store.begin_erasure(UserId::new(1, 1), Words::Erased).await;
    assert!(matches!(nobody, Err(StoreError::NotFound)));
}

async fn the_last_administrator_is_not_erased(store: &dyn Store) {
    let boss = store.create_user(new_user("boss")).await.unwrap();
    let refused = store.begin_erasure(boss.id, Words::Erased).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::LastAdmin))));
    assert_eq!(store.user(boss.id).await.unwrap(), Some(boss));
    assert!(store.erasures(10).await.unwrap().is_empty());
}

async fn a_person_is_found_in_every_room_that_they_left_something_in(store: &dyn Store) {
    let (ann, bob) = (person(store, "ann").await, person(store, "bob").await);
    let member = group(store, &bob, &[&ann]).await;
    let _foreign = group(store, &bob, &[]).await;
    let spoken = group(store, &bob, &[&ann]).await;
    let mut pen = Pen::at_tail(store, spoken).await;
    pen.say(&ann, "hello").await;
    pen.write(&bob, super::world::removed(&ann)).await;
    let deleted = group(store, &bob, &[&ann]).await;
    let mut pen = Pen::at_tail(store, deleted).await;
    pen.say(&ann, "hello").await;
    pen.write(&bob, Body::RoomDeleted).await;
    let mut found: Vec<RoomId> = Vec::new();
    let mut page = Page::first(1);
    loop {
        let (rooms, last) = store.traces(ann.id, page).await.unwrap();
        assert!(rooms.len() <= 1);
        found.extend(rooms);
        let Some(last) = last else { break };
        page.after = Some(last);
    }
    assert_eq!(found, [member, spoken, deleted]);
    let (all, _) = store.traces(ann.id, Page::first(100)).await.unwrap();
    assert_eq!(all, found);
}

async fn what_is_rewritten_is_what_stands_there(store: &dyn Store) {
    let (ann, bob) = (person(store, "ann").await, person(store, "bob").await);
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let coming = pen.write(&ann, added(&bob, Role::Member, None)).await;
    let mut said = pen.say(&bob, "secret").await;
    let gone = pen.say(&bob, "also secret").await;
    let Body::MemberAdded(mut anonymous) = coming.body.clone() else { unreachable!() };
    anonymous.username = natter::domain::Username::stored("(deleted)".to_owned());
    let coming = natter::domain::Event { body: Body::MemberAdded(anonymous), ..coming };
    said.body = message(&ann, "other words");
    let blank = Body::Gone { digest: [0; 16] };
    let gone = natter::domain::Event { body: blank, ..gone };
    let mut beyond = gone.clone();
    beyond.seq = beyond.seq.next();
    let rewritten = [coming.clone(), said.clone(), gone.clone(), beyond];
    for _ in 0..2 {
        store.rewrite(&rewritten).await.unwrap();
    }
    let said = natter::domain::Event {
        body: match said.body {
            // Whose message it is, its event says.
            Body::Message(message) => {
                Body::Message(natter::domain::Message { sender: bob.id, ..message })
            }
            other => other,
        },
        ..said
    };
    assert_eq!(whole_log(store, room, 10).await[1..], [coming, said, gone]);
    let members = store.members(room, Page::first(10)).await.unwrap();
    assert_eq!(members.len(), 2, "what they have changed stays");
    assert_eq!(store.tail(room).await.unwrap(), Some(pen.tail));
}

async fn the_file_of_a_message_that_is_rewritten_to_nothing_is_claimed(store: &dyn Store) {
    let ann = person(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let upload = new_upload(room, &ann, at(0));
    store.create_upload(upload.clone()).await.unwrap();
    let sent = post(&mut pen, &ann, &upload.attachment).await;
    let gone = natter::domain::Event { body: Body::Gone { digest: [0; 16] }, ..sent };
    store.rewrite(&[gone]).await.unwrap();
    let id = upload.attachment.id;
    let state = store.upload(id).await.unwrap().unwrap().state;
    assert_eq!(state, AttachmentState::Deleting);
    assert_eq!(store.claim_uploads(Timestamp(1), 10).await.unwrap(), [id]);
}

async fn a_private_room_gets_another_name_and_a_group_does_not(store: &dyn Store) {
    let (ann, bob) = (person(store, "ann").await, person(store, "bob").await);
    let (pair, open) = (private(store, &ann, &bob).await, group(store, &ann, &[]).await);
    for room in [pair, open] {
        store.rename_private(room, "another").await.unwrap();
    }
    assert_eq!(store.room(pair).await.unwrap().unwrap().name, "another");
    assert_ne!(store.room(open).await.unwrap().unwrap().name, "another");
}
