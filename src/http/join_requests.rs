//! The way into a group room.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Json, Query, Session};
use crate::api::{
    Answer, AnswerJoinRequest, AnsweredJoinRequest, AskToJoin, ErrorBody, JoinRequestView,
    MembershipView,
};
use crate::app::App;
use crate::domain::JoinRequestId;
use crate::service::{Result, join_requests, parse_id};

/// The calls of join requests.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(details)).routes(routes!(answer))
}

/// Which request.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfRequest {
    /// The request.
    #[param(value_type = String)]
    join_request_id: JoinRequestId,
}

/// Ask to be let into a group room
#[utoipa::path(
    post, path = "/join-request", tag = "rooms", request_body = AskToJoin,
    responses(
        (status = 200, body = JoinRequestView),
        (status = 400, description = "`own_room`, `already_member`, `already_requested`, or a malformed id.", body = ErrorBody),
        (status = 404, description = "`not_found`, private rooms too.", body = ErrorBody),
    )
)]
async fn ask(
    State(app): State<App>,
    session: Session,
    Json(body): Json<AskToJoin>,
) -> Result<Json<JoinRequestView>> {
    let room = parse_id("chat_room_id", &body.chat_room_id)?;
    join_requests::create(&app, &session.user, room, body.message).await.map(Json)
}

/// A request, for the owner of its room
#[utoipa::path(
    get, path = "/join-request-details", tag = "rooms", params(OfRequest),
    responses(
        (status = 200, body = JoinRequestView),
        (status = 403, description = "`forbidden`: not the owner.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn details(
    State(app): State<App>,
    session: Session,
    Query(OfRequest { join_request_id }): Query<OfRequest>,
) -> Result<Json<JoinRequestView>> {
    join_requests::details(&app, session.user.id, join_request_id).await.map(Json)
}

/// Let the requester in, or not, as the owner of the room
#[utoipa::path(
    post, path = "/handle-join-request", tag = "rooms", request_body = AnswerJoinRequest,
    responses(
        (status = 200, body = AnsweredJoinRequest),
        (status = 400, description = "`already_handled`, or a malformed id.", body = ErrorBody),
        (status = 403, description = "`forbidden`: not the owner.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`conflict`: the requester is in as many rooms as one may be.", body = ErrorBody),
    )
)]
async fn answer(
    State(app): State<App>,
    session: Session,
    Json(body): Json<AnswerJoinRequest>,
) -> Result<Json<AnsweredJoinRequest>> {
    let id = parse_id("join_request_id", &body.join_request_id)?;
    let made = join_requests::handle(&app, session.user.id, id, body.approval_status).await?;
    let status = if body.approval_status { Answer::Approved } else { Answer::Refused };
    let session = made.map(|(membership, room)| MembershipView::new(&membership, &room));
    Ok(Json(AnsweredJoinRequest { status, session }))
}
