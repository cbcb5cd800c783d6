//! Rooms: making, finding, listing and deleting them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Json, PageParams, Paged, Paging, Path, Query, Session};
use crate::api::{
    CreateRoom, CreatedRoom, ErrorBody, MembershipView, OpenPrivateRoom, PrivateRoom, RoomDetails,
    RoomEntryView, RoomView, SubmittedRooms,
};
use crate::app::App;
use crate::domain::permission::Action;
use crate::domain::{JoinRequestId, RoomId, RoomKind};
use crate::service::{Result, join_requests, parse_id, rooms};

/// The calls of rooms.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, owned))
        .routes(routes!(search))
        .routes(routes!(get))
        .routes(routes!(details))
        .routes(routes!(delete))
        .routes(routes!(submitted))
        .routes(routes!(open_private))
}

/// Which room.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfRoom {
    /// The room.
    #[param(value_type = String)]
    pub(super) chat_room_id: RoomId,
}

/// Make a group room
///
/// The caller owns it and is its first member.
#[utoipa::path(
    post, path = "/chat-rooms", tag = "rooms", request_body = CreateRoom,
    responses(
        (status = 200, body = CreatedRoom),
        (status = 409, description = "`conflict`: in as many rooms as one may be.", body = ErrorBody),
    )
)]
async fn create(
    State(app): State<App>,
    session: Session,
    Json(body): Json<CreateRoom>,
) -> Result<Json<CreatedRoom>> {
    let (room, membership) = rooms::create(&app, &session.user, body.name).await?;
    let session = MembershipView::new(&membership, &room);
    Ok(Json(CreatedRoom { chat_room: RoomView::from(&room), session }))
}

/// The group rooms that the caller owns
#[utoipa::path(
    get, path = "/chat-rooms", tag = "rooms", params(PageParams),
    responses((status = 200, body = [RoomEntryView]))
)]
async fn owned(
    State(app): State<App>,
    session: Session,
    paging: Paging<RoomId>,
) -> Result<Paged<RoomEntryView>> {
    let entries = rooms::owned(&app, session.user.id, paging.page()).await?;
    Ok(paging.answer(entries, |entry| entry.room.id, Clone::clone))
}

/// Find a group room by its id
#[utoipa::path(
    get, path = "/search-chat-rooms", tag = "rooms", params(OfRoom),
    responses(
        (status = 200, body = RoomView),
        (status = 404, description = "`not_found`, private rooms too.", body = ErrorBody),
    )
)]
async fn search(
    State(app): State<App>,
    _session: Session,
    Query(OfRoom { chat_room_id }): Query<OfRoom>,
) -> Result<Json<RoomView>> {
    Ok(Json(RoomView::from(&rooms::group(&app, chat_room_id).await?)))
}

/// A room, group or private
#[utoipa::path(
    get, path = "/chat-room/{id}", tag = "rooms", params(("id" = String, Path)),
    responses(
        (status = 200, body = RoomView),
        (status = 404, description = "`not_found`, private rooms of others too.", body = ErrorBody),
    )
)]
async fn get(
    State(app): State<App>,
    session: Session,
    Path(id): Path<RoomId>,
) -> Result<Json<RoomView>> {
    Ok(Json(RoomView::from(&rooms::visible(&app, session.user.id, id).await?)))
}

/// A room and the requests to be let in, for its owner
///
/// The parameters page the requests.
#[utoipa::path(
    get, path = "/chat-room-details", tag = "rooms", params(OfRoom, PageParams),
    responses(
        (status = 200, body = RoomDetails),
        (status = 403, description = "`forbidden`: not the owner.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn details(
    State(app): State<App>,
    session: Session,
    Query(OfRoom { chat_room_id }): Query<OfRoom>,
    paging: Paging<JoinRequestId>,
) -> Result<Response> {
    let action = Action::AnswerRequests;
    let room = rooms::governed(&app, session.user.id, chat_room_id, action).await?;
    let requests = join_requests::of_room(&app, &room, paging.page()).await?;
    let page = paging.answer(requests, |request| request.id, Clone::clone);
    Ok(page.within(|chat_room_join_requests| RoomDetails {
        chat_room_details: RoomView::from(&room),
        chat_room_join_requests,
    }))
}

/// Delete a group room, as its owner
#[utoipa::path(
    delete, path = "/delete-chat-room", tag = "rooms", params(OfRoom),
    responses(
        (status = 204),
        (status = 403, description = "`forbidden`: not the owner.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn delete(
    State(app): State<App>,
    session: Session,
    Query(OfRoom { chat_room_id }): Query<OfRoom>,
) -> Result<StatusCode> {
    rooms::delete(&app, session.user.id, chat_room_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The rooms that the caller is a member of, newest activity first
#[utoipa::path(
    post, path = "/user/submitted-chat-rooms", tag = "rooms", params(PageParams),
    request_body = SubmittedRooms, responses((status = 200, body = [RoomEntryView]))
)]
async fn submitted(
    State(app): State<App>,
    session: Session,
    paging: Paging<RoomId>,
    Json(body): Json<SubmittedRooms>,
) -> Result<Paged<RoomEntryView>> {
    let kind = if body.is_group { RoomKind::Group } else { RoomKind::Private };
    let entries = rooms::of_member(&app, session.user.id, kind, paging.page()).await?;
    Ok(paging.answer(entries, |entry| entry.room.id, Clone::clone))
}

/// The private room with another user
///
/// The same pair always gets the same room, whoever asks.
#[utoipa::path(
    post, path = "/pv-chat-room", tag = "rooms", request_body = OpenPrivateRoom,
    responses(
        (status = 200, body = PrivateRoom),
        (status = 400, description = "`private_with_oneself`, or a malformed id.", body = ErrorBody),
        (status = 404, description = "`not_found`: no such user.", body = ErrorBody),
        (status = 409, description = "`conflict`: one of the two is in as many rooms as one may be.", body = ErrorBody),
    )
)]
async fn open_private(
    State(app): State<App>,
    session: Session,
    Json(body): Json<OpenPrivateRoom>,
) -> Result<Json<PrivateRoom>> {
    let addressed = parse_id("addressed_users_id", &body.addressed_users_id)?;
    let pair = rooms::open_private(&app, &session.user, addressed).await?;
    Ok(Json(PrivateRoom {
        chat_room: RoomView::from(&pair.room),
        requesters_session: MembershipView::new(&pair.requester, &pair.room),
        addresseds_session: MembershipView::new(&pair.addressed, &pair.room),
    }))
}
