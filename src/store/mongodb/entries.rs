//! The lists of rooms as a member sees them, put together from what several collections hold.

use std::collections::HashMap;

use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::Base;
use super::event::tail;
use super::field::{Place, Row, place};
use super::indexes::name;
use super::read::all_of;
use super::retention::floor_at;
use super::rooms::{any_of, kind_at, room_at};
use super::settle::Cleared;
use crate::domain::membership::ReadMarker;
use crate::domain::room::Tail;
use crate::domain::{Body, Event, Role, RoomId, RoomKind, Seq, User, UserId, Username};
use crate::record::{GONE, MESSAGE};
use crate::store::{Result, RoomEntry};

/// A room that is to be in a list, and the place in it of whom the list is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) id: RoomId,
    pub(super) role: Role,
    /// As it is stored; `None` of somebody who is no member, who has read everything.
    pub(super) read: Option<ReadMarker>,
}

impl Base {
    /// The entries of `listed` in the list of `user`, in the same order. One that is deleted meanwhile is left out.
    pub(super) async fn entries(
        &self,
        user: UserId,
        listed: Vec<Listed>,
        cleared: &Cleared,
    ) -> Result<Vec<RoomEntry>> {
        let ids: Vec<RoomId> = listed.iter().map(|room| room.id).collect();
        let (documents, last) = tokio::try_join!(self.find_rooms(&ids), self.last_events(&ids))?;
        let owners = documents.iter().map(|room| Row::of(room).get("owner"));
        let owners = self.accounts(owners.collect::<Result<Vec<UserId>>>()?).await?;
        let (messages, own, peers) = tokio::try_join!(
            self.last_messages(&last, cleared),
            self.own_markers(user, &listed, &last),
            self.peers(user, &documents),
        )?;
        let documents = by_id(documents)?;
        let mut entries = Vec::with_capacity(listed.len());
        for Listed { id, role, read } in listed {
            let (Some(document), Some(last)) = (documents.get(&id), last.get(&id)) else {
                continue;
            };
            let tail = tail_at(last);
            let at_tail = ReadMarker { seq: tail.seq, ordinal: tail.ordinal };
            let own = own.get(&id).copied().unwrap_or_default();
            let gone = floor_at(Row::of(document))?.unwrap_or_default();
            entries.push(RoomEntry {
                room: room_at(Row::of(document), tail, &owners)?,
                role,
                read: read.map_or(at_tail, |read| further(further(read, own), gone)),
                tail,
                last_message: messages.get(&id).cloned(),
                peer: peers.get(&id).cloned(),
            });
        }
        Ok(entries)
    }

    /// The newest message of each room of which something is left, given the `last` events: mostly it is one of those.
    async fn last_messages(
        &self,
        last: &HashMap<RoomId, Event>,
        cleared: &Cleared,
    ) -> Result<HashMap<RoomId, Event>> {
        let found = last.values().map(|event| self.last_message(event, cleared.of(event.room)));
        let found = all_of(found.collect()).await?;
        Ok(found.into_iter().flatten().map(|event| (event.room, event)).collect())
    }

    /// The newest message in the room of `last`, its last event, of which something is left.
    async fn last_message(&self, last: &Event, floor: Seq) -> Result<Option<Event>> {
        if matches!(last.body, Body::Message(_)) {
            return Ok((last.seq > floor).then(|| last.clone()));
        }
        let room = last.room;
        let keys = doc! { "$gt": place(room, floor), "$lte": place(room, Seq(u64::MAX)) };
        let filter = doc! { "room": room, "kind": MESSAGE, "_id": keys };
        let query = self.query(&self.events, filter, name::MESSAGES).sort(doc! { "_id": -1 });
        query.first().await?.as_ref().map(super::event::decode).transpose()
    }

    /// Where the newest messages of `user` stand in these rooms: who writes has read what stands before. Only rooms
    /// are looked at in which it makes a difference.
    async fn own_markers(
        &self,
        user: UserId,
        listed: &[Listed],
        last: &HashMap<RoomId, Event>,
    ) -> Result<HashMap<RoomId, ReadMarker>> {
        let mut markers = HashMap::new();
        let mut unknown = Vec::new();
        for Listed { id, read, .. } in listed {
            let (Some(read), Some(last)) = (read, last.get(id)) else { continue };
            if last.sender == user && last.body.is_message() {
                markers.insert(*id, ReadMarker { seq: last.seq, ordinal: last.ordinal });
            } else if read.seq < last.seq {
                unknown.push(*id);
            }
        }
        let found = self.last_own(user, &unknown).await?;
        let found = found.iter().map(|document| self.own_message(user, document));
        markers.extend(all_of(found.collect()).await?.into_iter().flatten());
        Ok(markers)
    }

    /// The marker at the newest message of `user`, whose newest event is in `document`.
    async fn own_message(
        &self,
        user: UserId,
        document: &RawDocumentBuf,
    ) -> Result<Option<(RoomId, ReadMarker)>> {
        let row = Row::of(document);
        let Place(room, _) = row.get("_id")?;
        if matches!(row.text("kind")?, Some(MESSAGE | GONE)) {
            return Ok(Some((room, marker_of(row)?)));
        }
        let found = self.last_own_message(user, room).await?;
        found.map(|found| Ok((room, marker_of(Row::of(&found))?))).transpose()
    }

    /// The marker of `user` in `room`, of which `read` is stored. What is gone is read.
    pub(super) async fn marker(
        &self,
        room: RoomId,
        user: UserId,
        read: ReadMarker,
    ) -> Result<ReadMarker> {
        let (own, gone) = tokio::try_join!(self.last_own_message(user, room), self.floor(room))?;
        let own = own.map(|found| marker_of(Row::of(&found))).transpose()?;
        Ok(further(further(read, own.unwrap_or_default()), gone))
    }

    /// The other people of the private ones among these rooms, as long as they are there.
    async fn peers(
        &self,
        user: UserId,
        rooms: &[RawDocumentBuf],
    ) -> Result<HashMap<RoomId, (UserId, Username)>> {
        let mut private = Vec::new();
        for room in rooms.iter().map(Row::of) {
            if kind_at(room)? == RoomKind::Private {
                private.push(room.get("_id")?);
            }
        }
        let others = self.others(user, &private).await?;
        Ok(others.into_iter().map(|(room, id, name)| (room, (id, name))).collect())
    }

    /// The members of these rooms but `user`, in the order of the rooms.
    pub(super) async fn others(
        &self,
        user: UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, UserId, Username)>> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! {
            "room": any_of(rooms.iter().copied()),
            "user": { "$ne": user },
            "id": { "$exists": true },
        };
        let query = self.query(&self.memberships, filter, name::MEMBERS);
        let found = query.only(doc! { "room": 1, "user": 1 }).list().await?;
        let seats = found.iter().map(|found| {
            let row = Row::of(found);
            Ok((row.get("room")?, row.get("user")?))
        });
        let mut seats = seats.collect::<Result<Vec<(RoomId, UserId)>>>()?;
        seats.sort_unstable();
        let names = self.accounts(seats.iter().map(|(_, user)| *user)).await?;
        let named = |(room, id): (RoomId, UserId)| {
            names.get(&id).map(|account: &User| (room, id, account.username.clone()))
        };
        Ok(seats.into_iter().filter_map(named).collect())
    }

    /// The roles and stored read markers of `user` in these rooms.
    pub(super) async fn places_of(
        &self,
        user: UserId,
        rooms: &[RoomId],
    ) -> Result<HashMap<RoomId, (Role, ReadMarker)>> {
        let filter = doc! {
            "user": user,
            "room": any_of(rooms.iter().copied()),
            "id": { "$exists": true },
        };
        let found = self.query(&self.memberships, filter, name::MEMBERSHIPS).list().await?;
        let places = found.iter().map(|document| {
            let row = Row::of(document);
            Ok((row.get("room")?, (row.get("role")?, read_at(row)?)))
        });
        places.collect()
    }
}

/// The fields of a membership that [`read_at`] reads, its room and its role.
pub(super) fn place_fields() -> Document {
    doc! { "room": 1, "role": 1, "read_seq": 1, "read_ordinal": 1 }
}

/// The read marker that is stored in a membership.
pub(super) fn read_at(row: Row<'_>) -> Result<ReadMarker> {
    Ok(ReadMarker { seq: row.get("read_seq")?, ordinal: row.get("read_ordinal")? })
}

/// The marker at the event in `row`.
fn marker_of(row: Row<'_>) -> Result<ReadMarker> {
    let Tail { seq, ordinal, .. } = tail(row)?;
    Ok(ReadMarker { seq, ordinal })
}

fn further(one: ReadMarker, other: ReadMarker) -> ReadMarker {
    if other.seq > one.seq { other } else { one }
}

fn tail_at(event: &Event) -> Tail {
    Tail { seq: event.seq, ordinal: event.ordinal, timestamp: event.timestamp }
}

fn by_id(rooms: Vec<RawDocumentBuf>) -> Result<HashMap<RoomId, RawDocumentBuf>> {
    rooms.into_iter().map(|room| Ok((Row::of(&room).get("_id")?, room))).collect()
}
