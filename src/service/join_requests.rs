//! The way into a group room: somebody asks, its owner answers.

use super::{Error, Result, memberships, new_id, rooms};
use crate::api::{ErrorCode, JoinRequestView};
use crate::app::App;
use crate::domain::event::MemberAdded;
use crate::domain::permission::Action;
use crate::domain::{
    JoinRequest, JoinRequestId, Membership, MembershipId, Page, Role, Room, RoomId, Timestamp,
    User, UserId,
};
use crate::room::{Authority, Change, Refused};
use crate::store::NewJoinRequest;

/// Asks the owner of a group room to let `user` in, and tells the owner's sockets.
///
/// # Errors
///
/// - [`Error::NotFound`] if there is no such group room.
/// - [`Error::Invalid`] if `message` is too long, or no text.
/// - `own_room`, `already_member`, `already_requested` (until the owner has answered).
/// - [`Error::Unavailable`] if the store does not answer.
pub async fn create(
    app: &App,
    user: &User,
    room: RoomId,
    message: Option<String>,
) -> Result<JoinRequestView> {
    let room = rooms::group(app, room).await?;
    if let Some(message) = &message {
        JoinRequest::check_message(message)?;
    }
    if room.owner.id == user.id {
        return Err(Error::Conflict(ErrorCode::OwnRoom, "This room is your own."));
    }
    if app.store.membership(room.id, user.id).await?.is_some() {
        let detail = "You are a member of this room already.";
        return Err(Error::Conflict(ErrorCode::AlreadyMember, detail));
    }
    let id = new_id(JoinRequestId::new);
    let created_at = Timestamp::now();
    let request = NewJoinRequest { id, room: room.id, user: user.id, message, created_at };
    app.store.create_join_request(request).await?;
    let view = JoinRequestView::new(&known(app, id).await?, &room);
    app.rooms.tell_user(room.owner.id, "join_request", &view);
    Ok(view)
}

async fn known(app: &App, id: JoinRequestId) -> Result<JoinRequest> {
    app.store.join_request(id).await?.ok_or(Error::NotFound("Join request"))
}

/// The request, for the owner of its room.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Forbidden`] for everybody but the owner; [`Error::Unavailable`].
pub async fn details(app: &App, caller: UserId, id: JoinRequestId) -> Result<JoinRequestView> {
    let request = known(app, id).await?;
    let room = rooms::governed(app, caller, request.room, Action::AnswerRequests).await?;
    Ok(JoinRequestView::new(&request, &room))
}

/// Answers a request, as the owner of its room: lets the requester in, which makes the membership that is
/// answered, or refuses. Tells the requester, and the owner's other sockets.
///
/// # Errors
///
/// - As [`details`].
/// - `already_handled`, also when the requester came in by another answer at the same moment.
/// - `conflict` if the requester is in as many rooms as one may be.
/// - [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`].
pub async fn handle(
    app: &App,
    owner: UserId,
    id: JoinRequestId,
    approve: bool,
) -> Result<Option<(Membership, Room)>> {
    let request = known(app, id).await?;
    let room = rooms::governed(app, owner, request.room, Action::AnswerRequests).await?;
    if request.approved.is_some() {
        return Err(already_handled());
    }
    let membership = if approve {
        Some((let_in(app, owner, &request).await?, room.clone()))
    } else {
        app.store.refuse_join_request(id).await?;
        None
    };
    let handled = JoinRequest { approved: Some(approve), ..request };
    let view = JoinRequestView::new(&handled, &room);
    app.rooms.tell_user(handled.user.id, "join_request_handled", &view);
    app.rooms.tell_user(owner, "join_request_handled", &view);
    Ok(membership)
}

fn already_handled() -> Error {
    crate::store::Conflict::AlreadyHandled.into()
}

async fn let_in(app: &App, owner: UserId, request: &JoinRequest) -> Result<Membership> {
    // The account as it is now: it may be gone, or have another name since.
    let user = app.store.user(request.user.id).await?.ok_or(Error::NotFound("User"))?;
    memberships::check_limit(app, user.id).await?;
    let change = Change::Add(MemberAdded {
        membership: new_id(MembershipId::new),
        user: user.id,
        email: user.email.clone(),
        username: user.username.clone(),
        role: Role::Member,
        request: Some(request.id),
    });
    match app.rooms.commit(request.room, rooms::command(owner, change, Authority::Member)).await {
        Ok(_) => memberships::require(app, request.room, user.id).await,
        Err(Refused::AlreadyMember) => Err(already_handled()),
        Err(refused) => Err(refused.into()),
    }
}

/// The requests for `room`, which its owner may see: the caller has made sure of it.
///
/// # Errors
///
/// If the store does not answer.
pub async fn of_room(
    app: &App,
    room: &Room,
    page: Page<JoinRequestId>,
) -> Result<Vec<JoinRequestView>> {
    let requests = app.store.join_requests(Some(room.id), page).await?;
    Ok(requests.iter().map(|request| JoinRequestView::new(request, room)).collect())
}

/// All requests, for administration.
///
/// # Errors
///
/// If the store does not answer.
pub async fn all(app: &App, page: Page<JoinRequestId>) -> Result<Vec<JoinRequestView>> {
    let requests = app.store.join_requests(None, page).await?;
    let ids = requests.iter().map(|request| request.room).collect();
    let rooms = rooms::by_ids(app, ids).await?;
    // A room that was deleted a moment ago has taken its requests with it.
    let view =
        |request: &JoinRequest| Some(JoinRequestView::new(request, rooms.get(&request.room)?));
    Ok(requests.iter().filter_map(view).collect())
}

/// Any request, for administration.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Unavailable`].
pub async fn any(app: &App, id: JoinRequestId) -> Result<JoinRequestView> {
    let request = known(app, id).await?;
    let room = app.store.room(request.room).await?.ok_or(Error::NotFound("Join request"))?;
    Ok(JoinRequestView::new(&request, &room))
}

/// Deletes a request, for administration. A membership that came of it stays.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Unavailable`].
pub async fn remove(app: &App, id: JoinRequestId) -> Result<()> {
    known(app, id).await?;
    Ok(app.store.remove_join_request(id).await?)
}
