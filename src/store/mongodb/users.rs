//! Accounts in MongoDB.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::error::duplicate_index;
use super::field::Row;
use super::indexes::name;
use super::rooms::{any_of, behind};
use super::{Base, Mongodb};
use crate::domain::erasure::DELETED;
use crate::domain::text::fold;
use crate::domain::{Page, Timestamp, User, UserId, Username};
use crate::store::{Conflict, NewUser, Result, StoreError, UserChange, UserStore};

/// Ids in one query.
const IDS: usize = 1000;

#[async_trait]
impl UserStore for Mongodb {
    async fn create_user(&self, user: NewUser) -> Result<User> {
        self.0.check_prepared()?;
        let id = user.id;
        if let Err(index) = self.0.insert_one(&self.0.users, document(&user)).await? {
            return Err(conflict(&index));
        }
        self.0.ensure_first_admin(id).await?;
        self.user(id).await?.ok_or(StoreError::NotFound)
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        let found = self.0.find_account(id).await?;
        found.as_ref().map(user_of).transpose()
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<(User, String)>> {
        let login = fold(login);
        // No name holds an `@`, but the order is kept should one ever do.
        for (field, hint) in [("email_folded", name::EMAILS), ("username_folded", name::USERNAMES)]
        {
            let query = self.0.query(&self.0.users, doc! { field: &login }, hint);
            if let Some(found) = query.first().await? {
                return Ok(Some((user_of(&found)?, Row::of(&found).get("password_hash")?)));
            }
        }
        Ok(None)
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        let found = self.0.find_account(id).await?;
        found.map(|found| Row::of(&found).get("password_hash")).transpose()
    }

    async fn update_user(&self, id: UserId, change: UserChange) -> Result<User> {
        self.0.check_prepared()?;
        let update = change_of(&change);
        if change.is_admin == Some(false) || change.is_disabled == Some(true) {
            return self.0.update_but_last_admin(id, update).await;
        }
        self.0.update_account(doc! { "_id": id }, update).await
    }

    async fn remove_user(&self, id: UserId) -> Result<()> {
        self.0.update_but_last_admin(id, removal()).await?;
        self.0.delete_all(&self.0.requests, doc! { "user": id }).await.map(drop)
    }

    async fn users(&self, page: Page<UserId>) -> Result<Vec<User>> {
        let filter = behind(doc! { "is_deleted": false }, &page);
        let query = self.0.query(&self.0.users, filter, name::ID);
        let query = query.sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit);
        query.list().await?.iter().map(user_of).collect()
    }

    async fn users_by_name(&self, prefix: &str, page: Page<UserId>) -> Result<Vec<User>> {
        // The names from the prefix up to the prefix and the last code point, which no name holds. Without a
        // prefix every name matches, and walking in the order of ids is the shorter way.
        let names = doc! { "$gte": prefix, "$lt": format!("{prefix}\u{10ffff}") };
        let hint = if prefix.is_empty() { name::ID } else { name::USERNAMES };
        let filter = behind(doc! { "username_folded": names, "is_disabled": false }, &page);
        let query = self.0.query(&self.0.users, filter, hint);
        let query = query.sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit);
        query.list().await?.iter().map(user_of).collect()
    }

    async fn revoked(&self, since: Timestamp) -> Result<Vec<(UserId, Timestamp)>> {
        let filter = doc! { "revoked_at": { "$gte": since } };
        let query = self.0.query(&self.0.users, filter, name::REVOKED);
        let query = query.sort(doc! { "revoked_at": 1 }).only(doc! { "revoked_at": 1 });
        let found = query.list().await?;
        let revoked = found.iter().map(|document| {
            let row = Row::of(document);
            Ok((row.get("_id")?, row.get("revoked_at")?))
        });
        revoked.collect()
    }
}

impl Base {
    /// The document of an account that is not deleted.
    pub(super) async fn find_account(&self, id: UserId) -> Result<Option<RawDocumentBuf>> {
        let filter = doc! { "_id": id, "is_deleted": false };
        self.query(&self.users, filter, name::ID).first().await
    }

    /// These accounts, also deleted ones: what is left of them is called so.
    pub(super) async fn accounts(
        &self,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, User>> {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut accounts = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            let filter = doc! { "_id": any_of(ids.iter().copied()) };
            for found in self.query(&self.users, filter, name::ID).list().await? {
                let user = user_of(&found)?;
                accounts.insert(user.id, user);
            }
        }
        Ok(accounts)
    }

    /// Changes the account that `filter` finds, which is not deleted, and answers with it.
    pub(super) async fn update_account(
        &self,
        mut filter: Document,
        update: Document,
    ) -> Result<User> {
        filter.insert("is_deleted", false);
        let updated = async {
            let changed = self.users.find_one_and_update(filter, update);
            changed.return_document(mongodb::options::ReturnDocument::After).await
        };
        match tokio::time::timeout(self.times.call, updated).await {
            Ok(Ok(Some(found))) => user_of(&found),
            Ok(Ok(None)) => Err(StoreError::NotFound),
            Ok(Err(error)) => match duplicate_index(&error) {
                Some(index) => Err(conflict(index)),
                None => Err(error.into()),
            },
            Err(elapsed) => Err(StoreError::Unavailable(elapsed.into())),
        }
    }

    /// Whether an account, also a deleted one, was ever made.
    pub(super) async fn was_made(self: &Arc<Self>, id: UserId) -> Result<bool> {
        self.query(&self.users, doc! { "_id": id }, name::ID).exists().await
    }
}

/// What an index of accounts refuses. Both are unique; that of addresses was made first, so it is named first.
fn conflict(index: &str) -> StoreError {
    match index {
        name::EMAILS => StoreError::Conflict(Conflict::EmailTaken),
        name::USERNAMES => StoreError::Conflict(Conflict::UsernameTaken),
        _ => StoreError::Malformed("an account of this id is there already".into()),
    }
}

fn document(new: &NewUser) -> Document {
    doc! {
        "_id": new.id,
        "email": &new.email,
        "email_folded": new.email.folded(),
        "username": &new.username,
        "username_folded": new.username.folded(),
        "password_hash": &new.password_hash,
        "is_admin": new.is_admin,
        "is_disabled": false,
        "is_deleted": false,
        "generation": 0_i64,
        "created_at": new.created_at,
    }
}

/// The account of a document.
pub(super) fn user_of(document: &RawDocumentBuf) -> Result<User> {
    let row = Row::of(document);
    Ok(User {
        id: row.get("_id")?,
        email: row.get("email")?,
        username: row.get("username")?,
        is_admin: row.get("is_admin")?,
        is_disabled: row.get("is_disabled")?,
        generation: row.get("generation")?,
        online_until: row.find("online_until")?,
        created_at: row.get("created_at")?,
    })
}

fn change_of(change: &UserChange) -> Document {
    // Something is always set, for an update of nothing is an error.
    let mut set = doc! { "is_deleted": false };
    let mut update = Document::new();
    if let Some(email) = &change.email {
        set.insert("email", email);
        set.insert("email_folded", email.folded());
    }
    if let Some(username) = &change.username {
        set.insert("username", username);
        set.insert("username_folded", Username::folded(username));
    }
    if let Some(hash) = &change.password_hash {
        set.insert("password_hash", hash);
    }
    if let Some(is_admin) = change.is_admin {
        set.insert("is_admin", is_admin);
    }
    if let Some(is_disabled) = change.is_disabled {
        set.insert("is_disabled", is_disabled);
    }
    match change.online_until {
        Some(Some(until)) => drop(set.insert("online_until", until)),
        Some(None) => drop(update.insert("$unset", doc! { "online_until": "" })),
        None => {}
    }
    if change.revoke {
        set.insert("revoked_at", Timestamp::now());
        update.insert("$inc", doc! { "generation": 1_i64 });
    }
    update.insert("$set", set);
    update
}

/// What is left of an account that is deleted.
fn removal() -> Document {
    doc! {
        "$set": {
            "email": "",
            "username": DELETED,
            "password_hash": "",
            "is_admin": false,
            "is_disabled": true,
            "is_deleted": true,
            "revoked_at": Timestamp::now(),
            // Until the memberships have ended.
            "leaving": true,
        },
        "$unset": { "email_folded": "", "username_folded": "", "online_until": "" },
        "$inc": { "generation": 1_i64 },
    }
}
