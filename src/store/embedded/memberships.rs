//! Memberships in SQLite: rows derived from the log, and what is not in it.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::Embedded;
use super::column::{Count, after};
use super::rooms::{complete, entry_at, entry_columns, marker_at, room_columns, tail_at};
use super::users::{user_at, user_columns};
use crate::domain::membership::ReadMarker;
use crate::domain::room::Tail;
use crate::domain::{
    Membership, MembershipId, Page, RoomId, RoomKind, Timestamp, UserId, Username,
};
use crate::store::{MembershipStore, Result, RoomEntry};

/// A query of memberships, `m`, with their users, `u`, and rooms, `r`, for [`list`]. What is gone is read.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            user_columns!(),
            ", m.id, m.room, m.role, m.created_at, m.last_seen,
             max(m.read_seq, r.floor_seq), max(m.read_ordinal, r.floor_ordinal)
             FROM memberships m JOIN users u ON u.id = m.user JOIN rooms r ON r.id = m.room ",
            $rest
        )
    };
}

fn membership_at(row: &Row<'_>) -> rusqlite::Result<Membership> {
    Ok(Membership {
        user: user_at(row, 0)?,
        id: row.get(8)?,
        room: row.get(9)?,
        role: row.get(10)?,
        created_at: row.get(11)?,
        last_seen: row.get(12)?,
        read: marker_at(row, 13)?,
    })
}

fn list(conn: &Connection, sql: &str, params: impl Params) -> Result<Vec<Membership>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, membership_at)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl MembershipStore for Embedded {
    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Membership>> {
        let sql = select!("WHERE m.room = ?1 AND m.user = ?2");
        self.read(move |conn| Ok(list(conn, sql, (room, user))?.pop())).await
    }

    async fn membership_by_id(&self, id: MembershipId) -> Result<Option<Membership>> {
        let sql = select!("WHERE m.id = ?1");
        self.read(move |conn| Ok(list(conn, sql, [id])?.pop())).await
    }

    async fn memberships(&self, page: Page<MembershipId>) -> Result<Vec<Membership>> {
        let sql = select!("WHERE m.id > ?1 ORDER BY m.id LIMIT ?2 OFFSET ?3");
        self.read(move |conn| list(conn, sql, (after(&page), page.limit, page.skip))).await
    }

    async fn members(&self, room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>> {
        self.read(move |conn| members(conn, room, page)).await
    }

    async fn rooms_of(
        &self,
        user: UserId,
        kind: Option<RoomKind>,
        page: Page<RoomId>,
    ) -> Result<Vec<RoomEntry>> {
        self.read(move |conn| rooms_of(conn, user, kind, page)).await
    }

    async fn room_ids_of(&self, user: UserId) -> Result<Vec<(RoomId, Tail)>> {
        let sql = "SELECT r.id, r.tail_seq, r.tail_ordinal, r.tail_timestamp
                   FROM memberships m JOIN rooms r ON r.id = m.room WHERE m.user = ?1 ORDER BY r.id";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map([user], |row| Ok((row.get(0)?, tail_at(row, 1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn peers_of(&self, user: UserId) -> Result<Vec<(RoomId, UserId, Username)>> {
        let sql = "SELECT r.id, u.id, u.username
                   FROM memberships mine
                   JOIN rooms r ON r.id = mine.room AND r.is_group = 0
                   JOIN memberships theirs ON theirs.room = r.id AND theirs.user <> mine.user
                   JOIN users u ON u.id = theirs.user
                   WHERE mine.user = ?1 ORDER BY r.id";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows =
                statement.query_map([user], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn deleted_members(&self, limit: u32) -> Result<Vec<UserId>> {
        let sql = "SELECT u.id FROM users u WHERE u.is_deleted = 1
                     AND EXISTS (SELECT 1 FROM memberships m WHERE m.user = u.id) LIMIT ?1";
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map([limit], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn mark_read(
        &self,
        room: RoomId,
        user: UserId,
        to: ReadMarker,
    ) -> Result<Option<ReadMarker>> {
        self.write(move |conn| mark_read(conn, room, user, to)).await
    }

    async fn touch_membership(&self, room: RoomId, user: UserId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE memberships SET last_seen = ?3
                   WHERE room = ?1 AND user = ?2 AND last_seen < ?3";
        self.write(move |conn| Ok(conn.prepare_cached(sql)?.execute((room, user, at)).map(drop)?))
            .await
    }
}

/// Owner, name, id: the order of a room's members, also as the place behind which a page begins.
type Place = (bool, String, Vec<u8>);

fn members(conn: &Connection, room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>> {
    let place = match page.after {
        None => Some((false, String::new(), Vec::new())),
        Some(user) => place_of(conn, room, user)?,
    };
    // Somebody whose place is not known any more: there is no telling what comes behind.
    let Some((is_member, name, id)) = place else { return Ok(Vec::new()) };
    let sql = select!(
        "WHERE m.room = ?1
           AND (m.role <> 'owner', coalesce(u.username_folded, ''), u.id) > (?2, ?3, ?4)
         ORDER BY m.role <> 'owner', coalesce(u.username_folded, ''), u.id LIMIT ?5 OFFSET ?6"
    );
    list(conn, sql, (room, is_member, name, id, page.limit, page.skip))
}

/// The place of `user` among the members of `room`: of one who has gone, where they would be as a plain member.
fn place_of(conn: &Connection, room: RoomId, user: UserId) -> Result<Option<Place>> {
    let sql = "SELECT coalesce(m.role, 'member') <> 'owner', coalesce(u.username_folded, ''), u.id
               FROM users u LEFT JOIN memberships m ON m.room = ?1 AND m.user = u.id
               WHERE u.id = ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row((room, user), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional();
    Ok(found?)
}

fn rooms_of(
    conn: &Connection,
    user: UserId,
    kind: Option<RoomKind>,
    page: Page<RoomId>,
) -> Result<Vec<RoomEntry>> {
    // Behind the room's place as it is now, also if the user is no longer in it.
    let place: Option<(Timestamp, RoomId)> = match page.after {
        None => Some((Timestamp(i64::MAX), RoomId::from_bytes([0xff; 12]))),
        Some(room) => conn
            .prepare_cached("SELECT last_activity, id FROM rooms WHERE id = ?1")?
            .query_row([room], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?,
    };
    let Some((activity, room)) = place else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT ",
        entry_columns!(),
        " FROM memberships m JOIN rooms r ON r.id = m.room JOIN users o ON o.id = r.owner
          WHERE m.user = ?1 AND (?2 IS NULL OR r.is_group = ?2) AND (r.last_activity, r.id) < (?3, ?4)
          ORDER BY r.last_activity DESC, r.id DESC LIMIT ?5 OFFSET ?6"
    );
    let mut entries = conn
        .prepare_cached(sql)?
        .query_map((user, kind, activity, room, page.limit, page.skip), entry_at)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    complete(conn, user, &mut entries)?;
    Ok(entries)
}

fn mark_read(
    conn: &Connection,
    room: RoomId,
    user: UserId,
    to: ReadMarker,
) -> Result<Option<ReadMarker>> {
    let advance = "UPDATE memberships SET read_seq = ?3, read_ordinal = ?4
                   WHERE room = ?1 AND user = ?2 AND read_seq < ?3";
    conn.prepare_cached(advance)?.execute((room, user, to.seq, Count(to.ordinal)))?;
    let now = "SELECT max(m.read_seq, r.floor_seq), max(m.read_ordinal, r.floor_ordinal)
               FROM memberships m JOIN rooms r ON r.id = m.room WHERE m.room = ?1 AND m.user = ?2";
    let found =
        conn.prepare_cached(now)?.query_row((room, user), |row| marker_at(row, 0)).optional();
    Ok(found?)
}
