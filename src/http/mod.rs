//! HTTP: requests in, answers out. One file a resource, each with its `routes()`; handlers decode, call one use
//! case, and encode.
//!
//! A route is served by being documented: `routes!(handler)` takes its path and method from
//! `#[utoipa::path]`, so `/openapi.json` cannot miss one. What every call has in common (401 without a token,
//! 400, 413, 415, 422, 503) [`openapi`] adds by itself; a handler names its success and its own refusals.

mod admin_rooms;
mod admin_users;
mod assets;
mod attachments;
mod body;
mod cors;
mod detach;
mod error;
mod export;
mod extract;
mod join_requests;
pub(crate) mod listener;
mod media;
mod members;
mod messages;
mod openapi;
mod page;
mod presence;
pub(crate) mod probes;
mod retention;
mod rooms;
mod security;
mod session;
pub(crate) mod trace;
mod upload;
mod users;
pub(crate) mod waiting;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::error::Refusal;
pub(crate) use self::extract::{Form, Json, Path, Query};
pub(crate) use self::page::{PageParams, Paged, Paging};
pub(crate) use self::session::{Admin, Session};

use crate::app::App;

/// Every call, the documents, and the web client. [`guard`] goes around it, and around the sockets.
pub(crate) fn router(app: App) -> Router {
    let (calls, document) = calls().split_for_parts();
    let document = openapi::complete(document);
    let site = assets::Site::beside(&document, app.config.media.redirects_to().as_deref());
    calls
        .merge(openapi::pages(&document))
        .fallback(move |request: Request| async move { site.answer(&request) })
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(body::MAX))
        .layer(from_fn(body::ahead))
        .layer(from_fn_with_state(app.tasks.clone(), detach::detach))
        .layer(from_fn(security::headers))
        .with_state(app)
}

/// Keeps foreign web pages out of everything that `router` serves, sockets included.
pub(crate) fn guard(app: &App, router: Router) -> Router {
    router.layer(from_fn_with_state(app.clone(), cors::check))
}

/// The calls of all resources, with their documentation.
fn calls() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::document())
        .merge(users::routes())
        .merge(rooms::routes())
        .merge(join_requests::routes())
        .merge(members::routes())
        .merge(messages::routes())
        .merge(retention::routes())
        .merge(export::routes())
        .merge(presence::routes())
        .merge(admin_rooms::routes())
        .merge(admin_users::routes())
        .merge(attachments::routes())
        .merge(media::routes())
}
