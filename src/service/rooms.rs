//! Rooms: making, finding, changing and ending them.

use std::collections::{BTreeSet, HashMap};

use super::{Error, Result, memberships, new_id, new_nonce};
use crate::api::{ErrorCode, RoomEntryView, RoomView, UserName};
use crate::app::App;
use crate::domain::event::MemberAdded;
use crate::domain::membership::sorted_pair;
use crate::domain::permission::{Action, may};
use crate::domain::{
    Body, ClientId, Event, Membership, MembershipId, Page, Role, Room, RoomId, RoomKind, RoomName,
    Seq, Timestamp, User, UserId,
};
use crate::room::{Authority, Change, Command, Refused};
use crate::store::{NewRoom, RoomEntry};

/// The one private room of two people.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The room.
    pub room: Room,
    /// The place of who asked for it.
    pub requester: Membership,
    /// The place of whom they want to talk to.
    pub addressed: Membership,
}

/// Makes a group room that `owner` owns and is the first member of.
///
/// # Errors
///
/// - [`Error::Invalid`] if `name` is no name for a room.
/// - `conflict` if `owner` is in as many rooms as one may be.
/// - [`Error::Unavailable`] if the store does not answer.
pub async fn create(app: &App, owner: &User, name: String) -> Result<(Room, Membership)> {
    let name = RoomName::parse(name)?;
    memberships::check_limit(app, owner.id).await?;
    let id = new_id(RoomId::new);
    let now = Timestamp::now();
    let events = vec![first_event(id, Seq(1), now, owner, (owner, Role::Owner))];
    let name = name.as_str().to_owned();
    let room = NewRoom { id, name, owner: owner.id, pair: None, created_at: now, events };
    app.store.create_room(room).await?;
    app.rooms.entered(owner.id, id, Seq(1));
    Ok((known(app, id).await?, memberships::require(app, id, owner.id).await?))
}

/// Makes a room for `owner`, or for the administrator who asks: a group of this name, or the private room with
/// `addressed`.
///
/// # Errors
///
/// - [`Error::NotFound`] if there is no such owner.
/// - As [`create`] and [`open_private`]; [`Error::Invalid`] if what the kind needs is missing.
pub async fn create_for(
    app: &App,
    admin: User,
    owner: Option<UserId>,
    kind: RoomKind,
    (name, addressed): (Option<String>, Option<UserId>),
) -> Result<Room> {
    let owner = match owner {
        None => admin,
        Some(owner) => app.store.user(owner).await?.ok_or(Error::NotFound("User"))?,
    };
    let missing = |field: &'static str| Error::invalid(field, "is missing");
    match kind {
        RoomKind::Group => Ok(create(app, &owner, name.ok_or_else(|| missing("name"))?).await?.0),
        RoomKind::Private => {
            let addressed = addressed.ok_or_else(|| missing("addressed_users_id"))?;
            Ok(open_private(app, &owner, addressed).await?.room)
        }
    }
}

/// Answers with the private room of `requester` and the user `addressed`, and makes it if there is none: the
/// same pair always gets the same room, whoever asks, also when both ask at the same instant. Who was taken
/// out of it by an administrator is in it again.
///
/// # Errors
///
/// - `private_with_oneself`.
/// - [`Error::NotFound`] if there is no such user, or their account is disabled.
/// - `conflict` if one of the two is in as many rooms as one may be.
/// - [`Error::Unavailable`] if the store does not answer.
pub async fn open_private(app: &App, requester: &User, addressed: UserId) -> Result<Pair> {
    if requester.id == addressed {
        let detail = "A private room needs two people.";
        return Err(Error::Conflict(ErrorCode::PrivateWithOneself, detail));
    }
    let addressed = app.store.user(addressed).await?.filter(|user| !user.is_disabled);
    let addressed = addressed.ok_or(Error::NotFound("User"))?;
    if let Some(id) = private_of(app, requester.id, addressed.id).await? {
        return pair(app, id, requester, &addressed).await;
    }
    memberships::check_limit(app, requester.id).await?;
    memberships::check_limit(app, addressed.id).await?;
    let id = new_id(RoomId::new);
    let now = Timestamp::now();
    let room = NewRoom {
        id,
        name: RoomName::of_pair(&requester.username, &addressed.username),
        owner: requester.id,
        pair: Some(sorted_pair(requester.id, addressed.id)),
        created_at: now,
        events: vec![
            first_event(id, Seq(1), now, requester, (requester, Role::Owner)),
            first_event(id, Seq(2), now, requester, (&addressed, Role::Member)),
        ],
    };
    let stored = app.store.create_room(room).await?;
    if stored == id {
        app.rooms.entered(requester.id, id, Seq(1));
        app.rooms.entered(addressed.id, id, Seq(2));
    }
    pair(app, stored, requester, &addressed).await
}

/// The room that the two share already, if both are in it.
async fn private_of(app: &App, one: UserId, other: UserId) -> Result<Option<RoomId>> {
    let peers = app.store.peers_of(one).await?;
    Ok(peers.into_iter().find(|(_, peer, _)| *peer == other).map(|(room, ..)| room))
}

async fn pair(app: &App, id: RoomId, requester: &User, addressed: &User) -> Result<Pair> {
    let requester = take_in(app, id, requester, Role::Owner).await?;
    let addressed = take_in(app, id, addressed, Role::Member).await?;
    Ok(Pair { room: known(app, id).await?, requester, addressed })
}

/// The user's place in their private room, which they get back if they were taken out of it.
async fn take_in(app: &App, room: RoomId, user: &User, role: Role) -> Result<Membership> {
    if let Some(membership) = app.store.membership(room, user.id).await? {
        return Ok(membership);
    }
    let change = Change::Add(added(user, role));
    match app.rooms.commit(room, command(user.id, change, Authority::Service)).await {
        Ok(_) | Err(Refused::AlreadyMember) => memberships::require(app, room, user.id).await,
        Err(refused) => Err(refused.into()),
    }
}

fn added(user: &User, role: Role) -> MemberAdded {
    MemberAdded {
        membership: new_id(MembershipId::new),
        user: user.id,
        email: user.email.clone(),
        username: user.username.clone(),
        role,
        request: None,
    }
}

/// One of the first events of a room, which no writer numbers.
fn first_event(
    room: RoomId,
    seq: Seq,
    timestamp: Timestamp,
    maker: &User,
    (member, role): (&User, Role),
) -> Event {
    let nonce = new_nonce();
    Event {
        room,
        seq,
        ordinal: 0,
        sender: maker.id,
        nonce,
        client_id: Some(ClientId::minted(nonce)),
        timestamp,
        body: Body::MemberAdded(added(member, role)),
    }
}

/// A command that is no message: it is never retried, so it has a key of its own.
pub(crate) fn command(sender: UserId, change: Change, authority: Authority) -> Command {
    let nonce = new_nonce();
    Command { sender, client_id: ClientId::minted(nonce), nonce, change, authority }
}

/// The room, whoever asks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Unavailable`].
pub async fn known(app: &App, id: RoomId) -> Result<Room> {
    app.store.room(id).await?.ok_or(Error::NotFound("Room"))
}

/// The group room: anybody may know that it is.
///
/// # Errors
///
/// [`Error::NotFound`] also for a private room, [`Error::Unavailable`].
pub async fn group(app: &App, id: RoomId) -> Result<Room> {
    let room = known(app, id).await?;
    if room.kind == RoomKind::Group { Ok(room) } else { Err(Error::NotFound("Room")) }
}

/// The private room, for administration.
///
/// # Errors
///
/// [`Error::NotFound`] also for a group room, [`Error::Unavailable`].
pub async fn private(app: &App, id: RoomId) -> Result<Room> {
    let room = known(app, id).await?;
    if room.kind == RoomKind::Private { Ok(room) } else { Err(Error::NotFound("Room")) }
}

/// The room as `caller` may see it: a group, or a private room of theirs.
///
/// # Errors
///
/// [`Error::NotFound`] also for a private room of others, [`Error::Unavailable`].
pub async fn visible(app: &App, caller: UserId, id: RoomId) -> Result<Room> {
    let room = known(app, id).await?;
    if room.kind == RoomKind::Private && app.store.membership(id, caller).await?.is_none() {
        return Err(Error::NotFound("Room"));
    }
    Ok(room)
}

/// The room, if `caller` may do `action` in it.
///
/// # Errors
///
/// As [`memberships::require`]; [`Error::Forbidden`] if their role does not allow it.
pub async fn governed(app: &App, caller: UserId, id: RoomId, action: Action) -> Result<Room> {
    let membership = memberships::require(app, id, caller).await?;
    let room = known(app, id).await?;
    if !may(Some(membership.role), room.kind, action) {
        return Err(Refused::Forbidden.into());
    }
    Ok(room)
}

/// The group rooms that `owner` owns.
///
/// # Errors
///
/// If the store does not answer.
pub async fn owned(app: &App, owner: UserId, page: Page<RoomId>) -> Result<Vec<RoomEntryView>> {
    let entries = app.store.rooms_owned(owner, page).await?;
    Ok(entries.iter().map(|entry| view(app, owner, entry)).collect())
}

/// The rooms of `kind` in which `member` is, newest activity first.
///
/// # Errors
///
/// If the store does not answer.
pub async fn of_member(
    app: &App,
    member: UserId,
    kind: RoomKind,
    page: Page<RoomId>,
) -> Result<Vec<RoomEntryView>> {
    let entries = app.store.rooms_of(member, Some(kind), page).await?;
    Ok(entries.iter().map(|entry| view(app, member, entry)).collect())
}

fn view(app: &App, reader: UserId, entry: &RoomEntry) -> RoomEntryView {
    let peer = entry
        .peer
        .as_ref()
        .map(|(id, username)| UserName { id: *id, username: username.as_str().to_owned() });
    RoomEntryView {
        room: RoomView::from(&entry.room),
        role: entry.role,
        unread: entry.tail.ordinal.saturating_sub(entry.read.ordinal),
        read_seq: entry.read.seq,
        seq: entry.tail.seq,
        epoch: app.epoch,
        last_message: (entry.last_message.as_ref())
            .and_then(|event| app.rooms.teller().message(event, reader)),
        peer,
    }
}

/// Ends the room for everybody, in the right of its owner.
///
/// # Errors
///
/// As [`governed`]; [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn delete(app: &App, caller: UserId, id: RoomId) -> Result<()> {
    governed(app, caller, id, Action::Delete).await?;
    app.rooms.commit(id, command(caller, Change::Delete, Authority::Member)).await?;
    Ok(())
}

/// Ends any room, in the right of administration.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn delete_any(app: &App, admin: UserId, id: RoomId) -> Result<()> {
    app.rooms.commit(id, command(admin, Change::Delete, Authority::Service)).await?;
    Ok(())
}

/// Gives a group room another name, another owner, or both, in the right of administration. The new owner is
/// a member already.
///
/// # Errors
///
/// - [`Error::NotFound`] if there is no such room, or no such user.
/// - [`Error::Invalid`] if `name` is no name for a room, or the user is not in it.
/// - `conflict` for a private room, whose name and owner follow from its two people.
/// - [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn update(
    app: &App,
    admin: UserId,
    id: RoomId,
    name: Option<String>,
    owner: Option<UserId>,
) -> Result<Room> {
    let room = known(app, id).await?;
    let name = name.map(RoomName::parse).transpose()?;
    if room.kind == RoomKind::Private {
        let detail = "The name and the owner of a private room stay as they are.";
        return Err(Error::Conflict(ErrorCode::Conflict, detail));
    }
    if name.is_none() && owner.is_none() {
        return Ok(room);
    }
    let is_given = owner.is_some();
    let (owner, owner_email) = match owner {
        Some(owner) => {
            let user = app.store.user(owner).await?.ok_or(Error::NotFound("User"))?;
            (user.id, user.email)
        }
        None => (room.owner.id, room.owner.email),
    };
    let name = name.map(|name| name.as_str().to_owned());
    let change = Change::Update { name, owner, owner_email };
    match app.rooms.commit(id, command(admin, change, Authority::Service)).await {
        Ok(_) => known(app, id).await,
        Err(Refused::NoMember) if is_given => {
            Err(Error::invalid("owner_id", "must be a member of the room"))
        }
        Err(Refused::NoMember) => {
            let detail = "The room has just got another owner; try again.";
            Err(Error::Conflict(ErrorCode::Conflict, detail))
        }
        Err(refused) => Err(refused.into()),
    }
}

/// The rooms of `kind` (any without), for administration.
///
/// # Errors
///
/// If the store does not answer.
pub async fn all(app: &App, kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<Room>> {
    Ok(app.store.rooms(kind, page).await?)
}

/// Those of the rooms that are still there.
pub(super) async fn by_ids(app: &App, ids: BTreeSet<RoomId>) -> Result<HashMap<RoomId, Room>> {
    let mut rooms = HashMap::with_capacity(ids.len());
    for id in ids {
        rooms.extend(app.store.room(id).await?.map(|room| (id, room)));
    }
    Ok(rooms)
}
