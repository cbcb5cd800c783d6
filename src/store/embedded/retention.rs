//! Trimming logs in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::column::{Count, after};
use super::{Embedded, log, wipe};
use crate::domain::membership::ReadMarker;
use crate::domain::{Page, Retention, RoomId, Seq, Timestamp};
use crate::store::{Result, RetentionStore, StoreError};

/// Events that are removed in one transaction: some 10 ms of writing.
const PIECE: u32 = 1000;

#[async_trait]
impl RetentionStore for Embedded {
    async fn retention(&self, room: RoomId) -> Result<Option<Retention>> {
        let sql = "SELECT retention FROM rooms WHERE id = ?1 AND is_deleted = 0";
        self.read(move |conn| {
            let found = conn.prepare_cached(sql)?.query_row([room], |row| row.get(0)).optional()?;
            let days: Option<u32> = found.ok_or(StoreError::NotFound)?;
            Ok(days.map(Retention::stored))
        })
        .await
    }

    async fn set_retention(&self, room: RoomId, retention: Option<Retention>) -> Result<()> {
        let sql = "UPDATE rooms SET retention = ?2 WHERE id = ?1 AND is_deleted = 0";
        let days = retention.map(Retention::days);
        self.write(move |conn| match conn.prepare_cached(sql)?.execute((room, days))? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        })
        .await
    }

    async fn retentions(&self, page: Page<RoomId>) -> Result<Vec<(RoomId, Option<Retention>)>> {
        let sql = "SELECT id, retention FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2 OFFSET ?3";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map((after(&page), page.limit, page.skip), |row| {
                Ok((row.get(0)?, row.get::<_, Option<u32>>(1)?.map(Retention::stored)))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn trim(&self, room: RoomId, before: Timestamp) -> Result<bool> {
        self.write(move |conn| trim(conn, room, before)).await
    }

    async fn floors(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>> {
        let rooms = rooms.to_vec();
        self.read(move |conn| {
            let mut floors = Vec::new();
            for room in rooms {
                let floor = floor(conn, room)?.seq;
                if floor > Seq::ZERO {
                    floors.push((room, floor));
                }
            }
            Ok(floors)
        })
        .await
    }
}

/// Up to where the log of `room` is gone.
pub(super) fn floor(conn: &Connection, room: RoomId) -> Result<ReadMarker> {
    let sql = "SELECT floor_seq, floor_ordinal FROM rooms WHERE id = ?1";
    let found = conn
        .prepare_cached(sql)?
        .query_row([room], |row| super::rooms::marker_at(row, 0))
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn trim(conn: &Connection, room: RoomId, before: Timestamp) -> Result<bool> {
    let Some(tail) = log::tail(conn, room)? else { return Ok(false) };
    let (found, last) = oldest(conn, room, before)?;
    // What was the newest event, and is not any more, goes with the others below the floor.
    let last = last.map_or_else(|| floor(conn, room), Ok)?;
    let left = "SELECT 1 FROM events WHERE room = ?1 AND seq <= ?2 AND seq < ?3";
    if found == 0 && !conn.prepare_cached(left)?.exists((room, last.seq, tail.seq))? {
        return Ok(false);
    }
    let floor = "UPDATE rooms SET floor_seq = ?2, floor_ordinal = ?3 WHERE id = ?1";
    conn.prepare_cached(floor)?.execute((room, last.seq, Count(last.ordinal)))?;
    wipe::give_up_uploads(conn, room, (Seq(1), last.seq))?;
    // The newest event stays, so that positions go on behind it; of a message nothing but its place.
    let rows = "DELETE FROM events WHERE room = ?1 AND seq <= ?2 AND seq < ?3";
    conn.prepare_cached(rows)?.execute((room, last.seq, tail.seq))?;
    if last.seq == tail.seq {
        wipe::blank(conn, room, (tail.seq, tail.seq))?;
    }
    Ok(found == PIECE)
}

/// The oldest events of the log, as long as they are from before `before`: how many, a piece at most, and the last of them.
fn oldest(conn: &Connection, room: RoomId, before: Timestamp) -> Result<(u32, Option<ReadMarker>)> {
    let sql = "SELECT seq, ordinal, timestamp FROM events
               WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    let floor = floor(conn, room)?.seq;
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query((room, floor, PIECE))?;
    let (mut found, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        if row.get::<_, Timestamp>(2)? >= before {
            break;
        }
        (found, last) = (found + 1, Some(super::rooms::marker_at(row, 0)?));
    }
    Ok((found, last))
}
