//! `/admin/users`: accounts in the hands of an administrator.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Admin, Json, PageParams, Paged, Paging, Path};
use crate::api::{AccountChange, AccountView, Erasure, ErasureView, ErrorBody, NewAccount};
use crate::app::App;
use crate::domain::{User, UserId, Words};
use crate::service::{Result, administration, erasure, presence};

/// The calls for administering accounts.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, delete))
        .routes(routes!(erase))
        .routes(routes!(export))
}

async fn view(app: &App, user: &User) -> AccountView {
    AccountView::new(user, presence::is_online(app, user).await)
}

/// List all accounts
#[utoipa::path(
    get, path = "/admin/users", tag = "administration", params(PageParams),
    responses(
        (status = 200, body = [AccountView]),
    )
)]
async fn list(
    State(app): State<App>,
    _admin: Admin,
    paging: Paging<UserId>,
) -> Result<Paged<AccountView>> {
    let users = administration::users(&app, paging.page()).await?;
    let online = presence::online_among(&app, &users).await;
    let view = |user: &User| AccountView::new(user, online.contains(&user.id));
    Ok(paging.answer(users, |user| user.id, view))
}

/// Make an account
///
/// Also while sign-up is closed.
#[utoipa::path(
    post, path = "/admin/users", tag = "administration", request_body = NewAccount,
    responses(
        (status = 201, body = AccountView),
        (status = 400, description = "`email_taken` or `username_taken`.", body = ErrorBody),
    )
)]
async fn create(
    State(app): State<App>,
    _admin: Admin,
    Json(body): Json<NewAccount>,
) -> Result<(StatusCode, Json<AccountView>)> {
    let user = administration::create_user(&app, body).await?;
    Ok((StatusCode::CREATED, Json(view(&app, &user).await)))
}

/// Read an account
#[utoipa::path(
    get, path = "/admin/users/{id}", tag = "administration",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, body = AccountView),
        (status = 404, description = "`not_found`.", body = ErrorBody),
    )
)]
async fn read(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<UserId>,
) -> Result<Json<AccountView>> {
    let user = administration::user(&app, id).await?;
    Ok(Json(view(&app, &user).await))
}

/// Change an account
///
/// A new password and disabling end every token and socket of the user.
#[utoipa::path(
    patch, path = "/admin/users/{id}", tag = "administration", request_body = AccountChange,
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, body = AccountView),
        (status = 400, description = "`email_taken`, `username_taken`, or a malformed id.", body = ErrorBody),
        (status = 404, description = "`not_found`.", body = ErrorBody),
        (status = 409, description = "`last_admin`: nobody would be left to administer.", body = ErrorBody),
    )
)]
async fn change(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<UserId>,
    Json(body): Json<AccountChange>,
) -> Result<Json<AccountView>> {
    let user = administration::change_user(&app, id, body).await?;
    Ok(Json(view(&app, &user).await))
}

/// Delete an account
///
/// Its tokens and sockets end at once, and it leaves its rooms. Its messages stay.
#[utoipa::path(
    delete, path = "/admin/users/{id}", tag = "administration",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 204),
        (status = 404, description = "`not_found`.", body = ErrorBody),
        (status = 409, description = "`last_admin`: nobody would be left to administer.", body = ErrorBody),
    )
)]
async fn delete(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<UserId>,
) -> Result<StatusCode> {
    administration::delete_user(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Erase everything that tells of a person
///
/// Deletes the account, if it is there, and then takes its name and address out of the logs of all rooms, and its messages and
/// files unless they are kept: within seconds, with a long past within minutes. What is left is called `(deleted)`. Also for an
/// account that was deleted before, and again.
#[utoipa::path(
    post, path = "/admin/users/{id}/erasure", tag = "administration", request_body = Erasure,
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 202, body = ErasureView),
        (status = 404, description = "`not_found`: there never was such an account.", body = ErrorBody),
        (status = 409, description = "`last_admin`: nobody would be left to administer.", body = ErrorBody),
    )
)]
async fn erase(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<UserId>,
    Json(body): Json<Erasure>,
) -> Result<(StatusCode, Json<ErasureView>)> {
    let words = if body.keep_messages { Words::Kept } else { Words::Erased };
    let begun = erasure::begin(&app, id, words).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Everything that is kept of a person
///
/// As `GET /users/me/export`.
#[utoipa::path(
    get, path = "/admin/users/{id}/export", tag = "administration",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The archive.", content_type = "application/x-tar"),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn export(State(app): State<App>, _admin: Admin, Path(id): Path<UserId>) -> Result<Response> {
    super::export::archive(&app, id).await
}
