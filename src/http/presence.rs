//! Who is online.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rooms::OfRoom;
use super::{Json, Query, Session};
use crate::api::ErrorBody;
use crate::app::App;
use crate::service::{Result, presence};

/// The calls of presence.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(in_room)).routes(routes!(peers))
}

/// The usernames online in a room, without the caller's
///
/// Those who are present in it, and its members who declare to be online.
#[utoipa::path(
    get, path = "/rooms-online-users", tag = "presence", params(OfRoom),
    responses(
        (status = 200, body = [String]),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn in_room(
    State(app): State<App>,
    session: Session,
    Query(OfRoom { chat_room_id }): Query<OfRoom>,
) -> Result<Json<Vec<String>>> {
    presence::online_in_room(&app, session.user.id, chat_room_id).await.map(Json)
}

/// The usernames online among those with whom the caller has a private room
#[utoipa::path(
    get, path = "/pv-online-users", tag = "presence", responses((status = 200, body = [String]))
)]
async fn peers(State(app): State<App>, session: Session) -> Result<Json<Vec<String>>> {
    presence::online_peers(&app, session.user.id).await.map(Json)
}
