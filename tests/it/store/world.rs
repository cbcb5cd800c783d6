//! People, rooms and events to try a store with.

use std::sync::atomic::{AtomicU64, Ordering};

use natter::domain::event::MemberAdded;
use natter::domain::membership::sorted_pair;
use natter::domain::message::Digest;
use natter::domain::room::Tail;
use natter::domain::{
    Attachment, Body, ClientId, Email, Event, JoinRequestId, MembershipId, Message, MessageType,
    Nonce, RemovalReason, Role, RoomId, Seq, Timestamp, User, UserId, Username,
};
use natter::store::{Appended, NewRoom, NewUser, Store};

/// Numbers that never come again in this process, so that ids made later sort later.
pub(crate) fn tick() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A time, `ms` after all others here begin.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp(1_700_000_000_000 + i64::try_from(ms).unwrap())
}

pub(crate) fn new_user(name: &str) -> NewUser {
    let id = UserId::new(tick(), 7);
    NewUser {
        id,
        email: Email::parse(format!("{}@example.org", name.replace(' ', "."))).unwrap(),
        username: Username::parse(name).unwrap(),
        password_hash: format!("$2b$04${name}"),
        is_admin: false,
        created_at: at(0),
    }
}

pub(crate) async fn user(store: &dyn Store, name: &str) -> User {
    store.create_user(new_user(name)).await.unwrap()
}

/// A log that is being written, from its tail on.
pub(crate) struct Pen<'a> {
    pub store: &'a dyn Store,
    pub room: RoomId,
    pub tail: Tail,
}

impl<'a> Pen<'a> {
    /// At the end of the log of `room`.
    pub(crate) async fn at_tail(store: &'a dyn Store, room: RoomId) -> Self {
        let tail = store.tail(room).await.unwrap().unwrap();
        Self { store, room, tail }
    }

    /// The next event, which is not stored by this.
    pub(crate) fn event(&mut self, sender: &User, body: Body) -> Event {
        self.tail = Tail {
            seq: self.tail.seq.next(),
            ordinal: self.tail.ordinal + u64::from(body.is_message()),
            timestamp: Timestamp(self.tail.timestamp.0.max(at(0).0) + 10),
        };
        let client_id = body.is_message().then(|| ClientId::stored(format!("c{}", tick())));
        Event {
            room: self.room,
            seq: self.tail.seq,
            ordinal: self.tail.ordinal,
            sender: sender.id,
            nonce: Nonce(u128::from(tick()).to_be_bytes()),
            client_id,
            timestamp: self.tail.timestamp,
            body,
        }
    }

    /// The next event, stored.
    pub(crate) async fn write(&mut self, sender: &User, body: Body) -> Event {
        let event = self.event(sender, body);
        all(self.store, std::slice::from_ref(&event)).await;
        event
    }

    /// The next message, stored.
    pub(crate) async fn say(&mut self, sender: &User, text: &str) -> Event {
        self.write(sender, message(sender, text)).await
    }

    /// The next `count` messages, stored.
    pub(crate) async fn say_often(&mut self, sender: &User, count: usize) -> Vec<Event> {
        let text = |n: usize| format!("message {n}");
        let events: Vec<_> =
            (0..count).map(|n| self.event(sender, message(sender, &text(n)))).collect();
        for batch in events.chunks(256) {
            all(self.store, batch).await;
        }
        events
    }
}

/// Something is said in `room` by `sender` at the time `at`.
pub(crate) async fn stir(store: &dyn Store, room: RoomId, sender: &User, at: Timestamp) {
    let mut pen = Pen::at_tail(store, room).await;
    let event = Event { timestamp: at, ..pen.event(sender, message(sender, "text")) };
    all(store, &[event]).await;
}

/// Appends `events`, which must all be taken.
pub(crate) async fn all(store: &dyn Store, events: &[Event]) {
    let appended = store.append(events).await;
    assert!(matches!(appended, Appended::All), "{appended:?}");
}

pub(crate) fn message(sender: &User, text: &str) -> Body {
    Body::Message(Message {
        sender: sender.id,
        username: sender.username.clone(),
        text: text.to_owned(),
        message_type: MessageType::Text,
        attachment: None,
        digest: digest(text),
    })
}

pub(crate) fn picture(sender: &User, attachment: Attachment) -> Body {
    let Body::Message(message) = message(sender, "look") else { unreachable!() };
    Body::Message(Message {
        message_type: MessageType::Image,
        attachment: Some(attachment),
        ..message
    })
}

pub(crate) fn digest(text: &str) -> Digest {
    let mut digest = [0; 16];
    digest.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    digest
}

pub(crate) fn added(user: &User, role: Role, request: Option<JoinRequestId>) -> Body {
    Body::MemberAdded(MemberAdded {
        membership: MembershipId::new(tick(), 3),
        user: user.id,
        email: user.email.clone(),
        username: user.username.clone(),
        role,
        request,
    })
}

pub(crate) fn removed(user: &User) -> Body {
    Body::MemberRemoved {
        user: user.id,
        username: user.username.clone(),
        reason: RemovalReason::Left,
    }
}

pub(crate) fn updated(name: &str, owner: &User) -> Body {
    Body::RoomUpdated {
        name: name.to_owned(),
        owner: owner.id,
        owner_email: owner.email.clone(),
        owner_username: owner.username.clone(),
    }
}

/// A group to be, of `owner` and `others`.
pub(crate) fn new_group(store: &dyn Store, owner: &User, others: &[&User]) -> NewRoom {
    new_room(store, owner, others, None)
}

/// A private room to be.
pub(crate) fn new_private(store: &dyn Store, one: &User, other: &User) -> NewRoom {
    new_room(store, one, &[other], Some(sorted_pair(one.id, other.id)))
}

fn new_room(
    store: &dyn Store,
    owner: &User,
    others: &[&User],
    pair: Option<(UserId, UserId)>,
) -> NewRoom {
    let id = RoomId::new(tick(), 5);
    let mut pen = Pen { store, room: id, tail: Tail::default() };
    let mut events = vec![pen.event(owner, added(owner, Role::Owner, None))];
    for other in others {
        events.push(pen.event(owner, added(other, Role::Member, None)));
    }
    NewRoom { id, name: format!("room {id}"), owner: owner.id, pair, created_at: at(0), events }
}

pub(crate) async fn group(store: &dyn Store, owner: &User, others: &[&User]) -> RoomId {
    store.create_room(new_group(store, owner, others)).await.unwrap()
}

pub(crate) async fn private(store: &dyn Store, one: &User, other: &User) -> RoomId {
    store.create_room(new_private(store, one, other)).await.unwrap()
}

pub(crate) fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

/// Every event of the room, in pages of `limit`.
pub(crate) async fn whole_log(store: &dyn Store, room: RoomId, limit: u32) -> Vec<Event> {
    let mut found = Vec::new();
    loop {
        let after = found.last().map_or(Seq::ZERO, |event: &Event| event.seq);
        let page = store.events(room, after, Seq(u64::MAX), limit).await.unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

/// Collects a list in pages of `limit`, each behind the last id of the one before, and checks that no page is larger.
macro_rules! paged {
    ($limit:expr, $id:expr, |$page:ident| $call:expr) => {{
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let $page = natter::domain::Page { after, skip: 0, limit: $limit };
            let items = $call.await.unwrap();
            assert!(items.len() <= $limit as usize);
            let Some(last) = items.last() else { break found };
            after = Some($id(last));
            found.extend(items);
        }
    }};
}
pub(crate) use paged;
