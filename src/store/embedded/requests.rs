//! Join requests in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Embedded;
use super::column::after;
use super::users::{user_at, user_columns};
use crate::domain::{JoinRequest, JoinRequestId, Page, RoomId};
use crate::store::{Conflict, JoinRequestStore, NewJoinRequest, Result, StoreError};

/// A query of requests, `q`, with who asks, `u`, for [`request_at`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            user_columns!(),
            ", q.id, q.room, q.message, q.approved, q.created_at
             FROM join_requests q JOIN users u ON u.id = q.user ",
            $rest
        )
    };
}

fn request_at(row: &Row<'_>) -> rusqlite::Result<JoinRequest> {
    Ok(JoinRequest {
        user: user_at(row, 0)?,
        id: row.get(8)?,
        room: row.get(9)?,
        message: row.get(10)?,
        approved: row.get(11)?,
        created_at: row.get(12)?,
    })
}

#[async_trait]
impl JoinRequestStore for Embedded {
    async fn create_join_request(&self, request: NewJoinRequest) -> Result<()> {
        self.write(move |conn| create(conn, &request)).await
    }

    async fn join_request(&self, id: JoinRequestId) -> Result<Option<JoinRequest>> {
        let sql = select!("WHERE q.id = ?1");
        self.read(move |conn| {
            Ok(conn.prepare_cached(sql)?.query_row([id], request_at).optional()?)
        })
        .await
    }

    async fn join_requests(
        &self,
        room: Option<RoomId>,
        page: Page<JoinRequestId>,
    ) -> Result<Vec<JoinRequest>> {
        let of_room = select!("WHERE q.room = ?4 AND q.id > ?1 ORDER BY q.id LIMIT ?2 OFFSET ?3");
        let of_any = select!("WHERE ?4 IS NULL AND q.id > ?1 ORDER BY q.id LIMIT ?2 OFFSET ?3");
        self.read(move |conn| {
            let sql = if room.is_some() { of_room } else { of_any };
            let mut statement = conn.prepare_cached(sql)?;
            let rows =
                statement.query_map((after(&page), page.limit, page.skip, room), request_at)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn refuse_join_request(&self, id: JoinRequestId) -> Result<()> {
        self.write(move |conn| refuse(conn, id)).await
    }

    async fn remove_join_request(&self, id: JoinRequestId) -> Result<()> {
        self.write(move |conn| {
            let sql = "DELETE FROM join_requests WHERE id = ?1";
            match conn.prepare_cached(sql)?.execute([id])? {
                0 => Err(StoreError::NotFound),
                _ => Ok(()),
            }
        })
        .await
    }
}

fn create(conn: &Connection, new: &NewJoinRequest) -> Result<()> {
    let open = "SELECT 1 FROM join_requests WHERE room = ?1 AND user = ?2 AND approved IS NULL";
    if conn.prepare_cached(open)?.exists((new.room, new.user))? {
        return Err(StoreError::Conflict(Conflict::AlreadyRequested));
    }
    // Selected from what is there: for a room or an account that is deleted there is no request.
    let sql = "INSERT INTO join_requests (id, room, user, message, created_at)
               SELECT ?1, r.id, u.id, ?4, ?5 FROM rooms r, users u
               WHERE r.id = ?2 AND r.is_deleted = 0 AND u.id = ?3 AND u.is_deleted = 0";
    let row = params![new.id, new.room, new.user, new.message, new.created_at];
    match conn.prepare_cached(sql)?.execute(row)? {
        0 => Err(StoreError::NotFound),
        _ => Ok(()),
    }
}

fn refuse(conn: &Connection, id: JoinRequestId) -> Result<()> {
    let sql = "SELECT approved IS NOT NULL FROM join_requests WHERE id = ?1";
    let handled: Option<bool> =
        conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    if handled.ok_or(StoreError::NotFound)? {
        return Err(StoreError::Conflict(Conflict::AlreadyHandled));
    }
    conn.prepare_cached("UPDATE join_requests SET approved = 0 WHERE id = ?1")?.execute([id])?;
    Ok(())
}
