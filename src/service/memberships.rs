//! Who is in which room: seeing, leaving, removing, reading; and what becomes of the rooms of a deleted
//! account.

use super::rooms::{by_ids, command, known};
use super::{Error, Result, presence};
use crate::api::{ErrorCode, MemberView, MembershipView, ReadMarkerSignal};
use crate::app::App;
use crate::domain::membership::ReadMarker;
use crate::domain::permission::Action;
use crate::domain::{
    Membership, MembershipId, Page, RemovalReason, Role, RoomId, RoomKind, Seq, UserId,
};
use crate::room::{Authority, CROWD, Change, Refused};

/// Tries to take a deleted account out of a room whose members change at the same moment.
const TRIES: usize = 16;

/// Deleted accounts that are looked at together.
const DELETED_AT_ONCE: u32 = 100;

/// The place of `user` in `room`.
///
/// # Errors
///
/// - [`Error::NotFound`] if the room does not exist, or is a private one of others.
/// - [`Error::Forbidden`] for an outsider of a group: that it exists is no secret.
/// - [`Error::Unavailable`] if the store does not answer.
pub async fn require(app: &App, room: RoomId, user: UserId) -> Result<Membership> {
    match app.store.membership(room, user).await? {
        Some(membership) => Ok(membership),
        None => Err(refusal_of_outsider(app, room).await?),
    }
}

/// What is told to somebody who is not in `room`.
pub(crate) async fn refusal_of_outsider(app: &App, room: RoomId) -> Result<Error> {
    Ok(match app.store.room(room).await? {
        Some(room) if room.kind == RoomKind::Group => {
            Error::Forbidden("You are not a member of this room.")
        }
        _ => Error::NotFound("Room"),
    })
}

/// Makes sure that `user` may come into another room.
///
/// Two that come in at the same moment may make it one more than the limit, which bounds what one user can cost and
/// guards nothing else.
///
/// # Errors
///
/// `conflict` if they are in as many as `limits.memberships_per_user` allows.
pub(super) async fn check_limit(app: &App, user: UserId) -> Result<()> {
    let limit = app.config.limits.memberships_per_user;
    if limit.get().is_none() {
        return Ok(());
    }
    let count = app.store.room_ids_of(user).await?.len();
    if limit.allows_another(u32::try_from(count).unwrap_or(u32::MAX)) {
        return Ok(());
    }
    let detail = "This user is in as many rooms as one may be; leave one first.";
    Err(Error::Conflict(ErrorCode::Conflict, detail))
}

/// The members of a room, as `caller`, who is one, sees them: the owner first, then by name.
///
/// # Errors
///
/// As [`require`].
pub async fn list(
    app: &App,
    caller: UserId,
    room: RoomId,
    page: Page<MembershipId>,
) -> Result<Vec<MemberView>> {
    require(app, room, caller).await?;
    let after = match page.after {
        None => None,
        Some(id) => Some(user_of(app, room, id).await?),
    };
    let page = Page { after, skip: page.skip, limit: page.limit };
    let members = app.store.members(room, page).await?;
    let online = presence::online_members(app, room, &members).await;
    let view = |member: &Membership| MemberView {
        id: member.id,
        user: (&member.user).into(),
        role: member.role,
        created_at: member.created_at,
        last_seen: member.last_seen,
        is_online: online.contains(&member.user.id),
        read_seq: member.read.seq,
    };
    Ok(members.iter().map(view).collect())
}

/// Whose place in `room` is meant by `id`, of a membership or, for who pages with ids of people, of a user. The latter
/// still leads on when the member has gone.
async fn user_of(app: &App, room: RoomId, id: MembershipId) -> Result<UserId> {
    let found = app.store.membership_by_id(id).await?.filter(|found| found.room == room);
    Ok(found.map_or(UserId::from_bytes(*id.as_bytes()), |found| found.user.id))
}

/// Takes `user` out of a group room at their own wish.
///
/// # Errors
///
/// - As [`require`].
/// - `conflict` for its owner, and in a private room.
/// - [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn leave(app: &App, user: UserId, room: RoomId) -> Result<()> {
    require(app, room, user).await?;
    if known(app, room).await?.kind == RoomKind::Private {
        return Err(Error::Conflict(ErrorCode::Conflict, "A private room cannot be left."));
    }
    let change = Change::Remove { user, reason: RemovalReason::Left };
    match app.rooms.commit(room, command(user, change, Authority::Member)).await {
        Ok(_) => Ok(()),
        // Taken out, by themselves or by the owner, since they were looked up.
        Err(Refused::NotFound | Refused::NoMember) => Err(refusal_of_outsider(app, room).await?),
        Err(refused) => Err(refused.into()),
    }
}

/// Takes a member out of a group room, in the right of its owner.
///
/// # Errors
///
/// - As [`require`]; [`Error::Forbidden`] for who is not the owner.
/// - [`Error::NotFound`] if `member` is none.
/// - `conflict` for the owner themselves.
/// - [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn remove(app: &App, owner: UserId, room: RoomId, member: UserId) -> Result<()> {
    super::rooms::governed(app, owner, room, Action::RemoveMember).await?;
    let change = Change::Remove { user: member, reason: RemovalReason::Removed };
    app.rooms.commit(room, command(owner, change, Authority::Member)).await?;
    Ok(())
}

/// Moves the read marker of `user` to `seq` and tells their own sockets, and the others in the room unless they
/// are a crowd. A marker never moves back: the answer says where it is.
///
/// # Errors
///
/// - As [`require`].
/// - [`Error::Invalid`] if `seq` lies beyond the room's last event.
pub async fn mark_read(
    app: &App,
    user: UserId,
    room: RoomId,
    seq: Seq,
) -> Result<ReadMarkerSignal> {
    let before = require(app, room, user).await?.read;
    let tail = app.store.tail(room).await?.ok_or(Error::NotFound("Room"))?;
    if seq > tail.seq {
        return Err(Error::invalid("seq", "must not be beyond the room's last event"));
    }
    let marker = if seq > before.seq {
        let to = ReadMarker { seq, ordinal: app.store.ordinal(room, seq).await? };
        app.store.mark_read(room, user, to).await?.ok_or(Error::NotFound("Room"))?
    } else {
        before
    };
    let unread = Some(tail.ordinal.saturating_sub(marker.ordinal));
    let signal = ReadMarkerSignal { chat_room_id: room, user_id: user, seq: marker.seq, unread };
    if marker.seq > before.seq {
        app.rooms.tell_user_in(user, room, "read_marker", &signal);
        // Those who serve the room look at its crowd themselves.
        if app.rooms.known(room).is_none_or(|live| live.online_count() <= CROWD) {
            let public = ReadMarkerSignal { unread: None, ..signal };
            app.rooms.signal(room, "read_marker", &public, user);
        }
    }
    Ok(signal)
}

/// Takes a deleted account out of every room. A group that it owns passes to the member who has been in it
/// longest, and is deleted if there is nobody else. Doing it twice, also at once, or again after it ended in the middle,
/// comes to the same.
///
/// # Errors
///
/// If the store does not answer; [`finish_deletions`] does the rest.
pub async fn end_all(app: &App, user: UserId) -> Result<()> {
    for (room, _) in app.store.room_ids_of(user).await? {
        end(app, room, user).await?;
    }
    Ok(())
}

/// Ends what [`end_all`] left undone when a node stopped in the middle.
///
/// # Errors
///
/// If the store does not answer.
pub async fn finish_deletions(app: &App) -> Result<()> {
    loop {
        let deleted = app.store.deleted_members(DELETED_AT_ONCE).await?;
        for user in &deleted {
            end_all(app, *user).await?;
        }
        if deleted.len() < DELETED_AT_ONCE as usize {
            return Ok(());
        }
    }
}

async fn end(app: &App, room: RoomId, user: UserId) -> Result<()> {
    let mut outcome = Err(Refused::OwnerStays);
    for _ in 0..TRIES {
        let Some(change) = next_step(app, room, user).await? else { return Ok(()) };
        let is_last_step = !matches!(change, Change::Update { .. });
        outcome = app.rooms.commit(room, command(user, change, Authority::Service)).await;
        match &outcome {
            Ok(_) if is_last_step => return Ok(()),
            Err(Refused::NotFound) => return Ok(()),
            // The heir has gone, or the user has become the owner, since they were looked up: again.
            Ok(_) | Err(Refused::NoMember | Refused::OwnerStays) => {}
            Err(_) => break,
        }
    }
    outcome.map(drop).map_err(Error::from)
}

/// What is to be done next so that `user` is not in `room` any more; `None` if they are not.
async fn next_step(app: &App, room: RoomId, user: UserId) -> Result<Option<Change>> {
    let remove = Change::Remove { user, reason: RemovalReason::AccountDeleted };
    if app.store.membership(room, user).await?.is_none() {
        return Ok(None);
    }
    let Some(room) = app.store.room(room).await? else { return Ok(None) };
    if room.kind == RoomKind::Private || room.owner.id != user {
        return Ok(Some(remove));
    }
    Ok(Some(match longest_standing(app, room.id, user).await? {
        None => Change::Delete,
        Some(heir) => {
            let (owner, owner_email) = (heir.user.id, heir.user.email);
            Change::Update { name: None, owner, owner_email }
        }
    }))
}

/// Who has been in the room longest beside `user`, of those with an account in good standing if there are any.
async fn longest_standing(app: &App, room: RoomId, user: UserId) -> Result<Option<Membership>> {
    let mut heir: Option<Membership> = None;
    let mut page = Page::first(Page::<UserId>::MAX);
    loop {
        let members = app.store.members(room, page).await?;
        let Some(last) = members.last() else { return Ok(heir) };
        page.after = Some(last.user.id);
        for member in members.into_iter().filter(|member| member.user.id != user) {
            let rank = |one: &Membership| (one.user.is_disabled, one.created_at, one.id);
            if heir.as_ref().is_none_or(|heir| rank(&member) < rank(heir)) {
                heir = Some(member);
            }
        }
    }
}

/// All memberships, for administration.
///
/// # Errors
///
/// If the store does not answer.
pub async fn all(app: &App, page: Page<MembershipId>) -> Result<Vec<MembershipView>> {
    let memberships = app.store.memberships(page).await?;
    let rooms = by_ids(app, memberships.iter().map(|one| one.room).collect()).await?;
    // A room that was deleted a moment ago has taken its memberships with it.
    let view = |membership: &Membership| {
        Some(MembershipView::new(membership, rooms.get(&membership.room)?))
    };
    Ok(memberships.iter().filter_map(view).collect())
}

/// Any membership, for administration.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Unavailable`].
pub async fn any(app: &App, id: MembershipId) -> Result<MembershipView> {
    let membership = by_id(app, id).await?;
    let room = app.store.room(membership.room).await?.ok_or(Error::NotFound("Session"))?;
    Ok(MembershipView::new(&membership, &room))
}

async fn by_id(app: &App, id: MembershipId) -> Result<Membership> {
    app.store.membership_by_id(id).await?.ok_or(Error::NotFound("Session"))
}

/// Takes a member out of a room, in the right of administration.
///
/// # Errors
///
/// - [`Error::NotFound`] if there is no such membership.
/// - `conflict` for the owner of a group, who is given a successor, or whose room is deleted, instead.
/// - [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn remove_any(app: &App, admin: UserId, id: MembershipId) -> Result<()> {
    let Membership { room, user, role, .. } = by_id(app, id).await?;
    if role == Role::Owner && known(app, room).await?.kind == RoomKind::Group {
        let detail = "The owner of a room cannot be removed; give it another owner first.";
        return Err(Error::Conflict(ErrorCode::Conflict, detail));
    }
    let change = Change::Remove { user: user.id, reason: RemovalReason::Removed };
    match app.rooms.commit(room, command(admin, change, Authority::Service)).await {
        Ok(_) => Ok(()),
        Err(Refused::NotFound | Refused::NoMember) => Err(Error::NotFound("Session")),
        Err(refused) => Err(refused.into()),
    }
}
