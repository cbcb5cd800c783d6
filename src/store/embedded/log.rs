//! The logs of all rooms in SQLite.

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::column::Count;
use super::rooms::tail_at;
use super::{Embedded, apply, retention, wipe};
use crate::domain::room::Tail;
use crate::domain::{Body, ClientId, Event, RoomId, Seq, UserId};
use crate::record;
use crate::store::{Appended, History, LogStore, Result, StayPlace, StoreError};

/// The columns of `events e` that [`event_at`] reads.
macro_rules! event_columns {
    () => {
        "e.room, e.seq, e.ordinal, e.sender, e.nonce, e.client_id, e.timestamp, e.kind, e.body, e.digest"
    };
}

fn event_at(row: &Row<'_>) -> rusqlite::Result<Event> {
    let sender = row.get(3)?;
    let json = row.get_ref(8)?.as_str_or_null()?;
    let body = record::decode(row.get_ref(7)?.as_str()?, json, row.get(9)?, sender)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(8, Type::Text, error.into()))?;
    Ok(Event {
        room: row.get(0)?,
        seq: row.get(1)?,
        ordinal: row.get::<_, Count>(2)?.0,
        sender,
        nonce: row.get(4)?,
        client_id: row.get(5)?,
        timestamp: row.get(6)?,
        body,
    })
}

/// The events of `room` that `sql`, which begins with the [`event_columns`], finds.
fn list_of(conn: &Connection, room: RoomId, sql: &str, params: impl Params) -> Result<Vec<Event>> {
    let cleared = wipe::cleared(conn, room)?;
    let events = list(conn, sql, params)?;
    Ok(events.into_iter().map(|event| wipe::seen(event, cleared)).collect())
}

fn list(conn: &Connection, sql: &str, params: impl Params) -> Result<Vec<Event>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, event_at)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl LogStore for Embedded {
    async fn append(&self, events: &[Event]) -> Appended {
        let events = events.to_vec();
        match self.write(move |conn| append(conn, &events)).await {
            Ok(appended) => appended,
            Err(error) => Appended::Unknown(error),
        }
    }

    async fn tail(&self, room: RoomId) -> Result<Option<Tail>> {
        self.read(move |conn| tail(conn, room)).await
    }

    async fn tails(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>> {
        let rooms = rooms.to_vec();
        self.read(move |conn| {
            let found = rooms.into_iter().map(|room| Ok((room, tail(conn, room)?)));
            let found = found.filter_map(|one: Result<_>| match one {
                Ok((room, tail)) => tail.map(|tail| Ok((room, tail.seq))),
                Err(error) => Some(Err(error)),
            });
            found.collect()
        })
        .await
    }

    async fn stay_changes(&self, (at, room, seq): StayPlace, limit: u32) -> Result<Vec<Event>> {
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e INDEXED BY events_stays
              WHERE e.kind IN ('member_added', 'member_removed', 'room_deleted')
                AND (e.timestamp, e.room, e.seq) > (?1, ?2, ?3)
              ORDER BY e.timestamp, e.room, e.seq LIMIT ?4"
        );
        self.read(move |conn| list(conn, sql, (at, room, seq, limit))).await
    }

    async fn events(
        &self,
        room: RoomId,
        after: Seq,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e WHERE e.room = ?1 AND e.seq > ?2 AND e.seq <= ?3 ORDER BY e.seq LIMIT ?4"
        );
        self.read(move |conn| list_of(conn, room, sql, (room, after, through, limit))).await
    }

    async fn messages(
        &self,
        room: RoomId,
        from: History,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>> {
        self.read(move |conn| messages(conn, room, from, (through, limit))).await
    }

    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Event>> {
        self.read(move |conn| find(conn, room, seq)).await
    }

    async fn event_by_client_id(
        &self,
        room: RoomId,
        sender: UserId,
        client_id: &ClientId,
    ) -> Result<Option<Event>> {
        let client_id = client_id.clone();
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e WHERE e.room = ?1 AND e.sender = ?2 AND e.client_id = ?3"
        );
        self.read(move |conn| Ok(list_of(conn, room, sql, (room, sender, client_id))?.pop())).await
    }

    async fn ordinal(&self, room: RoomId, seq: Seq) -> Result<u64> {
        // Every event carries the count, so the last one up to there tells it.
        let sql =
            "SELECT ordinal FROM events WHERE room = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1";
        self.read(move |conn| {
            let found: Option<Count> =
                conn.prepare_cached(sql)?.query_row((room, seq), |row| row.get(0)).optional()?;
            found.map_or_else(|| Ok(retention::floor(conn, room)?.ordinal), |count| Ok(count.0))
        })
        .await
    }

    async fn all_messages(&self, skip: u32, limit: u32) -> Result<Vec<Event>> {
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e INDEXED BY events_newest CROSS JOIN rooms r ON r.id = e.room
              WHERE e.kind = 'message' AND e.seq > r.cleared_through
              ORDER BY e.timestamp DESC, e.room DESC, e.seq DESC LIMIT ?1 OFFSET ?2"
        );
        self.read(move |conn| list(conn, sql, (limit, skip))).await
    }
}

/// The event at `seq`.
pub(super) fn find(conn: &Connection, room: RoomId, seq: Seq) -> Result<Option<Event>> {
    let sql =
        concat!("SELECT ", event_columns!(), " FROM events e WHERE e.room = ?1 AND e.seq = ?2");
    Ok(list_of(conn, room, sql, (room, seq))?.pop())
}

/// The newest message of which something is left.
pub(super) fn newest(conn: &Connection, room: RoomId) -> Result<Option<Event>> {
    Ok(messages(conn, room, History::Before(Seq(u64::MAX)), (Seq(u64::MAX), 1))?.pop())
}

/// The end of the log, also of a deleted room.
pub(super) fn tail(conn: &Connection, room: RoomId) -> Result<Option<Tail>> {
    let sql = "SELECT tail_seq, tail_ordinal, tail_timestamp FROM rooms WHERE id = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([room], |row| tail_at(row, 0)).optional()?)
}

fn messages(
    conn: &Connection,
    room: RoomId,
    from: History,
    (through, limit): (Seq, u32),
) -> Result<Vec<Event>> {
    // Through the index of messages, so what lies between them costs nothing.
    let backwards = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e INDEXED BY events_messages
          WHERE e.room = ?1 AND e.kind = 'message' AND e.seq < ?2 AND e.seq <= ?3 AND e.seq > ?5
          ORDER BY e.seq DESC LIMIT ?4"
    );
    let forwards = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e INDEXED BY events_messages
          WHERE e.room = ?1 AND e.kind = 'message' AND e.seq > ?2 AND e.seq <= ?3
          ORDER BY e.seq LIMIT ?4"
    );
    let cleared = wipe::cleared(conn, room)?;
    match from {
        History::After(seq) => list(conn, forwards, (room, seq.max(cleared), through, limit)),
        History::Before(seq) => {
            let mut found = list(conn, backwards, (room, seq, through, limit, cleared))?;
            found.reverse();
            Ok(found)
        }
    }
}

/// Appends the first events of a room that was made in this transaction: all of them, or an error undoes
/// everything.
pub(super) fn create(conn: &Connection, room: RoomId, events: &[Event]) -> Result<()> {
    match append(conn, events)? {
        Appended::All if events.iter().all(|event| event.room == room) => Ok(()),
        _ => {
            Err(StoreError::Malformed("the first events of a room are not numbered from 1".into()))
        }
    }
}

/// See [`LogStore::append`]. A position is free only right behind the tail: what would leave a hole is
/// refused as if it were taken, and so is everything in a room that is deleted or never was.
fn append(conn: &Connection, events: &[Event]) -> Result<Appended> {
    let Some(first) = events.first() else { return Ok(Appended::All) };
    let sql =
        "SELECT tail_seq, tail_ordinal, tail_timestamp FROM rooms WHERE id = ?1 AND is_deleted = 0";
    let tail: Option<Tail> =
        conn.prepare_cached(sql)?.query_row([first.room], |row| tail_at(row, 0)).optional()?;
    let Some(mut tail) = tail else { return Ok(Appended::PositionTaken { index: 0 }) };

    let mut appended = Appended::All;
    let mut ended = false;
    for (index, event) in events.iter().enumerate() {
        if ended || event.room != first.room || event.seq != tail.seq.next() {
            appended = Appended::PositionTaken { index };
            break;
        }
        if !insert(conn, event)? {
            appended = Appended::ClientIdTaken { index };
            break;
        }
        apply::apply(conn, event)?;
        ended = matches!(event.body, Body::RoomDeleted);
        tail = Tail { seq: event.seq, ordinal: event.ordinal, timestamp: event.timestamp };
    }
    set_tail(conn, first.room, tail)?;
    Ok(appended)
}

fn set_tail(conn: &Connection, room: RoomId, tail: Tail) -> Result<()> {
    let sql = "UPDATE rooms SET tail_seq = ?2, tail_ordinal = ?3, tail_timestamp = ?4,
                 last_activity = max(last_activity, ?4)
               WHERE id = ?1 AND tail_seq < ?2";
    conn.prepare_cached(sql)?.execute((room, tail.seq, Count(tail.ordinal), tail.timestamp))?;
    Ok(())
}

/// Writes the row of `event`; whether its `client_id` was free.
fn insert(conn: &Connection, event: &Event) -> Result<bool> {
    let body = record::encode(&event.body);
    let sql = "INSERT INTO events
                 (room, seq, ordinal, kind, sender, nonce, client_id, timestamp, body, digest)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
               ON CONFLICT (room, sender, client_id) WHERE client_id IS NOT NULL DO NOTHING";
    let written = conn.prepare_cached(sql)?.execute(params![
        event.room,
        event.seq,
        Count(event.ordinal),
        body.kind,
        event.sender,
        event.nonce,
        event.client_id,
        event.timestamp,
        body.json,
        body.digest,
    ])?;
    Ok(written == 1)
}
