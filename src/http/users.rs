//! Accounts: `/signup`, `/token`, and what a user does with their own.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Form, Json, PageParams, Paged, Paging, Query, Session};
use crate::api::{
    ErrorBody, OnlineStatus, PasswordChange, SignIn, SignUp, StatusView, TokenView, UserName,
    UserView,
};
use crate::app::App;
use crate::client::ClientAddress;
use crate::domain::{Timestamp, UserId};
use crate::service::{Result, accounts, presence, sessions};

/// The calls of accounts.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(sign_in))
        .routes(routes!(refresh_token))
        .routes(routes!(me))
        .routes(routes!(find))
        .routes(routes!(change_password))
        .routes(routes!(log_out_everywhere))
        .routes(routes!(set_online_status))
}

/// Make an account
///
/// The very first account of a server administers it.
#[utoipa::path(
    post, path = "/signup", tag = "accounts", security(()), request_body = SignUp,
    responses(
        (status = 201, body = UserView),
        (status = 400, description = "`email_taken` or `username_taken`.", body = ErrorBody),
        (status = 403, description = "`signup_closed`.", body = ErrorBody),
    )
)]
async fn sign_up(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Json(body): Json<SignUp>,
) -> Result<(StatusCode, Json<UserView>)> {
    let user = accounts::sign_up(&app, address, body).await?;
    Ok((StatusCode::CREATED, Json(UserView::new(&user, false))))
}

/// Sign in
///
/// OAuth2's password flow. `username` may be the e-mail address.
#[utoipa::path(
    post, path = "/token", tag = "accounts", security(()),
    request_body(content = SignIn, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = TokenView),
        (status = 401, description = "`unauthorized`: no such user, or a wrong password.", body = ErrorBody),
    )
)]
async fn sign_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Form(body): Form<SignIn>,
) -> Result<Json<TokenView>> {
    accounts::sign_in(&app, address, body).await.map(Json)
}

/// Renew a token
#[utoipa::path(
    post, path = "/refresh-token", tag = "accounts",
    responses((status = 200, body = TokenView))
)]
async fn refresh_token(State(app): State<App>, session: Session) -> Result<Json<TokenView>> {
    sessions::issue(&app, &session.user, Timestamp::now()).map(Json)
}

/// Who am I?
#[utoipa::path(get, path = "/users/me", tag = "accounts", responses((status = 200, body = UserView)))]
async fn me(State(app): State<App>, session: Session) -> Json<UserView> {
    let is_online = presence::is_online(&app, &session.user).await;
    Json(UserView::new(&session.user, is_online))
}

/// Whose name to look for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Search {
    /// The start of a username, in upper or lower case.
    #[param(min_length = 1)]
    name: String,
}

/// Find people by the start of their name
#[utoipa::path(
    get, path = "/users", tag = "accounts", params(Search, PageParams),
    responses((status = 200, body = [UserName]))
)]
async fn find(
    State(app): State<App>,
    _session: Session,
    Query(search): Query<Search>,
    paging: Paging<UserId>,
) -> Result<Paged<UserName>> {
    let found = accounts::find(&app, &search.name, paging.page()).await?;
    Ok(paging.answer(found, |user| user.id, |user| user.into()))
}

/// Change the password
///
/// Every older token and every socket of the user ends; the answer is a new token.
#[utoipa::path(
    put, path = "/users/me/password", tag = "accounts", request_body = PasswordChange,
    responses(
        (status = 200, body = TokenView),
        (status = 403, description = "`forbidden`: the current password is another.", body = ErrorBody),
    )
)]
async fn change_password(
    State(app): State<App>,
    session: Session,
    ClientAddress(address): ClientAddress,
    Json(body): Json<PasswordChange>,
) -> Result<Json<TokenView>> {
    accounts::change_password(&app, session.user, address, body).await.map(Json)
}

/// End every token and every socket of the user
#[utoipa::path(
    post, path = "/users/me/log-out-everywhere", tag = "accounts", responses((status = 204))
)]
async fn log_out_everywhere(State(app): State<App>, session: Session) -> Result<StatusCode> {
    accounts::revoke(&app, session.user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Declare to be online, or not
///
/// A declared status ends with the token it was declared with.
#[utoipa::path(
    put, path = "/user/online-status", tag = "accounts", request_body = OnlineStatus,
    responses((status = 200, body = StatusView))
)]
async fn set_online_status(
    State(app): State<App>,
    session: Session,
    Json(status): Json<OnlineStatus>,
) -> Result<Json<StatusView>> {
    let until = status.is_online().then_some(session.expires_at);
    accounts::declare_online(&app, session.user.id, until).await?;
    let message = if status.is_online() { "You are online." } else { "You are offline." };
    Ok(Json(StatusView { message: message.to_owned() }))
}
