//! Who administers: the first account does, and the last one that does stays one.
//!
//! Both are decided by one document each, by conditional updates, so nobody holds a lock that a dead node would leave
//! behind.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mongodb::bson::{Binary, Document, RawDocumentBuf, doc};
use mongodb::options::ReturnDocument;

use super::Base;
use super::field::{Bytes, Row, binary};
use super::indexes::name;
use super::read::bounded;
use super::users::user_of;
use crate::domain::{User, UserId};
use crate::store::{Conflict, Result, StoreError};

const FIRST_ADMIN: &str = "first_admin";

/// The document that those who may take the last administrator go through, one at a time.
const LAST_ADMIN: &str = "last_admin";

/// How long one waits for another's turn to end, and how often one looks.
const TURNS: usize = 400;
const TURN: Duration = Duration::from_millis(10);

impl Base {
    /// Makes sure that the very first account administers. `made` has just been made.
    ///
    /// Whoever comes first names the oldest account in a document that never changes again, so however many first
    /// accounts are made at once, they agree; and if a node dies before the named one has the role, the next account's
    /// making gives it.
    pub(super) async fn ensure_first_admin(&self, made: UserId) -> Result<()> {
        if self.has_first_admin.load(Ordering::Relaxed) {
            return Ok(());
        }
        let filter = doc! { "_id": FIRST_ADMIN };
        let named = match self.query(&self.facts, filter.clone(), name::ID).first().await? {
            Some(named) => named,
            None => {
                let oldest = self.oldest().await?.unwrap_or(made);
                let name = doc! { "$setOnInsert": { "user": oldest } };
                let named = self.facts.find_one_and_update(filter.clone(), name).upsert(true);
                let named = named.return_document(ReturnDocument::After);
                bounded(self.times.call, named).await?.ok_or(StoreError::NotFound)?
            }
        };
        if Row::of(&named).find::<bool>("done")? != Some(true) {
            let first: UserId = Row::of(&named).get("user")?;
            // Once only: what an administrator decides later stays.
            let not_yet =
                doc! { "_id": first, "is_deleted": false, "was_first": { "$exists": false } };
            let role = doc! { "$set": { "is_admin": true, "was_first": true } };
            self.update(&self.users, not_yet, role).await?;
            self.update(&self.facts, filter, doc! { "$set": { "done": true } }).await?;
        }
        self.has_first_admin.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn oldest(&self) -> Result<Option<UserId>> {
        let query = self.query(&self.users, doc! { "is_deleted": false }, name::ID);
        let found = query.sort(doc! { "_id": 1 }).only(doc! { "_id": 1 }).first().await?;
        found.map(|found| Row::of(&found).get("_id")).transpose()
    }

    /// Changes an account by `update`, which takes the administrator's role from it, or its use.
    ///
    /// One such change is under way at a time: it is written down first, in the one document, and whoever finds
    /// another's there does it for them. So a change that a dead node has left is finished by the next.
    pub(super) async fn update_but_last_admin(&self, id: UserId, update: Document) -> Result<User> {
        for _ in 0..TURNS {
            let turn = self.turn().await?;
            let number: u64 = Row::of(&turn).get("number")?;
            if Row::of(&turn).has("user")? {
                self.finish_turn(&turn).await?;
                continue;
            }
            let Some(account) = self.find_account(id).await? else {
                return Err(StoreError::NotFound);
            };
            let account = user_of(&account)?;
            if !account.is_admin || account.is_disabled {
                let no_admin = [doc! { "is_admin": false }, doc! { "is_disabled": true }];
                let filter = doc! { "_id": id, "$or": no_admin.as_slice() };
                match self.update_account(filter, update.clone()).await {
                    // It has become one just now, or is deleted.
                    Err(StoreError::NotFound) => continue,
                    done => return done,
                }
            }
            if !self.has_other_admin(id).await? {
                return Err(StoreError::Conflict(Conflict::LastAdmin));
            }
            let mine = doc! { "user": id, "update": to_bytes(&update)? };
            let free = turn_filter(number, false);
            if self.update(&self.facts, free, doc! { "$set": mine }).await? {
                return self.take_turn(id, update, number).await;
            }
            tokio::time::sleep(TURN).await;
        }
        Err(StoreError::Unavailable("too many take the administrator's role at once".into()))
    }

    /// The document of the turn, which is made at the first call ever.
    async fn turn(&self) -> Result<RawDocumentBuf> {
        let first = doc! { "$setOnInsert": { "number": 1_i64 } };
        let turn = self.facts.find_one_and_update(doc! { "_id": LAST_ADMIN }, first).upsert(true);
        let turn = turn.return_document(ReturnDocument::After);
        bounded(self.times.call, turn).await?.ok_or(StoreError::NotFound)
    }

    async fn take_turn(&self, id: UserId, mut update: Document, number: u64) -> Result<User> {
        stamp(&mut update, number);
        // Not if it was done already, by somebody who found it undone.
        let undone =
            doc! { "_id": id, "turn": { "$not": { "$gte": super::field::count(number) } } };
        let done = match self.update_account(undone, update).await {
            Err(StoreError::NotFound) => {
                self.accounts([id]).await?.remove(&id).ok_or(StoreError::NotFound)
            }
            done => done,
        };
        if !matches!(done, Err(StoreError::Unavailable(_))) {
            self.end_turn(number).await?;
        }
        done
    }

    /// Does what another has written down.
    async fn finish_turn(&self, turn: &RawDocumentBuf) -> Result<()> {
        let row = Row::of(turn);
        let update = of_bytes(row.get("update")?)?;
        match self.take_turn(row.get("user")?, update, row.get("number")?).await {
            // Its own business: somebody else has the name it was to get, say.
            Ok(_) | Err(StoreError::Conflict(_) | StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn end_turn(&self, number: u64) -> Result<()> {
        let ended = doc! { "$unset": { "user": "", "update": "" }, "$inc": { "number": 1_i64 } };
        self.update(&self.facts, turn_filter(number, true), ended).await.map(drop)
    }

    async fn has_other_admin(&self, id: UserId) -> Result<bool> {
        let filter = doc! {
            "is_admin": true,
            "is_disabled": false,
            "is_deleted": false,
            "_id": { "$ne": id },
        };
        self.query(&self.users, filter, name::ADMINS).exists().await
    }
}

fn turn_filter(number: u64, taken: bool) -> Document {
    let number = super::field::count(number);
    doc! { "_id": LAST_ADMIN, "number": number, "user": { "$exists": taken } }
}

/// Marks the account as changed by this turn.
fn stamp(update: &mut Document, number: u64) {
    if let Ok(set) = update.get_document_mut("$set") {
        set.insert("turn", super::field::count(number));
    }
}

/// An update cannot lie in a document as it is, for its `$` names.
fn to_bytes(update: &Document) -> Result<Binary> {
    let update = RawDocumentBuf::try_from(update);
    Ok(binary(update.map_err(|error| StoreError::Malformed(error.into()))?.into_bytes()))
}

fn of_bytes(Bytes(bytes): Bytes) -> Result<Document> {
    let update = RawDocumentBuf::from_bytes(bytes).and_then(Document::try_from);
    update.map_err(|error| StoreError::Malformed(error.into()))
}
