//! The indexes: made by `natter migrate`, verified at every start and from time to time after it.
//!
//! The unique ones are what makes the log right, so a node without them does not serve. On a sharded cluster
//! a unique index holds only within a shard; so each begins with the shard key of its collection, or is the
//! `_id` of documents whose key begins with it.

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use super::read::bounded;
use crate::record::{MESSAGE, STAYS};
use crate::store::{Result, StoreError};

/// One index.
pub(super) struct Index {
    pub(super) collection: &'static str,
    pub(super) name: &'static str,
    pub(super) keys: Document,
    pub(super) unique: bool,
    /// Which documents are in it.
    pub(super) only: Option<Document>,
}

/// Names of indexes, by which queries ask for theirs.
pub(super) mod name {
    pub(in super::super) const ID: &str = "_id_";
    pub(in super::super) const CLIENT_ID: &str = "events_client_id";
    pub(in super::super) const TAILS: &str = "events_tails";
    pub(in super::super) const MESSAGES: &str = "events_messages";
    pub(in super::super) const OWN: &str = "events_own";
    pub(in super::super) const NEWEST: &str = "events_newest";
    pub(in super::super) const STAYS: &str = "events_stays";
    pub(in super::super) const PENDING: &str = "events_pending";
    pub(in super::super) const ROOMS_OPEN: &str = "rooms_open";
    pub(in super::super) const ROOMS_OWNED: &str = "rooms_owned";
    pub(in super::super) const MEMBERS: &str = "memberships_room";
    pub(in super::super) const MEMBERSHIPS: &str = "memberships_user";
    pub(in super::super) const MEMBERSHIP_IDS: &str = "memberships_id";
    pub(in super::super) const EMAILS: &str = "users_email";
    pub(in super::super) const USERNAMES: &str = "users_username";
    pub(in super::super) const ADMINS: &str = "users_admins";
    pub(in super::super) const REVOKED: &str = "users_revoked";
    pub(in super::super) const LEAVING: &str = "users_leaving";
    pub(in super::super) const ERASING: &str = "users_erasing";
    pub(in super::super) const OPEN_REQUESTS: &str = "join_requests_open";
    pub(in super::super) const REQUESTS_OF_ROOM: &str = "join_requests_room";
    pub(in super::super) const REQUESTS_OF_USER: &str = "join_requests_user";
    pub(in super::super) const LOOSE: &str = "uploads_loose";
    pub(in super::super) const UPLOADS: &str = "uploads_room";
}

fn index(collection: &'static str, name: &'static str, keys: Document) -> Index {
    Index { collection, name, keys, unique: false, only: None }
}

impl Index {
    fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    fn only(self, which: Document) -> Self {
        Self { only: Some(which), ..self }
    }

    fn spec(&self) -> Document {
        let mut spec = doc! { "key": self.keys.clone(), "name": self.name };
        if self.unique {
            spec.insert("unique", true);
        }
        if let Some(only) = &self.only {
            spec.insert("partialFilterExpression", only.clone());
        }
        spec
    }
}

/// Every index but those of the keys themselves, which MongoDB makes. The order counts: of two unique indexes that
/// refuse a document, the server names the earlier one.
pub(super) fn all() -> Vec<Index> {
    let mut all = of_events();
    all.extend(of_rooms());
    all.extend(of_users());
    all
}

fn of_events() -> Vec<Index> {
    let there = |field: &str| doc! { field: { "$exists": true } };
    vec![
        index("events", name::CLIENT_ID, doc! { "room": 1, "sender": 1, "client_id": 1 })
            .unique()
            .only(there("client_id")),
        // Whole, and so the one by which the ends of many logs are found at once.
        index("events", name::TAILS, doc! { "room": 1, "_id": 1 }),
        // Pages never walk over what lies between messages, however much it is.
        index("events", name::MESSAGES, doc! { "room": 1, "_id": 1 })
            .only(doc! { "kind": MESSAGE }),
        index("events", name::OWN, doc! { "room": 1, "sender": 1, "_id": 1 }),
        index("events", name::NEWEST, doc! { "timestamp": 1, "_id": 1 })
            .only(doc! { "kind": MESSAGE }),
        index("events", name::STAYS, doc! { "timestamp": 1, "_id": 1 })
            .only(doc! { "kind": { "$in": STAYS.as_slice() } }),
        index("events", name::PENDING, doc! { "room": 1, "_id": 1 }).only(there("pending")),
    ]
}

fn of_rooms() -> Vec<Index> {
    let member = doc! { "id": { "$exists": true } };
    vec![
        index("rooms", name::ROOMS_OPEN, doc! { "state": 1, "is_group": 1, "_id": 1 }),
        index("rooms", name::ROOMS_OWNED, doc! { "owner": 1, "state": 1, "is_group": 1, "_id": 1 }),
        index("memberships", name::MEMBERS, doc! { "room": 1, "user": 1 }).only(member.clone()),
        index("memberships", name::MEMBERSHIPS, doc! { "user": 1, "room": 1 }).only(member.clone()),
        index("memberships", name::MEMBERSHIP_IDS, doc! { "id": 1 }).only(member),
        index("join_requests", name::OPEN_REQUESTS, doc! { "room": 1, "user": 1 })
            .unique()
            .only(doc! { "is_open": true }),
        index("join_requests", name::REQUESTS_OF_ROOM, doc! { "room": 1, "_id": 1 }),
        index("join_requests", name::REQUESTS_OF_USER, doc! { "user": 1 }),
        index("uploads", name::LOOSE, doc! { "loose": 1 })
            .only(doc! { "loose": { "$exists": true } }),
        index("uploads", name::UPLOADS, doc! { "room": 1, "seq": 1 }),
    ]
}

fn of_users() -> Vec<Index> {
    let there = |field: &str| doc! { field: { "$exists": true } };
    vec![
        index("users", name::EMAILS, doc! { "email_folded": 1 })
            .unique()
            .only(there("email_folded")),
        index("users", name::USERNAMES, doc! { "username_folded": 1 })
            .unique()
            .only(there("username_folded")),
        index("users", name::ADMINS, doc! { "is_admin": 1 }).only(doc! { "is_admin": true }),
        index("users", name::REVOKED, doc! { "revoked_at": 1 }).only(there("revoked_at")),
        index("users", name::LEAVING, doc! { "leaving": 1 }).only(there("leaving")),
        index("users", name::ERASING, doc! { "keeps_words": 1 }).only(there("keeps_words")),
    ]
}

/// Makes the indexes that are missing. One that is there in another form is not touched.
///
/// # Errors
///
/// [`StoreError::Unavailable`], with the server's words: also where one of the name is there in another form.
pub(super) async fn create(database: &Database) -> Result<()> {
    let mut all = all().into_iter().peekable();
    while let Some(first) = all.next() {
        let mut specs = vec![Bson::Document(first.spec())];
        while let Some(next) = all.next_if(|next| next.collection == first.collection) {
            specs.push(Bson::Document(next.spec()));
        }
        let command = doc! {
            "createIndexes": first.collection,
            "indexes": specs,
            "commitQuorum": "majority",
            "writeConcern": { "w": "majority", "j": true, "wtimeout": 60_000 },
        };
        // An index of a large log takes its time.
        bounded(std::time::Duration::from_secs(24 * 3600), database.run_command(command)).await?;
    }
    Ok(())
}

/// Checks that every index is there as it has to be.
///
/// # Errors
///
/// [`StoreError::Unprepared`] with the sentence that says which is not; those of the reads.
pub(super) async fn verify(database: &Database, within: std::time::Duration) -> Result<()> {
    let all = all();
    let mut checked = "";
    for index in &all {
        if index.collection == checked {
            continue;
        }
        checked = index.collection;
        let found = bounded(within, list(database, checked)).await?;
        for wanted in all.iter().filter(|index| index.collection == checked) {
            check(wanted, &found)?;
        }
    }
    Ok(())
}

/// The indexes of a collection; none of one that is not there.
async fn list(database: &Database, collection: &str) -> mongodb::error::Result<Vec<Document>> {
    let command = doc! { "listIndexes": collection, "cursor": { "batchSize": 1000 } };
    match database.run_command(command).await {
        Ok(answer) => {
            let batch =
                answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
            let found = batch.into_iter().flatten().filter_map(Bson::as_document);
            Ok(found.cloned().collect())
        }
        Err(error) if is_no_collection(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_no_collection(error: &mongodb::error::Error) -> bool {
    const NAMESPACE_NOT_FOUND: i32 = 26;
    matches!(error.kind.as_ref(), mongodb::error::ErrorKind::Command(command) if command.code == NAMESPACE_NOT_FOUND)
}

fn check(wanted: &Index, found: &[Document]) -> Result<()> {
    let (collection, name) = (wanted.collection, wanted.name);
    let Some(there) = found.iter().find(|there| there.get_str("name").is_ok_and(|own| own == name))
    else {
        return Err(unprepared(format!(
            "the index {name} of the collection {collection} is missing: run `natter migrate`"
        )));
    };
    let is_hidden = there.get_bool("hidden").is_ok_and(|hidden| hidden);
    let unique = there.get_bool("unique").is_ok_and(|unique| unique);
    let only = there.get_document("partialFilterExpression").ok();
    let same_keys = there.get_document("key").is_ok_and(|keys| is_same(keys, &wanted.keys));
    let same_part = match (only, &wanted.only) {
        (None, None) => true,
        (Some(there), Some(wanted)) => is_same(there, wanted),
        _ => false,
    };
    if same_keys && same_part && unique == wanted.unique && !is_hidden {
        return Ok(());
    }
    Err(unprepared(format!(
        "the index {name} of the collection {collection} is not as it has to be: drop it and run `natter migrate`"
    )))
}

/// Whether two documents say the same, whatever kind their numbers are of: a shell writes 1.0 for 1.
fn is_same(one: &Document, other: &Document) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((key, value), (other_key, other))| {
            key == other_key
                && match (value, other) {
                    (Bson::Document(value), Bson::Document(other)) => is_same(value, other),
                    _ => value == other || number(value).is_some_and(|n| number(other) == Some(n)),
                }
        })
}

fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

fn unprepared(sentence: String) -> StoreError {
    StoreError::Unprepared(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collections that may be sharded, and by what. The others are small: they stay on one shard.
    const SHARD_KEYS: [(&str, &str); 5] = [
        ("events", "room"),
        ("memberships", "room"),
        ("join_requests", "room"),
        ("rooms", "_id"),
        ("pairs", "_id"),
    ];

    #[test]
    fn every_unique_index_of_a_sharded_collection_begins_with_its_shard_key() {
        for index in all().iter().filter(|index| index.unique) {
            let shard_key =
                SHARD_KEYS.iter().find(|(collection, _)| *collection == index.collection);
            if let Some((collection, key)) = shard_key {
                let first = index.keys.keys().next().map(String::as_str);
                assert_eq!(first, Some(*key), "{collection} {}", index.name);
            }
        }
    }

    #[test]
    fn a_key_of_a_room_begins_with_the_room() {
        use super::super::field::{place, seat};
        use crate::domain::{RoomId, Seq, UserId};
        let room = RoomId::new(7, 8);
        for key in [place(room, Seq(9)), seat(room, UserId::new(1, 2))] {
            assert!(key.bytes.starts_with(room.as_bytes()));
        }
    }

    #[test]
    fn every_index_has_a_name_of_its_own() {
        let all = all();
        let names: std::collections::HashSet<_> = all.iter().map(|index| index.name).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn numbers_of_a_shell_are_the_same() {
        assert!(is_same(&doc! { "room": 1.0, "_id": 1_i64 }, &doc! { "room": 1, "_id": 1 }));
        assert!(!is_same(&doc! { "_id": 1, "room": 1 }, &doc! { "room": 1, "_id": 1 }));
        assert!(!is_same(&doc! { "room": -1 }, &doc! { "room": 1 }));
    }
}
