//! What an event changes beside the log, in the transaction that appends it.
//!
//! Everything here states a result, so applying an event again changes nothing.

use rusqlite::{Connection, OptionalExtension, params};

use super::{log, wipe};
use crate::domain::event::MemberAdded;
use crate::domain::{Body, Event, Message, Role, RoomId, Seq, UserId};
use crate::record;
use crate::store::Result;

/// Applies `event`, which is in the log already.
pub(super) fn apply(conn: &Connection, event: &Event) -> Result<()> {
    let room = event.room;
    match &event.body {
        Body::Message(message) => {
            read_own(conn, event)?;
            store_upload(conn, event, message)
        }
        Body::Edited { target, text } => edit(conn, room, *target, text),
        Body::Deleted { target } => wipe::one(conn, room, *target),
        Body::Cleared { through } => wipe::clear(conn, room, event.seq.min(*through)),
        Body::MemberAdded(added) => add_member(conn, event, added),
        Body::MemberRemoved { user, .. } => remove_member(conn, room, *user),
        Body::RoomUpdated { name, owner, .. } => update_room(conn, room, name, *owner),
        Body::RoomDeleted => {
            wipe::clear(conn, room, event.seq)?;
            delete_room(conn, room)
        }
        Body::Reacted { .. } | Body::Gone { .. } => Ok(()),
    }
}

/// Who writes has read what stands before: no separate write, for this transaction is under way anyway.
fn read_own(conn: &Connection, event: &Event) -> Result<()> {
    let sql = "UPDATE memberships SET read_seq = ?3, read_ordinal = ?4
               WHERE room = ?1 AND user = ?2 AND read_seq < ?3";
    let ordinal = super::column::Count(event.ordinal);
    conn.prepare_cached(sql)?.execute((event.room, event.sender, event.seq, ordinal))?;
    Ok(())
}

/// From here on the upload stays as long as something is left of the message.
fn store_upload(conn: &Connection, event: &Event, message: &Message) -> Result<()> {
    let Some(attachment) = &message.attachment else { return Ok(()) };
    let sql = "UPDATE uploads SET seq = ?3 WHERE id = ?1 AND room = ?2 AND state = 'attached'";
    conn.prepare_cached(sql)?.execute((attachment.id, event.room, event.seq))?;
    Ok(())
}

/// Writes the text as it is from now on into the message's own row.
fn edit(conn: &Connection, room: RoomId, target: Seq, text: &str) -> Result<()> {
    let Some(Event { body: Body::Message(mut message), .. }) = log::find(conn, room, target)?
    else {
        return Ok(()); // Nothing is left of it.
    };
    text.clone_into(&mut message.text);
    let sql = "UPDATE events SET body = ?3 WHERE room = ?1 AND seq = ?2";
    conn.prepare_cached(sql)?.execute((room, target, record::message_json(&message)))?;
    Ok(())
}

/// A member's reading begins with their coming: nothing before it is unread.
fn add_member(conn: &Connection, event: &Event, added: &MemberAdded) -> Result<()> {
    // Selected from the accounts: of one that never was there can be no membership.
    let membership = "INSERT INTO memberships
                        (room, user, id, role, created_at, last_seen, read_seq, read_ordinal)
                      SELECT ?1, u.id, ?3, ?4, ?5, ?5, ?6, ?7 FROM users u WHERE u.id = ?2
                      ON CONFLICT (room, user) DO UPDATE SET id = excluded.id, role = excluded.role";
    conn.prepare_cached(membership)?.execute(params![
        event.room,
        added.user,
        added.membership,
        added.role,
        event.timestamp,
        event.seq,
        super::column::Count(event.ordinal),
    ])?;
    let request = "UPDATE join_requests SET approved = 1 WHERE id = ?1 AND room = ?2";
    if let Some(id) = added.request {
        conn.prepare_cached(request)?.execute((id, event.room))?;
    }
    Ok(())
}

fn remove_member(conn: &Connection, room: RoomId, user: UserId) -> Result<()> {
    let sql = "DELETE FROM memberships WHERE room = ?1 AND user = ?2";
    conn.prepare_cached(sql)?.execute((room, user))?;
    Ok(())
}

/// In a group the owner is the one with the role; in a private room roles stay as they are.
fn update_room(conn: &Connection, room: RoomId, name: &str, owner: UserId) -> Result<()> {
    let sql =
        "UPDATE rooms SET name = ?2, owner = coalesce((SELECT id FROM users WHERE id = ?3), owner)
               WHERE id = ?1 RETURNING is_group";
    let is_group: Option<bool> =
        conn.prepare_cached(sql)?.query_row((room, name, owner), |row| row.get(0)).optional()?;
    if is_group == Some(true) {
        let roles = "UPDATE memberships SET role = iif(user = ?2, ?3, ?4)
                     WHERE room = ?1 AND (user = ?2 OR role = ?3)";
        conn.prepare_cached(roles)?.execute((room, owner, Role::Owner, Role::Member))?;
    }
    Ok(())
}

fn delete_room(conn: &Connection, room: RoomId) -> Result<()> {
    for sql in [
        "UPDATE rooms SET is_deleted = 1 WHERE id = ?1",
        "DELETE FROM memberships WHERE room = ?1",
        "DELETE FROM join_requests WHERE room = ?1",
        // Nobody can read the room any more, nor load its files.
        "UPDATE uploads SET state = 'deleting', seq = NULL WHERE room = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([room])?;
    }
    Ok(())
}
