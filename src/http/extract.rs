//! What handlers take from a request, and how a request that has something else is refused.
//!
//! The order of a handler's parameters is the order of its refusals: the caller first (401, 403), then the
//! path and the query (400 for what cannot be an id, else 422), then the body (413, 415, 422). So nobody without a token learns what a call takes.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body;
use super::error::Refusal;
use crate::api::malformed::{self, Broken, NOT_AN_ID};
use crate::app::App;
use crate::client::{ClientAddress, client_address};
use crate::service::Error;

fn in_body(Broken { field, message }: Broken) -> Error {
    Error::invalid(field, message)
}

fn in_query(Broken { field, message }: Broken) -> Error {
    // The contract's words: "Malformed id 400".
    if message == NOT_AN_ID {
        return Error::Malformed(format!("{field} {message}."));
    }
    Error::invalid(field, message)
}

/// A JSON body, and a JSON answer.
///
/// As a body: an object (or what `T` takes beside it, but never an array, which serde would read into any
/// struct), `application/json` or without a type, not compressed, at most [`body::MAX`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let detail = "The body must be application/json.";
        let body = body_of_type(request, state, is_json, detail).await?;
        malformed::json(&body).map(Self).map_err(|broken| in_body(broken).into())
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A form, `application/x-www-form-urlencoded`, of at most [`body::MAX`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if is_json(&media_type(request.headers())) {
            // The inherited service said so of its one form.
            return Err(Error::invalid("body", "must be a form, not JSON").into());
        }
        let detail = "The body must be application/x-www-form-urlencoded.";
        let body = body_of_type(request, state, is_form, detail).await?;
        malformed::form(&body).map(Self).map_err(|broken| in_body(broken).into())
    }
}

/// The query of the URL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        malformed::form(query.as_bytes()).map(Self).map_err(in_query)
    }
}

/// The ids in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        let malformed = |_why| Error::Malformed("An id in the path is malformed.".to_owned());
        path.map(|axum::extract::Path(path)| Self(path)).map_err(malformed)
    }
}

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(*known);
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(peer) = peer.ok_or_else(|| Error::internal("a request without a peer"))?;
        Ok(client_address(*peer, &parts.headers, &app.config.trusted_proxies))
    }
}

/// The body, if `fits` takes its type, or it has none: then what it holds is looked at, and nobody is kept out by that, for no
/// cookie authenticates anything here.
async fn body_of_type<S: Send + Sync>(
    request: Request,
    state: &S,
    fits: fn(&str) -> bool,
    detail: &'static str,
) -> Result<Bytes, Refusal> {
    let media_type = media_type(request.headers());
    if !fits(&media_type) && !media_type.is_empty() {
        return Err(Refusal::UnsupportedMediaType(detail));
    }
    body::read(request, state).await
}

fn is_form(media_type: &str) -> bool {
    media_type == "application/x-www-form-urlencoded"
}

fn is_json(media_type: &str) -> bool {
    let subtype = media_type.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The type of the body, in lower case and without parameters; empty if it has none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
