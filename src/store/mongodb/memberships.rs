//! Memberships in MongoDB: rows derived from the log, and what is not in it.

use std::collections::HashMap;

use async_trait::async_trait;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::entries::{Listed, place_fields, read_at};
use super::field::{Row, count, seat};
use super::indexes::name;
use super::read::all_of;
use super::rooms::{any_of, kind_at};
use super::{Base, Mongodb};
use crate::domain::membership::ReadMarker;
use crate::domain::room::Tail;
use crate::domain::{
    Membership, MembershipId, Page, Role, RoomId, RoomKind, Timestamp, User, UserId, Username,
};
use crate::store::{MembershipStore, Result, RoomEntry};

#[async_trait]
impl MembershipStore for Mongodb {
    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Membership>> {
        self.0.settle(room).await?;
        let Some(found) = self.0.find_membership(room, user).await? else { return Ok(None) };
        Ok(self.0.memberships_of(&[found]).await?.pop())
    }

    async fn membership_by_id(&self, id: MembershipId) -> Result<Option<Membership>> {
        self.0.settle_all().await?;
        let query = self.0.query(&self.0.memberships, doc! { "id": id }, name::MEMBERSHIP_IDS);
        Ok(self.0.memberships_of(&query.limit(1).list().await?).await?.pop())
    }

    async fn memberships(&self, page: Page<MembershipId>) -> Result<Vec<Membership>> {
        self.0.settle_all().await?;
        let mut id = doc! { "$exists": true };
        if let Some(after) = page.after {
            id.insert("$gt", after);
        }
        let query = self.0.query(&self.0.memberships, doc! { "id": id }, name::MEMBERSHIP_IDS);
        let found = query.sort(doc! { "id": 1 }).skip(page.skip).limit(page.limit).list().await?;
        self.0.memberships_of(&found).await
    }

    async fn members(&self, room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>> {
        self.0.settle(room).await?;
        self.0.members(room, page).await
    }

    async fn rooms_of(
        &self,
        user: UserId,
        kind: Option<RoomKind>,
        page: Page<RoomId>,
    ) -> Result<Vec<RoomEntry>> {
        let cleared = self.0.settle_all().await?;
        let listed = self.0.listed(user, kind, page).await?;
        self.0.entries(user, listed, &cleared).await
    }

    async fn room_ids_of(&self, user: UserId) -> Result<Vec<(RoomId, Tail)>> {
        self.0.settle_all().await?;
        let rooms = self.0.seats(user).await?.into_iter().map(|seat| seat.id);
        let tails = self.0.tails(&rooms.collect::<Vec<_>>()).await?;
        let mut tails: Vec<_> = tails.into_iter().collect();
        tails.sort_by_key(|(room, _)| *room);
        Ok(tails)
    }

    async fn peers_of(&self, user: UserId) -> Result<Vec<(RoomId, UserId, Username)>> {
        self.0.settle_all().await?;
        let rooms: Vec<_> = self.0.seats(user).await?.into_iter().map(|seat| seat.id).collect();
        let filter = doc! { "_id": any_of(rooms), "is_group": false };
        let query = self.0.query(&self.0.rooms, filter, name::ID).only(doc! { "_id": 1 });
        let private = query.list().await?;
        let private =
            private.iter().map(|room| Row::of(room).get("_id")).collect::<Result<Vec<_>>>();
        self.0.others(user, &private?).await
    }

    async fn deleted_members(&self, limit: u32) -> Result<Vec<UserId>> {
        self.0.settle_all().await?;
        self.0.leaving(limit).await
    }

    async fn mark_read(
        &self,
        room: RoomId,
        user: UserId,
        to: ReadMarker,
    ) -> Result<Option<ReadMarker>> {
        self.0.settle(room).await?;
        let mut filter = member(room, user);
        filter.insert("read_seq", doc! { "$lt": to.seq });
        let set = doc! { "read_seq": to.seq, "read_ordinal": count(to.ordinal) };
        let stored = if self.0.update(&self.0.memberships, filter, doc! { "$set": set }).await? {
            to
        } else {
            let Some(found) = self.0.find_membership(room, user).await? else { return Ok(None) };
            read_at(Row::of(&found))?
        };
        self.0.marker(room, user, stored).await.map(Some)
    }

    async fn touch_membership(&self, room: RoomId, user: UserId, at: Timestamp) -> Result<()> {
        let latest = doc! { "$max": { "last_seen": at } };
        self.0.update(&self.0.memberships, member(room, user), latest).await.map(drop)
    }
}

/// The filter of a user's place in a room.
fn member(room: RoomId, user: UserId) -> Document {
    doc! { "_id": seat(room, user), "room": room, "id": { "$exists": true } }
}

/// Owner, name, id: the order of a room's members, also as the place behind which a page begins.
type Rank = (bool, String, UserId);

fn rank(role: Role, account: &User) -> Rank {
    // What is left of a deleted account has no name of its own, and comes first.
    let name =
        if account.email.as_str().is_empty() { String::new() } else { account.username.folded() };
    (role != Role::Owner, name, account.id)
}

impl Base {
    async fn find_membership(&self, room: RoomId, user: UserId) -> Result<Option<RawDocumentBuf>> {
        self.query(&self.memberships, member(room, user), name::ID).first().await
    }

    /// The memberships of these documents with their users and what those have read.
    async fn memberships_of(&self, documents: &[RawDocumentBuf]) -> Result<Vec<Membership>> {
        let users = documents.iter().map(|found| Row::of(found).get("user"));
        let users = self.accounts(users.collect::<Result<Vec<UserId>>>()?).await?;
        let memberships = documents.iter().map(|found| self.membership_of(Row::of(found), &users));
        Ok(all_of(memberships.collect()).await?.into_iter().flatten().collect())
    }

    async fn membership_of(
        &self,
        row: Row<'_>,
        users: &HashMap<UserId, User>,
    ) -> Result<Option<Membership>> {
        let (room, user) = (row.get("room")?, row.get("user")?);
        let Some(account) = users.get(&user) else { return Ok(None) };
        Ok(Some(Membership {
            id: row.get("id")?,
            room,
            user: account.clone(),
            role: row.get("role")?,
            created_at: row.get("created_at")?,
            last_seen: row.get("last_seen")?,
            read: self.marker(room, user, read_at(row)?).await?,
        }))
    }

    async fn members(&self, room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>> {
        let filter = doc! { "room": room, "id": { "$exists": true } };
        let query = self.query(&self.memberships, filter, name::MEMBERS);
        let documents = query.list().await?;
        let ids = documents.iter().map(|found| Row::of(found).get("user"));
        let mut ids = ids.collect::<Result<Vec<UserId>>>()?;
        ids.extend(page.after);
        let accounts = self.accounts(ids).await?;
        let mut ranked = Vec::with_capacity(documents.len());
        let mut place = page.after.and_then(|user| Some(rank(Role::Member, accounts.get(&user)?)));
        for document in documents {
            let row = Row::of(&document);
            let Some(account) = accounts.get(&row.get("user")?) else { continue };
            let rank = rank(row.get("role")?, account);
            if page.after == Some(account.id) {
                place = Some(rank.clone());
            }
            ranked.push((rank, document));
        }
        if page.after.is_some() && place.is_none() {
            // Somebody whose place is not known any more: there is no telling what comes behind.
            return Ok(Vec::new());
        }
        ranked.retain(|(rank, _)| place.as_ref().is_none_or(|place| rank > place));
        ranked.sort_by(|one, other| one.0.cmp(&other.0));
        let page = ranked.into_iter().skip(page.skip as usize).take(page.limit as usize);
        self.memberships_of(&page.map(|(_, document)| document).collect::<Vec<_>>()).await
    }

    /// Every room of `user`, and their place in it.
    async fn seats(&self, user: UserId) -> Result<Vec<Listed>> {
        let filter = doc! { "user": user, "id": { "$exists": true } };
        let query = self.query(&self.memberships, filter, name::MEMBERSHIPS);
        let found = query.only(place_fields()).list().await?;
        let seats = found.iter().map(|document| {
            let row = Row::of(document);
            Ok(Listed { id: row.get("room")?, role: row.get("role")?, read: Some(read_at(row)?) })
        });
        seats.collect()
    }

    /// The rooms of a page of [`MembershipStore::rooms_of`].
    async fn listed(
        &self,
        user: UserId,
        kind: Option<RoomKind>,
        page: Page<RoomId>,
    ) -> Result<Vec<Listed>> {
        let seats = self.seats(user).await?;
        let mut ids: Vec<_> = seats.iter().map(|seat| seat.id).collect();
        ids.extend(page.after);
        let activity = self.activity(&ids).await?;
        // Behind the room's place as it is now, also if the user is no longer in it.
        let place = page.after.map(|room| Some((activity.get(&room)?.0, room)));
        let Some(place) = place.map_or(Some(None), |place| place.map(Some)) else {
            return Ok(Vec::new());
        };
        let mut listed: Vec<_> = seats
            .into_iter()
            .filter_map(|seat| {
                let (at, own_kind) = activity.get(&seat.id)?;
                let is_wanted = kind.is_none_or(|kind| kind == *own_kind);
                let is_behind = place.is_none_or(|place| (*at, seat.id) < place);
                (is_wanted && is_behind).then_some(((*at, seat.id), seat))
            })
            .collect();
        listed.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        let page = listed.into_iter().skip(page.skip as usize).take(page.limit as usize);
        Ok(page.map(|(_, seat)| seat).collect())
    }

    /// When something last happened in these rooms, and their kinds.
    async fn activity(&self, rooms: &[RoomId]) -> Result<HashMap<RoomId, (Timestamp, RoomKind)>> {
        let filter = doc! { "_id": any_of(rooms.iter().copied()) };
        let fields = doc! { "created_at": 1, "is_group": 1 };
        let documents = self.query(&self.rooms, filter, name::ID).only(fields).list();
        let (documents, tails) = tokio::try_join!(documents, self.tails(rooms))?;
        let mut activity = HashMap::with_capacity(documents.len());
        for row in documents.iter().map(Row::of) {
            let id = row.get("_id")?;
            let created_at: Timestamp = row.get("created_at")?;
            if let Some(tail) = tails.get(&id) {
                activity.insert(id, (created_at.max(tail.timestamp), kind_at(row)?));
            }
        }
        Ok(activity)
    }

    /// Deleted accounts that are still in rooms. Of one that is in none, that is noted.
    async fn leaving(&self, limit: u32) -> Result<Vec<UserId>> {
        let query = self.query(&self.users, doc! { "leaving": true }, name::LEAVING);
        let found = query.only(doc! { "_id": 1 }).list().await?;
        let mut leaving = Vec::new();
        for document in &found {
            if leaving.len() == limit as usize {
                break;
            }
            let user: UserId = Row::of(document).get("_id")?;
            if self.is_anywhere(user).await? || !self.has_left(user).await? {
                leaving.push(user);
            }
        }
        Ok(leaving)
    }

    async fn is_anywhere(&self, user: UserId) -> Result<bool> {
        let filter = doc! { "user": user, "id": { "$exists": true } };
        self.query(&self.memberships, filter, name::MEMBERSHIPS).exists().await
    }

    /// Notes that a deleted account has left every room, unless it has come into one meanwhile.
    async fn has_left(&self, user: UserId) -> Result<bool> {
        self.delete_all(&self.requests, doc! { "user": user }).await?;
        let left = doc! { "$unset": { "leaving": "" } };
        self.update(&self.users, doc! { "_id": user }, left).await?;
        if self.is_anywhere(user).await? {
            self.note_leaving(user).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Notes that a deleted account may be in rooms.
    pub(super) async fn note_leaving(&self, user: UserId) -> Result<()> {
        let leaving = doc! { "$set": { "leaving": true } };
        self.update(&self.users, doc! { "_id": user }, leaving).await.map(drop)
    }
}
