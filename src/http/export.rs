//! What is kept of a person, as a download.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::stream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Session;
use crate::app::App;
use crate::domain::UserId;
use crate::service::{Result, export};

/// The calls of people.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(own))
}

/// Everything that is kept of the caller
///
/// A tar archive, made as it is read: `account.json`, `rooms.ndjson`, `join_requests.ndjson`, `messages/<n>.ndjson` with what they have
/// said, and `files/<id>` with what they have sent. One that is broken off has no end that `tar` accepts. A node makes two at a
/// time; `overloaded` says to come back.
#[utoipa::path(
    get, path = "/users/me/export", tag = "accounts",
    responses((status = 200, description = "The archive.", content_type = "application/x-tar"))
)]
async fn own(State(app): State<App>, session: Session) -> Result<Response> {
    archive(&app, session.user.id).await
}

/// The answer that is the archive of `user`.
pub(super) async fn archive(app: &App, user: UserId) -> Result<Response> {
    let archive = export::of(app, user).await?;
    let pieces = stream::unfold(archive, async |mut archive| {
        let piece = archive.recv().await?;
        Some((piece, archive))
    });
    let headers = [
        (CONTENT_TYPE, "application/x-tar".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"natter-{user}.tar\"")),
        (CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
