//! What is known of uploads.

use natter::domain::attachment::Upload;
use natter::domain::{
    Attachment, AttachmentId, AttachmentState, Body, ClientId, Event, ImageSize, RoomId, Seq,
    Timestamp, User, UserId,
};
use natter::store::{Conflict, Store, StoreError};

use super::contract;
use super::world::{Pen, all, at, group, picture, tick, user};

contract![
    an_upload_is_kept_as_it_was_made,
    an_upload_belongs_to_one_message,
    an_upload_is_its_owners_in_its_room,
    of_many_messages_at_once_one_gets_the_upload,
    a_refused_message_gives_its_upload_back,
    what_a_stored_message_has_stays_with_it,
    old_unattached_uploads_are_claimed,
    what_is_being_attached_is_never_claimed,
    uploads_of_messages_that_are_gone_are_claimed,
    the_uploads_of_a_long_log_are_given_up_at_once,
    uploads_of_a_deleted_room_are_claimed,
    a_claimed_upload_is_claimed_until_it_is_forgotten,
];

/// Before any time that the clock shows.
const LONG_AGO: Timestamp = Timestamp(1);

pub(super) fn new_upload(room: RoomId, owner: &User, created_at: Timestamp) -> Upload {
    Upload {
        attachment: Attachment {
            id: AttachmentId::new(tick(), 1),
            file_name: "a \"picture\".png".to_owned(),
            size: 5_000_000_000,
            content_type: "image/png".to_owned(),
            image: Some(ImageSize { width: 640, height: 480, has_thumbnail: true }),
        },
        room,
        owner: owner.id,
        state: AttachmentState::Unattached,
        sha256: [7; 32],
        created_at,
    }
}

async fn upload(store: &dyn Store, room: RoomId, owner: &User) -> Attachment {
    let upload = new_upload(room, owner, at(0));
    store.create_upload(upload.clone()).await.unwrap();
    upload.attachment
}

async fn state(store: &dyn Store, id: AttachmentId) -> AttachmentState {
    store.upload(id).await.unwrap().unwrap().state
}

fn key(text: &str) -> ClientId {
    ClientId::stored(text.to_owned())
}

/// Attaches `file` to a message and stores that.
pub(super) async fn post(pen: &mut Pen<'_>, sender: &User, file: &Attachment) -> Event {
    let event = pen.event(sender, picture(sender, file.clone()));
    let client_id = event.client_id.clone().unwrap();
    pen.store.attach(file.id, pen.room, sender.id, &client_id).await.unwrap();
    all(pen.store, std::slice::from_ref(&event)).await;
    event
}

async fn claimed(store: &dyn Store, before: Timestamp) -> Vec<AttachmentId> {
    let mut found = store.claim_uploads(before, 100).await.unwrap();
    found.sort();
    found
}

fn is_attached<T>(answer: &natter::store::Result<T>) -> bool {
    matches!(answer, Err(StoreError::Conflict(Conflict::Attached)))
}

async fn an_upload_is_kept_as_it_was_made(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let picture = new_upload(room, &ann, at(1));
    let mut file = new_upload(room, &ann, at(2));
    file.attachment.image = None;
    for upload in [picture, file] {
        store.create_upload(upload.clone()).await.unwrap();
        assert_eq!(store.upload(upload.attachment.id).await.unwrap(), Some(upload));
    }
    assert_eq!(store.upload(AttachmentId::new(tick(), 0)).await.unwrap(), None);
    let nowhere = new_upload(RoomId::new(tick(), 0), &ann, at(0));
    assert!(matches!(store.create_upload(nowhere).await, Err(StoreError::NotFound)));
}

async fn an_upload_belongs_to_one_message(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let file = upload(store, room, &ann).await;
    let first = store.attach(file.id, room, ann.id, &key("one")).await.unwrap();
    assert_eq!((first.state, &first.attachment), (AttachmentState::Attached, &file));
    let again = store.attach(file.id, room, ann.id, &key("one")).await.unwrap();
    assert_eq!(again, first);
    assert!(is_attached(&store.attach(file.id, room, ann.id, &key("two")).await));
    assert_eq!(store.upload(file.id).await.unwrap(), Some(first));
}

async fn an_upload_is_its_owners_in_its_room(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let (room, other) = (group(store, &ann, &[&bob]).await, group(store, &ann, &[&bob]).await);
    let file = upload(store, room, &ann).await;
    for (id, room, user) in [
        (file.id, room, bob.id),
        (file.id, other, ann.id),
        (file.id, room, UserId::new(tick(), 0)),
        (AttachmentId::new(tick(), 0), room, ann.id),
    ] {
        let answer = store.attach(id, room, user, &key("key")).await;
        assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
    }
    assert_eq!(state(store, file.id).await, AttachmentState::Unattached);
}

async fn of_many_messages_at_once_one_gets_the_upload(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let file = upload(store, room, &ann).await;
    let keys: Vec<_> = (0..20).map(|n| key(&n.to_string())).collect();
    let answers = keys.iter().map(|key| store.attach(file.id, room, ann.id, key));
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| is_attached(answer)).count(), 19);
}

async fn a_refused_message_gives_its_upload_back(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let file = upload(store, room, &ann).await;
    store.detach(file.id, &key("one")).await.unwrap();
    store.attach(file.id, room, ann.id, &key("one")).await.unwrap();
    store.detach(file.id, &key("two")).await.unwrap();
    assert_eq!(state(store, file.id).await, AttachmentState::Attached);
    store.detach(file.id, &key("one")).await.unwrap();
    assert_eq!(state(store, file.id).await, AttachmentState::Unattached);
    store.attach(file.id, room, ann.id, &key("two")).await.unwrap();
    store.detach(AttachmentId::new(tick(), 0), &key("one")).await.unwrap();
}

async fn what_a_stored_message_has_stays_with_it(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let file = upload(store, room, &ann).await;
    let event = post(&mut Pen::at_tail(store, room).await, &ann, &file).await;
    assert_eq!(store.event(room, event.seq).await.unwrap(), Some(event.clone()));
    let client_id = event.client_id.unwrap();
    store.detach(file.id, &client_id).await.unwrap();
    assert_eq!(state(store, file.id).await, AttachmentState::Attached);
    // A retry of the same message finds it as it is.
    store.attach(file.id, room, ann.id, &client_id).await.unwrap();
    assert!(claimed(store, Timestamp(i64::MAX)).await.is_empty());
    store.remove_upload(file.id).await.unwrap();
    assert!(store.upload(file.id).await.unwrap().is_some(), "nobody has claimed it");
}

async fn old_unattached_uploads_are_claimed(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut files = Vec::new();
    for n in 0..5 {
        let new = new_upload(room, &ann, at(n));
        store.create_upload(new.clone()).await.unwrap();
        files.push(new.attachment.id);
    }
    assert!(claimed(store, at(0)).await.is_empty());
    assert_eq!(claimed(store, at(2)).await, files[..2]);
    assert_eq!(state(store, files[0]).await, AttachmentState::Deleting);
    assert_eq!(state(store, files[2]).await, AttachmentState::Unattached);
    assert!(is_attached(&store.attach(files[0], room, ann.id, &key("key")).await));
    assert_eq!(store.claim_uploads(at(9), 3).await.unwrap().len(), 3);
}

async fn what_is_being_attached_is_never_claimed(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    // Uploaded long ago, attached just now.
    let new = new_upload(room, &ann, LONG_AGO);
    let file = new.attachment.id;
    store.create_upload(new).await.unwrap();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let before = Timestamp::now().minus(day);
    store.attach(file, room, ann.id, &key("key")).await.unwrap();
    assert!(claimed(store, before).await.is_empty());
    // A day later no message has come: it never will.
    assert_eq!(claimed(store, Timestamp::now().plus(day)).await, [file]);
}

async fn uploads_of_messages_that_are_gone_are_claimed(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let mut files = Vec::new();
    let mut events = Vec::new();
    for _ in 0..4 {
        let file = upload(store, room, &ann).await;
        events.push(post(&mut pen, &ann, &file).await);
        files.push(file.id);
    }
    pen.write(&ann, Body::Deleted { target: events[3].seq }).await;
    assert_eq!(claimed(store, LONG_AGO).await, [files[3]]);
    pen.write(&ann, Body::Cleared { through: events[1].seq }).await;
    assert_eq!(claimed(store, LONG_AGO).await, [files[0], files[1], files[3]]);
    assert_eq!(state(store, files[2]).await, AttachmentState::Attached);
    let left = store.event(room, events[2].seq).await.unwrap().unwrap();
    assert!(matches!(left.body, Body::Message(_)) && left.seq > Seq(0));
}

async fn the_uploads_of_a_long_log_are_given_up_at_once(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let (first, last) = (upload(store, room, &ann).await, upload(store, room, &ann).await);
    post(&mut pen, &ann, &first).await;
    pen.say_often(&ann, 3000).await;
    let end = post(&mut pen, &ann, &last).await;
    pen.write(&ann, Body::Cleared { through: end.seq }).await;
    for file in [first, last] {
        assert_eq!(state(store, file.id).await, AttachmentState::Deleting);
    }
}

async fn uploads_of_a_deleted_room_are_claimed(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let (room, other) = (group(store, &ann, &[]).await, group(store, &ann, &[]).await);
    let mut pen = Pen::at_tail(store, room).await;
    let (used, unused) = (upload(store, room, &ann).await, upload(store, room, &ann).await);
    let elsewhere = upload(store, other, &ann).await;
    post(&mut pen, &ann, &used).await;
    pen.write(&ann, Body::RoomDeleted).await;
    assert_eq!(claimed(store, LONG_AGO).await, [used.id, unused.id]);
    assert_eq!(state(store, elsewhere.id).await, AttachmentState::Unattached);
}

async fn a_claimed_upload_is_claimed_until_it_is_forgotten(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let file = upload(store, room, &ann).await;
    store.remove_upload(file.id).await.unwrap();
    assert!(store.upload(file.id).await.unwrap().is_some());
    assert_eq!(claimed(store, at(1)).await, [file.id]);
    assert_eq!(claimed(store, LONG_AGO).await, [file.id]);
    store.remove_upload(file.id).await.unwrap();
    assert_eq!(store.upload(file.id).await.unwrap(), None);
    assert!(claimed(store, at(1)).await.is_empty());
    store.remove_upload(file.id).await.unwrap();
}
