//! Rooms in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::after;
use super::{Embedded, log};
use crate::domain::membership::ReadMarker;
use crate::domain::room::{RoomOwner, Tail};
use crate::domain::{Page, Role, Room, RoomId, RoomKind, UserId, Username};
use crate::store::{NewRoom, Result, RoomEntry, RoomState, RoomStore};

/// The columns of `rooms r` and of its owner, `users o`, that [`room_at`] reads.
macro_rules! room_columns {
    () => {
        "r.id, r.name, r.is_group, o.id, o.email, o.username, r.created_at, r.last_activity"
    };
}

/// The columns that [`entry_at`] reads: those of a room, its tail, and one member's place in it,
/// `memberships m`.
macro_rules! entry_columns {
    () => {
        concat!(
            room_columns!(),
            ", r.tail_seq, r.tail_ordinal, r.tail_timestamp, coalesce(m.role, 'owner'),
             max(coalesce(m.read_seq, r.tail_seq), r.floor_seq),
             max(coalesce(m.read_ordinal, r.tail_ordinal), r.floor_ordinal)"
        )
    };
}
pub(super) use entry_columns;
pub(super) use room_columns;

fn room_at(row: &Row<'_>) -> rusqlite::Result<Room> {
    Ok(Room {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: row.get(2)?,
        owner: RoomOwner { id: row.get(3)?, email: row.get(4)?, username: row.get(5)? },
        created_at: row.get(6)?,
        last_activity: row.get(7)?,
    })
}

/// The tail whose columns begin at `first`.
pub(super) fn tail_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Tail> {
    Ok(Tail {
        seq: row.get(first)?,
        ordinal: row.get::<_, super::column::Count>(first + 1)?.0,
        timestamp: row.get(first + 2)?,
    })
}

/// The read marker whose columns begin at `first`.
pub(super) fn marker_at(row: &Row<'_>, first: usize) -> rusqlite::Result<ReadMarker> {
    let ordinal = row.get::<_, super::column::Count>(first + 1)?.0;
    Ok(ReadMarker { seq: row.get(first)?, ordinal })
}

/// An entry of a list but for what [`complete`] adds.
pub(super) fn entry_at(row: &Row<'_>) -> rusqlite::Result<RoomEntry> {
    Ok(RoomEntry {
        room: room_at(row)?,
        tail: tail_at(row, 8)?,
        role: row.get(11)?,
        read: marker_at(row, 12)?,
        last_message: None,
        peer: None,
    })
}

/// Adds to `entries` of `user`'s list each room's last message and, where it is private, the other person.
pub(super) fn complete(conn: &Connection, user: UserId, entries: &mut [RoomEntry]) -> Result<()> {
    for entry in entries {
        entry.last_message = log::newest(conn, entry.room.id)?;
        if entry.room.kind == RoomKind::Private {
            entry.peer = peer(conn, entry.room.id, user)?;
        }
    }
    Ok(())
}

fn peer(conn: &Connection, room: RoomId, user: UserId) -> Result<Option<(UserId, Username)>> {
    let sql = "SELECT u.id, u.username FROM memberships m JOIN users u ON u.id = m.user
               WHERE m.room = ?1 AND m.user <> ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row((room, user), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional();
    Ok(found?)
}

#[async_trait]
impl RoomStore for Embedded {
    async fn create_room(&self, room: NewRoom) -> Result<RoomId> {
        self.write(move |conn| create(conn, &room)).await
    }

    async fn room(&self, id: RoomId) -> Result<Option<Room>> {
        self.read(move |conn| Ok(find(conn, id)?)).await
    }

    async fn room_state(&self, id: RoomId) -> Result<Option<RoomState>> {
        self.read(move |conn| {
            let Some(room) = find(conn, id)? else { return Ok(None) };
            let tail = log::tail(conn, id)?.unwrap_or_default();
            Ok(Some(RoomState { room, members: members(conn, id)?, tail }))
        })
        .await
    }

    async fn rooms(&self, kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<Room>> {
        let of_kind = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms r JOIN users o ON o.id = r.owner
              WHERE r.is_group = ?4 AND r.is_deleted = 0 AND r.id > ?1 ORDER BY r.id LIMIT ?2 OFFSET ?3"
        );
        let of_any = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms r JOIN users o ON o.id = r.owner
              WHERE ?4 IS NULL AND r.is_deleted = 0 AND r.id > ?1 ORDER BY r.id LIMIT ?2 OFFSET ?3"
        );
        self.read(move |conn| {
            let sql = if kind.is_some() { of_kind } else { of_any };
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map((after(&page), page.limit, page.skip, kind), room_at)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn rooms_owned(&self, owner: UserId, page: Page<RoomId>) -> Result<Vec<RoomEntry>> {
        let sql = concat!(
            "SELECT ",
            entry_columns!(),
            " FROM rooms r JOIN users o ON o.id = r.owner
              LEFT JOIN memberships m ON m.room = r.id AND m.user = r.owner
              WHERE r.owner = ?1 AND r.is_group = 1 AND r.is_deleted = 0 AND r.id > ?2
              ORDER BY r.id LIMIT ?3 OFFSET ?4"
        );
        self.read(move |conn| {
            let mut entries = conn
                .prepare_cached(sql)?
                .query_map((owner, after(&page), page.limit, page.skip), entry_at)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            complete(conn, owner, &mut entries)?;
            Ok(entries)
        })
        .await
    }
}

fn find(conn: &Connection, id: RoomId) -> rusqlite::Result<Option<Room>> {
    let sql = concat!(
        "SELECT ",
        room_columns!(),
        " FROM rooms r JOIN users o ON o.id = r.owner WHERE r.id = ?1 AND r.is_deleted = 0"
    );
    conn.prepare_cached(sql)?.query_row([id], room_at).optional()
}

fn members(conn: &Connection, room: RoomId) -> Result<Vec<(UserId, Username, Role)>> {
    let sql = "SELECT u.id, u.username, m.role FROM memberships m JOIN users u ON u.id = m.user
               WHERE m.room = ?1 ORDER BY u.id";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([room], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn create(conn: &Connection, new: &NewRoom) -> Result<RoomId> {
    if let Some(there) = existing(conn, new)? {
        return Ok(there);
    }
    let (low, high) = new.pair.unzip();
    let sql = "INSERT INTO rooms (id, name, is_group, owner, pair_low, pair_high, created_at, last_activity)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    conn.prepare_cached(sql)?.execute(params![
        new.id,
        new.name,
        new.pair.is_none(),
        new.owner,
        low,
        high,
        new.created_at,
    ])?;
    log::create(conn, new.id, &new.events)?;
    Ok(new.id)
}

/// The room that is there already: the pair's, or this very one, made by an attempt whose answer was lost.
fn existing(conn: &Connection, new: &NewRoom) -> Result<Option<RoomId>> {
    let of_pair = "SELECT id FROM rooms WHERE pair_low = ?1 AND pair_high = ?2 AND is_deleted = 0";
    if let Some(pair) = new.pair {
        let found = conn.prepare_cached(of_pair)?.query_row(pair, |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let same = "SELECT id FROM rooms WHERE id = ?1";
    Ok(conn.prepare_cached(same)?.query_row([new.id], |row| row.get(0)).optional()?)
}
