//! How long messages of a room are kept.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Admin, Json, Path, Session};
use crate::api::{ErrorBody, RetentionChange, RetentionView};
use crate::app::App;
use crate::domain::RoomId;
use crate::service::{Result, retention};

/// The calls of members, of owners, and of administration.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, set)).routes(routes!(get_any, set_any))
}

/// How long messages of a room are kept
#[utoipa::path(
    get, path = "/chat-rooms/{id}/retention", tag = "rooms", params(("id" = String, Path)),
    responses(
        (status = 200, body = RetentionView),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn get(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
) -> Result<Json<RetentionView>> {
    retention::of_room(&app, session.user.id, room).await.map(Json)
}

/// Say how long messages are kept, as the owner of the room
///
/// Not longer than the server keeps them. What is older goes within hours.
#[utoipa::path(
    put, path = "/chat-rooms/{id}/retention", tag = "rooms", params(("id" = String, Path)),
    request_body = RetentionChange,
    responses(
        (status = 200, body = RetentionView),
        (status = 403, description = "`forbidden`: not the owner.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn set(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    Json(body): Json<RetentionChange>,
) -> Result<Json<RetentionView>> {
    retention::set(&app, session.user.id, room, body.days).await.map(Json)
}

/// How long messages of any room are kept
#[utoipa::path(
    get, path = "/admin/chat-rooms/{id}/retention", tag = "administration",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = RetentionView),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn get_any(
    State(app): State<App>,
    _admin: Admin,
    Path(room): Path<RoomId>,
) -> Result<Json<RetentionView>> {
    retention::of_any_room(&app, room).await.map(Json)
}

/// Say how long messages of any room are kept
///
/// Also longer than the server keeps those of others.
#[utoipa::path(
    put, path = "/admin/chat-rooms/{id}/retention", tag = "administration",
    params(("id" = String, Path)), request_body = RetentionChange,
    responses(
        (status = 200, body = RetentionView),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn set_any(
    State(app): State<App>,
    _admin: Admin,
    Path(room): Path<RoomId>,
    Json(body): Json<RetentionChange>,
) -> Result<Json<RetentionView>> {
    retention::set_any(&app, room, body.days).await.map(Json)
}
