//! Administration of rooms, memberships, join requests and messages.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::{next_page, number};
use super::{Admin, Json, PageParams, Paged, Paging, Path, Query};
use crate::api::{
    CreateRoomFor, ErrorBody, JoinRequestView, MembershipView, MessageView, RoomChange, RoomView,
};
use crate::app::App;
use crate::domain::{JoinRequestId, MembershipId, Page, RoomId, RoomKind};
use crate::service::{Result, join_requests, memberships, messages, parse_id, rooms};

/// The calls of administration for all that is not an account.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(get_private))
        .routes(routes!(list_requests))
        .routes(routes!(get_request, remove_request))
        .routes(routes!(list_sessions))
        .routes(routes!(get_session, remove_session))
        .routes(routes!(list_messages))
        .routes(routes!(clear_messages))
}

/// Which kind of room.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfKind {
    /// Group rooms or private ones.
    is_group: Option<bool>,
}

impl OfKind {
    fn kind(&self) -> Option<RoomKind> {
        self.is_group.map(|group| if group { RoomKind::Group } else { RoomKind::Private })
    }
}

/// All rooms
#[utoipa::path(
    get, path = "/admin/chat-rooms", tag = "administration", params(OfKind, PageParams),
    responses((status = 200, body = [RoomView]))
)]
async fn list(
    State(app): State<App>,
    _admin: Admin,
    Query(of): Query<OfKind>,
    paging: Paging<RoomId>,
) -> Result<Paged<RoomView>> {
    let found = rooms::all(&app, of.kind(), paging.page()).await?;
    Ok(paging.answer(found, |room| room.id, |room| RoomView::from(room)))
}

/// Make a room for somebody
///
/// A group by `name`, or with `is_group=false` the private room with `addressed_users_id`. Its owner is
/// `owner_id`, or the caller.
#[utoipa::path(
    post, path = "/admin/chat-rooms", tag = "administration", params(OfKind),
    request_body = CreateRoomFor,
    responses(
        (status = 200, body = RoomView),
        (status = 400, description = "`private_with_oneself`, or a malformed id.", body = ErrorBody),
        (status = 404, description = "`not_found`: no such user.", body = ErrorBody),
        (status = 409, description = "`conflict`: in as many rooms as one may be.", body = ErrorBody),
    )
)]
async fn create(
    State(app): State<App>,
    admin: Admin,
    Query(of): Query<OfKind>,
    Json(body): Json<CreateRoomFor>,
) -> Result<Json<RoomView>> {
    let parse =
        |field: &'static str, id: Option<String>| id.map(|id| parse_id(field, &id)).transpose();
    let owner = parse("owner_id", body.owner_id)?;
    let addressed = parse("addressed_users_id", body.addressed_users_id)?;
    let kind = of.kind().unwrap_or(RoomKind::Group);
    let room = rooms::create_for(&app, admin.user, owner, kind, (body.name, addressed)).await?;
    Ok(Json(RoomView::from(&room)))
}

/// Any room
#[utoipa::path(
    get, path = "/admin/chat-rooms/{id}", tag = "administration", params(("id" = String, Path)),
    responses(
        (status = 200, body = RoomView),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn get(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<RoomId>,
) -> Result<Json<RoomView>> {
    Ok(Json(RoomView::from(&rooms::known(&app, id).await?)))
}

/// Rename a group room, or give it to another of its members
#[utoipa::path(
    patch, path = "/admin/chat-rooms/{id}", tag = "administration", params(("id" = String, Path)),
    request_body = RoomChange,
    responses(
        (status = 200, body = RoomView),
        (status = 404, description = "`not_found`: no such room or user.", body = ErrorBody),
        (status = 409, description = "`conflict`: a private room stays as it is.", body = ErrorBody),
    )
)]
async fn update(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<RoomId>,
    Json(body): Json<RoomChange>,
) -> Result<Json<RoomView>> {
    let owner = body.owner_id.map(|owner| parse_id("owner_id", &owner)).transpose()?;
    let room = rooms::update(&app, admin.user.id, id, body.name, owner).await?;
    Ok(Json(RoomView::from(&room)))
}

/// Delete any room
#[utoipa::path(
    delete, path = "/admin/chat-rooms/{id}", tag = "administration", params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn delete(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<RoomId>,
) -> Result<StatusCode> {
    rooms::delete_any(&app, admin.user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Any private room
#[utoipa::path(
    get, path = "/admin/chat-rooms/private/{id}", tag = "administration",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = RoomView),
        (status = 404, description = "`not_found`, group rooms too.", body = ErrorBody),
    )
)]
async fn get_private(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<RoomId>,
) -> Result<Json<RoomView>> {
    Ok(Json(RoomView::from(&rooms::private(&app, id).await?)))
}

/// All join requests
#[utoipa::path(
    get, path = "/admin/join-requests", tag = "administration", params(PageParams),
    responses((status = 200, body = [JoinRequestView]))
)]
async fn list_requests(
    State(app): State<App>,
    _admin: Admin,
    paging: Paging<JoinRequestId>,
) -> Result<Paged<JoinRequestView>> {
    let found = join_requests::all(&app, paging.page()).await?;
    Ok(paging.answer(found, |request| request.id, Clone::clone))
}

/// Any join request
#[utoipa::path(
    get, path = "/admin/join-requests/{id}", tag = "administration", params(("id" = String, Path)),
    responses(
        (status = 200, body = JoinRequestView),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn get_request(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<JoinRequestId>,
) -> Result<Json<JoinRequestView>> {
    join_requests::any(&app, id).await.map(Json)
}

/// Delete a join request; a membership that came of it stays
#[utoipa::path(
    delete, path = "/admin/join-requests/{id}", tag = "administration",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn remove_request(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<JoinRequestId>,
) -> Result<StatusCode> {
    join_requests::remove(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All memberships
#[utoipa::path(
    get, path = "/admin/chat-room-sessions", tag = "administration", params(PageParams),
    responses((status = 200, body = [MembershipView]))
)]
async fn list_sessions(
    State(app): State<App>,
    _admin: Admin,
    paging: Paging<MembershipId>,
) -> Result<Paged<MembershipView>> {
    let found = memberships::all(&app, paging.page()).await?;
    Ok(paging.answer(found, |session| session.id, Clone::clone))
}

/// Any membership
#[utoipa::path(
    get, path = "/admin/chat-room-sessions/{id}", tag = "administration",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = MembershipView),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn get_session(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<MembershipId>,
) -> Result<Json<MembershipView>> {
    memberships::any(&app, id).await.map(Json)
}

/// Take a member out of a room
#[utoipa::path(
    delete, path = "/admin/chat-room-sessions/{id}", tag = "administration",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`conflict`: the owner of a group.", body = ErrorBody),
    )
)]
async fn remove_session(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<MembershipId>,
) -> Result<StatusCode> {
    memberships::remove_any(&app, admin.user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Messages {
    /// Messages to pass over.
    #[param(value_type = Option<u32>, default = 0)]
    skip: Option<String>,
    /// The most messages to answer with.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
}

/// The messages of all rooms, newest first
///
/// Links to files open for the caller only where they are a member.
#[utoipa::path(
    get, path = "/admin/messages", tag = "administration", params(Messages),
    responses((status = 200, body = [MessageView]))
)]
async fn list_messages(
    State(app): State<App>,
    admin: Admin,
    Query(asked): Query<Messages>,
    uri: Uri,
) -> Result<Paged<MessageView>> {
    type AnyPage = Page<()>;
    let limit = number("limit", asked.limit, AnyPage::DEFAULT, (1, AnyPage::MAX))?;
    let skip = number("skip", asked.skip, 0, (0, u32::MAX))?;
    let found = messages::all(&app, admin.user.id, skip, limit).await?;
    let is_full = u32::try_from(found.len()) == Ok(limit);
    let next = skip.checked_add(limit).filter(|_| is_full);
    let next = next.map(|skip| next_page(&uri, &["skip"], "skip", &skip.to_string()));
    Ok(Paged::new(found, next))
}

/// Blank every message of every room
///
/// Their places in the rooms' logs stay, so positions go on counting. Members are told.
#[utoipa::path(
    delete, path = "/admin/clear_messages", tag = "administration", responses((status = 204))
)]
async fn clear_messages(State(app): State<App>, admin: Admin) -> Result<StatusCode> {
    messages::clear_all(&app, admin.user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
