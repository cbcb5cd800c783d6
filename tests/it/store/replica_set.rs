//! What only the MongoDB adapter promises: how it opens, and what it does while the server fails.

use mongodb::bson::doc;
use natter::config::Secret;
use natter::store::mongodb::Mongodb;
use natter::store::{Access, Store, StoreError};

use super::world::user;
use super::{PATIENT, Place};

async fn refusal(uri: &Secret) -> StoreError {
    Mongodb::open(uri, Access::Command, PATIENT).await.err().expect("it must not be opened")
}

fn sentence(error: StoreError) -> String {
    match error {
        StoreError::Unprepared(sentence) => sentence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_database_without_an_index_is_refused_with_the_sentence_that_says_which() {
    let Some(place) = Place::bare().await else { return };
    let told = sentence(refusal(&place.uri).await);
    assert_eq!(
        told,
        "the index events_client_id of the collection events is missing: run `natter migrate`"
    );
    Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
    place.open().await.close().await;

    let users = place.database().collection::<mongodb::bson::Document>("users");
    users.drop_index("users_email").await.unwrap();
    let told = sentence(refusal(&place.uri).await);
    assert!(told.contains("users_email of the collection users is missing"), "{told}");
    // One of the name that is not unique.
    let index = mongodb::IndexModel::builder()
        .keys(doc! { "email_folded": 1 })
        .options(mongodb::options::IndexOptions::builder().name("users_email".to_owned()).build())
        .build();
    users.create_index(index).await.unwrap();
    for told in
        [refusal(&place.uri).await, Mongodb::migrate(&place.uri, PATIENT).await.unwrap_err()]
    {
        let told = sentence(told);
        assert!(
            told.contains("users_email of the collection users is not as it has to be"),
            "{told}"
        );
    }
    users.drop_index("users_email").await.unwrap();
    Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
    place.open().await.close().await;
    place.end().await;
}

#[tokio::test]
async fn a_database_is_migrated_beside_a_node_and_as_often_as_one_likes() {
    let Some(place) = Place::new().await else { return };
    let store = place.open().await;
    let ann = user(&store, "ann").await;
    let epoch = store.epoch().await.unwrap();
    Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
    Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), epoch);
    store.close().await;
    let again = place.open().await;
    assert_eq!(again.epoch().await.unwrap(), epoch);
    assert_eq!(natter::store::UserStore::user(&again, ann.id).await.unwrap(), Some(ann));
    again.close().await;
    place.end().await;
}

#[tokio::test]
async fn what_waiting_does_not_help_against_is_told_without_the_password() {
    let Some(place) = Place::bare().await else { return };
    let uri = place.uri.expose();
    for (uri, told) in [
        (uri.replace("mongodb://", "mongodb://ann:hunter2@"), "refuses the user or the password"),
        (format!("{uri}&hunter2=hunter2"), "is no URI"),
        ("mongodb://ann:hunter2:x@y/@".to_owned(), "is no URI"),
        ("mongodb://127.0.0.1:hunter2/".to_owned(), "is no URI"),
    ] {
        let error = refusal(&Secret::new(uri)).await;
        assert!(matches!(error, StoreError::Misconfigured(_)), "{error:?}");
        let whole = format!("{error} {error:?}");
        assert!(whole.contains(told) && !whole.contains("hunter2"), "{whole}");
    }
    place.end().await;
}

#[tokio::test]
async fn an_epoch_is_renewed_only_while_no_node_has_the_store_open() {
    let Some(place) = Place::new().await else { return };
    let node = Mongodb::open(&place.uri, Access::Node, PATIENT).await.unwrap();
    let refused = Mongodb::open(&place.uri, Access::Alone, PATIENT).await.err().unwrap();
    assert!(sentence(refused).contains("stop all nodes first"));
    node.close().await;
    let alone = Mongodb::open(&place.uri, Access::Alone, PATIENT).await.unwrap();
    let old = alone.epoch().await.unwrap();
    assert_ne!(alone.renew_epoch().await.unwrap(), old);
    alone.close().await;
    place.end().await;
}

#[tokio::test]
async fn a_closed_store_answers_nothing() {
    let Some(place) = Place::new().await else { return };
    let store = place.open().await;
    store.check().await.unwrap();
    store.close().await;
    store.close().await;
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.epoch().await, Err(StoreError::Unavailable(_))));
    place.end().await;
}
