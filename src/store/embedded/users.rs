//! Accounts in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Embedded;
use super::column::after;
use crate::domain::erasure::DELETED;
use crate::domain::text::fold;
use crate::domain::{Page, Timestamp, User, UserId, Username};
use crate::store::{Conflict, NewUser, Result, StoreError, UserChange, UserStore};

/// The columns of `users u` that [`user_at`] reads.
macro_rules! user_columns {
    () => {
        "u.id, u.email, u.username, u.is_admin, u.is_disabled, u.generation, u.online_until, u.created_at"
    };
}
pub(super) use user_columns;

/// The account whose columns begin at `first`.
pub(super) fn user_at(row: &Row<'_>, first: usize) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(first)?,
        email: row.get(first + 1)?,
        username: row.get(first + 2)?,
        is_admin: row.get(first + 3)?,
        is_disabled: row.get(first + 4)?,
        generation: row.get(first + 5)?,
        online_until: row.get(first + 6)?,
        created_at: row.get(first + 7)?,
    })
}

#[async_trait]
impl UserStore for Embedded {
    async fn create_user(&self, user: NewUser) -> Result<User> {
        self.write(move |conn| create(conn, &user)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.read(move |conn| Ok(find(conn, id)?)).await
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<(User, String)>> {
        let login = fold(login);
        self.read(move |conn| Ok(find_by_login(conn, &login)?)).await
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        let sql = "SELECT password_hash FROM users WHERE id = ?1 AND is_deleted = 0";
        self.read(move |conn| {
            Ok(conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn update_user(&self, id: UserId, change: UserChange) -> Result<User> {
        self.write(move |conn| update(conn, id, &change)).await
    }

    async fn remove_user(&self, id: UserId) -> Result<()> {
        self.write(move |conn| remove(conn, id)).await
    }

    async fn users(&self, page: Page<UserId>) -> Result<Vec<User>> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users u WHERE u.id > ?1 AND u.is_deleted = 0 ORDER BY u.id LIMIT ?2 OFFSET ?3"
        );
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement
                .query_map((after(&page), page.limit, page.skip), |row| user_at(row, 0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn users_by_name(&self, prefix: &str, page: Page<UserId>) -> Result<Vec<User>> {
        let prefix = prefix.to_owned();
        self.read(move |conn| Ok(find_by_name(conn, &prefix, page)?)).await
    }

    async fn revoked(&self, since: Timestamp) -> Result<Vec<(UserId, Timestamp)>> {
        let sql = "SELECT id, revoked_at FROM users WHERE revoked_at >= ?1 ORDER BY revoked_at";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map([since], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn create(conn: &Connection, new: &NewUser) -> Result<User> {
    let (email, username) = (new.email.folded(), new.username.folded());
    check_unused(conn, new.id, Some(&email), Some(&username))?;
    // Nobody can come between: there is one writer. Deleted accounts keep their rows, so the first is the
    // first ever.
    let is_first: bool =
        conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))?;
    let sql =
        "INSERT INTO users (id, email, email_folded, username, username_folded, password_hash,
                                  is_admin, is_disabled, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)";
    conn.prepare_cached(sql)?.execute(params![
        new.id,
        new.email,
        email,
        new.username,
        username,
        new.password_hash,
        new.is_admin || is_first,
        new.created_at,
    ])?;
    find(conn, new.id)?.ok_or(StoreError::NotFound)
}

/// Refuses an address or a name (folded) that belongs to another account than `id`.
fn check_unused(
    conn: &Connection,
    id: UserId,
    email: Option<&str>,
    username: Option<&str>,
) -> Result<()> {
    let checks = [
        (email, "SELECT 1 FROM users WHERE email_folded = ?1 AND id <> ?2", Conflict::EmailTaken),
        (
            username,
            "SELECT 1 FROM users WHERE username_folded = ?1 AND id <> ?2",
            Conflict::UsernameTaken,
        ),
    ];
    for (value, sql, conflict) in checks {
        let Some(value) = value else { continue };
        if conn.prepare_cached(sql)?.exists((value, id))? {
            return Err(StoreError::Conflict(conflict));
        }
    }
    Ok(())
}

fn find(conn: &Connection, id: UserId) -> rusqlite::Result<Option<User>> {
    let sql =
        concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = ?1 AND u.is_deleted = 0");
    conn.prepare_cached(sql)?.query_row([id], |row| user_at(row, 0)).optional()
}

fn find_by_login(conn: &Connection, login: &str) -> rusqlite::Result<Option<(User, String)>> {
    // No name holds an `@`, but the order is kept should one ever do.
    let by_email = concat!(
        "SELECT ",
        user_columns!(),
        ", u.password_hash FROM users u WHERE u.email_folded = ?1"
    );
    let by_name = concat!(
        "SELECT ",
        user_columns!(),
        ", u.password_hash FROM users u WHERE u.username_folded = ?1"
    );
    for sql in [by_email, by_name] {
        let found = conn
            .prepare_cached(sql)?
            .query_row([login], |row| Ok((user_at(row, 0)?, row.get(8)?)))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn find_by_name(
    conn: &Connection,
    prefix: &str,
    page: Page<UserId>,
) -> rusqlite::Result<Vec<User>> {
    // The names from the prefix up to the prefix and the last code point, which no name holds: a range of the
    // index, where LIKE would give `%` and `_` a meaning. The `+` keeps SQLite from walking over all accounts
    // in the order of their ids instead, which is right only if every name matches.
    let end = format!("{prefix}\u{10ffff}");
    let some = concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.username_folded >= ?1 AND u.username_folded < ?2
           AND +u.id > ?3 AND u.is_disabled = 0 ORDER BY u.id LIMIT ?4 OFFSET ?5"
    );
    let all = concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.username_folded >= ?1 AND u.username_folded < ?2
           AND u.id > ?3 AND u.is_disabled = 0 ORDER BY u.id LIMIT ?4 OFFSET ?5"
    );
    let sql = if prefix.is_empty() { all } else { some };
    conn.prepare_cached(sql)?
        .query_map((prefix, end, after(&page), page.limit, page.skip), |row| user_at(row, 0))?
        .collect()
}

/// Refuses what would take the last enabled account that administers: `id` is about to be none.
fn check_not_last_admin(conn: &Connection, user: &User) -> Result<()> {
    let sql = "SELECT 1 FROM users
               WHERE is_admin = 1 AND is_disabled = 0 AND is_deleted = 0 AND id <> ?1";
    let administers = user.is_admin && !user.is_disabled;
    if administers && !conn.prepare_cached(sql)?.exists([user.id])? {
        return Err(StoreError::Conflict(Conflict::LastAdmin));
    }
    Ok(())
}

fn update(conn: &Connection, id: UserId, change: &UserChange) -> Result<User> {
    let before = find(conn, id)?.ok_or(StoreError::NotFound)?;
    let email = change.email.as_ref().map(|email| email.folded());
    let username = change.username.as_ref().map(Username::folded);
    check_unused(conn, id, email.as_deref(), username.as_deref())?;
    if change.is_admin == Some(false) || change.is_disabled == Some(true) {
        check_not_last_admin(conn, &before)?;
    }
    let sql = "UPDATE users SET
                 email = coalesce(?2, email), email_folded = coalesce(?3, email_folded),
                 username = coalesce(?4, username), username_folded = coalesce(?5, username_folded),
                 password_hash = coalesce(?6, password_hash),
                 is_admin = coalesce(?7, is_admin), is_disabled = coalesce(?8, is_disabled),
                 online_until = ?9, generation = generation + ?10,
                 revoked_at = iif(?10, ?11, revoked_at)
               WHERE id = ?1";
    conn.prepare_cached(sql)?.execute(params![
        id,
        change.email,
        email,
        change.username,
        username,
        change.password_hash,
        change.is_admin,
        change.is_disabled,
        change.online_until.unwrap_or(before.online_until),
        change.revoke,
        Timestamp::now(),
    ])?;
    find(conn, id)?.ok_or(StoreError::NotFound)
}

pub(super) fn remove(conn: &Connection, id: UserId) -> Result<()> {
    let user = find(conn, id)?.ok_or(StoreError::NotFound)?;
    check_not_last_admin(conn, &user)?;
    let sql = "UPDATE users SET
                 email = '', email_folded = NULL, username = ?2, username_folded = NULL, password_hash = '',
                 is_admin = 0, is_disabled = 1, is_deleted = 1, online_until = NULL,
                 generation = generation + 1, revoked_at = ?3
               WHERE id = ?1";
    conn.prepare_cached(sql)?.execute((id, DELETED, Timestamp::now()))?;
    conn.prepare_cached("DELETE FROM join_requests WHERE user = ?1")?.execute([id])?;
    Ok(())
}
