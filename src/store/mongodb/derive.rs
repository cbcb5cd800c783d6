//! What an event changes beside the log.
//!
//! Everything here states a result, may be done twice, and by two nodes at once, of which one may have slept in
//! between: so each change carries the position of its event, and a row that has seen a later one is left alone. Of a
//! membership that ended its row stays, for the position; whoever has no `id` is no member.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};

use super::Base;
use super::event::TO_APPLY;
use super::field::{Row, place, seat};
use super::indexes::name;
use super::wipe::Wiped;
use crate::domain::event::MemberAdded;
use crate::domain::{AttachmentState, Body, Event, Message, Role, RoomId, Seq, UserId};
use crate::record;
use crate::store::Result;

impl Base {
    /// Applies `pending`, committed events of `room` in the order of the log, of which none before them is
    /// pending. They are not pending any more then.
    pub(super) async fn apply(self: &Arc<Self>, room: RoomId, pending: &[Event]) -> Result<()> {
        if pending.first().is_some_and(|first| first.seq == Seq(1)) {
            self.finish_making(room).await?;
        }
        let mut done = Vec::with_capacity(pending.len());
        for event in pending {
            if self.apply_one(event).await? == Wiped::Wholly {
                done.push(Bson::from(place(room, event.seq)));
            }
        }
        self.forget_pending(room, done).await
    }

    /// Notes that these events of `room` have nothing left to be done.
    pub(super) async fn forget_pending(&self, room: RoomId, done: Vec<Bson>) -> Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        let filter = doc! { "room": room, "_id": { "$in": done }, "pending": TO_APPLY };
        self.update_all(&self.events, filter, doc! { "$unset": { "pending": "" } }, name::ID)
            .await?;
        Ok(())
    }

    pub(super) async fn apply_one(self: &Arc<Self>, event: &Event) -> Result<Wiped> {
        let room = event.room;
        match &event.body {
            Body::Message(message) => self.store_upload(event, message).await?,
            Body::Edited { target, text } if *target < event.seq => {
                self.edit(event, *target, text).await?;
            }
            Body::Deleted { target } if *target < event.seq => {
                self.blank_one(room, *target).await?
            }
            Body::Cleared { through } => return self.clear(event, event.seq.min(*through)).await,
            Body::MemberAdded(added) => self.add_member(event, added).await?,
            Body::MemberRemoved { user, .. } => self.remove_member(event, *user).await?,
            Body::RoomUpdated { name, owner, .. } => self.update_room(event, name, *owner).await?,
            Body::RoomDeleted => {
                self.delete_room(event).await?;
                return self.clear(event, event.seq).await;
            }
            Body::Edited { .. }
            | Body::Deleted { .. }
            | Body::Reacted { .. }
            | Body::Gone { .. } => {}
        }
        Ok(Wiped::Wholly)
    }

    /// From here on the upload stays as long as something is left of the message, whatever became of the
    /// attempt that attached it.
    async fn store_upload(&self, event: &Event, message: &Message) -> Result<()> {
        let Some(attachment) = &message.attachment else { return Ok(()) };
        let filter = doc! {
            "_id": attachment.id,
            "room": event.room,
            "seq": { "$exists": false },
            "state": { "$ne": AttachmentState::Deleting },
        };
        let mut set = doc! { "seq": event.seq, "state": AttachmentState::Attached };
        if let Some(client_id) = &event.client_id {
            set.insert("client_id", client_id);
        }
        let change = doc! { "$set": set, "$unset": { "loose": "" } };
        self.update(&self.uploads, filter, change).await.map(drop)
    }

    /// Writes the text as it is from now on into the message's own document.
    async fn edit(&self, event: &Event, target: Seq, text: &str) -> Result<()> {
        let Some(Event { body: Body::Message(mut message), .. }) =
            self.find_event(event.room, target).await?
        else {
            return Ok(()); // Nothing is left of it.
        };
        text.clone_into(&mut message.text);
        let filter = doc! {
            "_id": place(event.room, target),
            "room": event.room,
            "kind": record::MESSAGE,
            "edited": { "$not": { "$gte": event.seq } },
        };
        let set = doc! { "body": record::message_json(&message), "edited": event.seq };
        self.update(&self.events, filter, doc! { "$set": set }).await.map(drop)
    }

    /// A member's reading begins with their coming: nothing before it is unread.
    async fn add_member(&self, event: &Event, added: &MemberAdded) -> Result<()> {
        let (room, user) = (event.room, added.user);
        if let Some(request) = added.request {
            let filter = doc! { "_id": request, "room": room };
            let change = doc! { "$set": { "approved": true }, "$unset": { "is_open": "" } };
            self.update(&self.requests, filter, change).await?;
        }
        let account = self.query(&self.users, doc! { "_id": user }, name::ID);
        let Some(account) = account.only(doc! { "is_deleted": 1 }).first().await? else {
            return Ok(()); // Of an account that never was there can be no membership.
        };
        // Whoever is a member already keeps what they have read and since when they are here.
        let or_new = |field: &str, new: Bson| {
            let is_member = doc! { "$ne": [{ "$type": "$id" }, "missing"] };
            doc! { "$cond": [is_member, format!("${field}"), new] }
        };
        let set = doc! {
            "room": room,
            "user": user,
            "seq": event.seq,
            "id": added.membership,
            "role": added.role,
            "created_at": or_new("created_at", event.timestamp.into()),
            "last_seen": or_new("last_seen", event.timestamp.into()),
            "read_seq": or_new("read_seq", event.seq.into()),
            "read_ordinal": or_new("read_ordinal", super::field::count(event.ordinal).into()),
        };
        let filter = row_before(event, user);
        self.upsert(&self.memberships, filter, vec![doc! { "$set": set }]).await?;
        if Row::of(&account).get("is_deleted")? {
            self.note_leaving(user).await?;
        }
        Ok(())
    }

    async fn remove_member(&self, event: &Event, user: UserId) -> Result<()> {
        let mut change = ended(event.seq);
        let key = doc! { "room": event.room, "user": user };
        change.insert("$setOnInsert", key);
        self.upsert(&self.memberships, row_before(event, user), change).await
    }

    /// In a group the owner is the one with the role; in a private room roles stay as they are.
    async fn update_room(&self, event: &Event, name: &str, owner: UserId) -> Result<()> {
        let room = doc! { "_id": event.room };
        let fields = doc! { "is_group": 1 };
        let query = self.query(&self.rooms, room, name::ID).only(fields);
        let Some(found) = query.first().await? else { return Ok(()) };
        let mut set = doc! { "name": name, "updated": event.seq };
        if self.query(&self.users, doc! { "_id": owner }, name::ID).exists().await? {
            set.insert("owner", owner);
        }
        let filter = doc! { "_id": event.room, "updated": { "$lt": event.seq } };
        self.update(&self.rooms, filter, doc! { "$set": set }).await?;
        if !Row::of(&found).get::<bool>("is_group")? {
            return Ok(());
        }
        let role = |role: Role| doc! { "$set": { "role": role, "seq": event.seq } };
        let mut theirs = row_before(event, owner);
        theirs.insert("id", doc! { "$exists": true });
        self.update(&self.memberships, theirs, role(Role::Owner)).await?;
        let others = doc! {
            "room": event.room,
            "user": { "$ne": owner },
            "id": { "$exists": true },
            "role": Role::Owner,
            "seq": { "$lt": event.seq },
        };
        self.update_all(&self.memberships, others, role(Role::Member), name::MEMBERS)
            .await
            .map(drop)
    }

    async fn delete_room(&self, event: &Event) -> Result<()> {
        let room = event.room;
        let closed = doc! { "$set": { "state": super::rooms::DELETED } };
        self.update(&self.rooms, doc! { "_id": room }, closed).await?;
        let members = doc! { "room": room, "id": { "$exists": true }, "seq": { "$lt": event.seq } };
        self.update_all(&self.memberships, members, ended(event.seq), name::MEMBERS).await?;
        self.delete_all(&self.requests, doc! { "room": room }).await?;
        // Nobody can read the room any more, nor load its files.
        let given_up = super::uploads::given_up();
        self.update_all(&self.uploads, doc! { "room": room }, given_up, name::UPLOADS)
            .await
            .map(drop)
    }
}

/// The row of `user` in the room of `event`, if it has not seen this event or a later one.
fn row_before(event: &Event, user: UserId) -> Document {
    doc! { "_id": seat(event.room, user), "room": event.room, "seq": { "$lt": event.seq } }
}

/// A membership that ended at `seq`.
fn ended(seq: Seq) -> Document {
    doc! {
        "$set": { "seq": seq },
        "$unset": {
            "id": "",
            "role": "",
            "created_at": "",
            "last_seen": "",
            "read_seq": "",
            "read_ordinal": "",
        },
    }
}
