//! The members of a room.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Json, PageParams, Paged, Paging, Path, Session};
use crate::api::{ErrorBody, MarkRead, MemberView, ReadMarkerSignal};
use crate::app::App;
use crate::domain::{MembershipId, RoomId, UserId};
use crate::service::{Result, memberships};

/// The calls of members.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(leave))
        .routes(routes!(remove))
        .routes(routes!(mark_read))
}

/// The members of a room, the owner first, then by name
#[utoipa::path(
    get, path = "/chat-rooms/{id}/members", tag = "rooms", params(("id" = String, Path), PageParams),
    responses(
        (status = 200, body = [MemberView]),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn list(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    paging: Paging<MembershipId>,
) -> Result<Paged<MemberView>> {
    let page = memberships::list(&app, session.user.id, room, paging.page()).await?;
    // The link goes by the person, who keeps their place in the list when they leave.
    let place = |member: &MemberView| MembershipId::from_bytes(*member.user.id.as_bytes());
    Ok(paging.answer(page, place, Clone::clone))
}

/// Leave a group room
#[utoipa::path(
    delete, path = "/chat-rooms/{id}/members/me", tag = "rooms", params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`conflict`: the owner stays, and so do both in a private room.", body = ErrorBody),
    )
)]
async fn leave(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
) -> Result<StatusCode> {
    memberships::leave(&app, session.user.id, room).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a member away, as the owner of the room
#[utoipa::path(
    delete, path = "/chat-rooms/{id}/members/{user_id}", tag = "rooms",
    params(("id" = String, Path), ("user_id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, description = "`forbidden`: not the owner.", body = ErrorBody),
        (status = 404, description = "`not_found`: no such room, or no member.", body = ErrorBody),
        (status = 409, description = "`conflict`: the owner stays.", body = ErrorBody),
    )
)]
async fn remove(
    State(app): State<App>,
    session: Session,
    Path((room, member)): Path<(RoomId, UserId)>,
) -> Result<StatusCode> {
    memberships::remove(&app, session.user.id, room, member).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say up to where one has read
///
/// A marker never moves back; the answer says where it is.
#[utoipa::path(
    put, path = "/chat-rooms/{id}/read-marker", tag = "messages", params(("id" = String, Path)),
    request_body = MarkRead,
    responses(
        (status = 200, body = ReadMarkerSignal),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn mark_read(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    Json(body): Json<MarkRead>,
) -> Result<Json<ReadMarkerSignal>> {
    memberships::mark_read(&app, session.user.id, room, body.seq).await.map(Json)
}
