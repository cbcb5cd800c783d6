//! Blanking messages: at once for readers, in the file a piece at a time.
//!
//! A long log takes seconds to blank, in which nothing else could be written. So clearing stores up to where
//! messages are gone, which every read respects, blanks the first piece itself, and leaves the others to the
//! writing thread, between its transactions and also after a restart.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::domain::{Body, Event, RoomId, Seq};
use crate::record::{GONE, MESSAGE};
use crate::store::Result;

/// Messages that are blanked in one transaction: some 10 ms of writing.
const PIECE: u32 = 1000;

/// From now on nothing is left of the messages of `room` up to `through`.
pub(super) fn clear(conn: &Connection, room: RoomId, through: Seq) -> Result<()> {
    let sql = "UPDATE rooms SET cleared_through = max(cleared_through, ?2) WHERE id = ?1";
    conn.prepare_cached(sql)?.execute((room, through))?;
    give_up_uploads(conn, room, (Seq(1), through))?;
    wipe_piece(conn, room)
}

/// Nothing is left of the message of `room` at `seq`, if there is one.
pub(super) fn one(conn: &Connection, room: RoomId, seq: Seq) -> Result<()> {
    give_up_uploads(conn, room, (seq, seq))?;
    blank(conn, room, (seq, seq))
}

/// The uploads of the messages in this range are the collector's.
pub(super) fn give_up_uploads(
    conn: &Connection,
    room: RoomId,
    (first, last): (Seq, Seq),
) -> Result<()> {
    let sql = "UPDATE uploads SET state = 'deleting', seq = NULL WHERE room = ?1 AND seq BETWEEN ?2 AND ?3";
    conn.prepare_cached(sql)?.execute((room, first, last))?;
    Ok(())
}

/// Leaves nothing in the rows of the messages in this range but their place and digest.
pub(super) fn blank(conn: &Connection, room: RoomId, (first, last): (Seq, Seq)) -> Result<()> {
    let sql = "UPDATE events INDEXED BY events_messages SET kind = ?4, body = NULL
               WHERE room = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 'message'";
    debug_assert_eq!(MESSAGE, "message", "the statement names the kind as the index does");
    conn.prepare_cached(sql)?.execute((room, first, last, GONE))?;
    Ok(())
}

/// Up to where the messages of `room` are gone.
pub(super) fn cleared(conn: &Connection, room: RoomId) -> Result<Seq> {
    let sql = "SELECT cleared_through FROM rooms WHERE id = ?1";
    let found = conn.prepare_cached(sql)?.query_row([room], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}

/// `event` as readers may see it, in a room of which everything up to `cleared` is gone.
pub(super) fn seen(event: Event, cleared: Seq) -> Event {
    match event.body {
        Body::Message(message) if event.seq <= cleared => {
            Event { body: Body::Gone { digest: message.digest }, ..event }
        }
        _ => event,
    }
}

/// Blanks one more piece of what is cleared somewhere; whether there may be more.
pub(super) fn wipe_more(conn: &Connection) -> Result<bool> {
    let sql = "SELECT id FROM rooms INDEXED BY rooms_unwiped WHERE wiped_through < cleared_through LIMIT 1";
    let room: Option<RoomId> =
        conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let Some(room) = room else { return Ok(false) };
    // At once, for a command beside this node may be writing too.
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    wipe_piece(&transaction, room)?;
    transaction.commit()?;
    Ok(true)
}

fn wipe_piece(conn: &Connection, room: RoomId) -> Result<()> {
    let range = "SELECT wiped_through, cleared_through FROM rooms WHERE id = ?1";
    let (wiped, cleared): (Seq, Seq) =
        conn.prepare_cached(range)?.query_row([room], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let end = "SELECT seq FROM events INDEXED BY events_messages
               WHERE room = ?1 AND kind = 'message' AND seq > ?2 AND seq <= ?3
               ORDER BY seq LIMIT 1 OFFSET ?4";
    let last = conn
        .prepare_cached(end)?
        .query_row((room, wiped, cleared, PIECE - 1), |row| row.get(0))
        .optional()?;
    let last = last.unwrap_or(cleared);
    blank(conn, room, (wiped.next(), last))?;
    let done = "UPDATE rooms SET wiped_through = ?2 WHERE id = ?1";
    conn.prepare_cached(done)?.execute((room, last))?;
    Ok(())
}
