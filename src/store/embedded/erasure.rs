//! Taking a person out of the store, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::column::after;
use super::{Embedded, users, wipe};
use crate::domain::{Body, Event, Page, RoomId, Timestamp, UserId, Words};
use crate::record;
use crate::store::{ErasureStore, Result, StoreError};

#[async_trait]
impl ErasureStore for Embedded {
    async fn begin_erasure(&self, user: UserId, words: Words) -> Result<()> {
        self.write(move |conn| begin(conn, user, words)).await
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<(UserId, Words)>> {
        let sql = "SELECT id, keeps_words FROM users INDEXED BY users_erasing
                   WHERE keeps_words IS NOT NULL ORDER BY id LIMIT ?1";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map([limit], |row| {
                let words = if row.get(1)? { Words::Kept } else { Words::Erased };
                Ok((row.get(0)?, words))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn end_erasure(&self, user: UserId) -> Result<()> {
        let sql = "UPDATE users SET keeps_words = NULL, revoked_at = ?2 WHERE id = ?1";
        let now = Timestamp::now();
        self.write(move |conn| Ok(conn.prepare_cached(sql)?.execute((user, now)).map(drop)?)).await
    }

    async fn traces(
        &self,
        user: UserId,
        page: Page<RoomId>,
    ) -> Result<(Vec<RoomId>, Option<RoomId>)> {
        let sql = "SELECT r.id,
                     EXISTS (SELECT 1 FROM memberships m WHERE m.room = r.id AND m.user = ?1)
                     OR EXISTS (SELECT 1 FROM events e INDEXED BY events_client_id
                                WHERE e.room = r.id AND e.sender = ?1 AND e.client_id IS NOT NULL)
                   FROM rooms r WHERE r.id > ?2 ORDER BY r.id LIMIT ?3";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map((user, after(&page), page.limit), |row| {
                Ok((row.get::<_, RoomId>(0)?, row.get::<_, bool>(1)?))
            })?;
            let rooms = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let last = rooms.last().map(|(room, _)| *room);
            let found = rooms.into_iter().filter(|(_, is_found)| *is_found).map(|(room, _)| room);
            Ok((found.collect(), last))
        })
        .await
    }

    async fn rewrite(&self, events: &[Event]) -> Result<()> {
        let events = events.to_vec();
        self.write(move |conn| events.iter().try_for_each(|event| rewrite(conn, event))).await
    }

    async fn rename_private(&self, room: RoomId, name: &str) -> Result<()> {
        let name = name.to_owned();
        let sql = "UPDATE rooms SET name = ?2 WHERE id = ?1 AND is_group = 0";
        self.write(move |conn| Ok(conn.prepare_cached(sql)?.execute((room, name)).map(drop)?)).await
    }
}

fn begin(conn: &Connection, user: UserId, words: Words) -> Result<()> {
    let is_there = "SELECT is_deleted FROM users WHERE id = ?1";
    let is_deleted: Option<bool> =
        conn.prepare_cached(is_there)?.query_row([user], |row| row.get(0)).optional()?;
    if !is_deleted.ok_or(StoreError::NotFound)? {
        users::remove(conn, user)?;
    }
    let note = "UPDATE users SET keeps_words = ?2 WHERE id = ?1";
    conn.prepare_cached(note)?.execute((user, words == Words::Kept))?;
    Ok(())
}

fn rewrite(conn: &Connection, event: &Event) -> Result<()> {
    if matches!(event.body, Body::Gone { .. }) {
        wipe::give_up_uploads(conn, event.room, (event.seq, event.seq))?;
    }
    let body = record::encode(&event.body);
    let sql = "UPDATE events SET kind = ?3, body = ?4, digest = ?5 WHERE room = ?1 AND seq = ?2";
    let row = (event.room, event.seq, body.kind, body.json, body.digest);
    conn.prepare_cached(sql)?.execute(row)?;
    Ok(())
}
