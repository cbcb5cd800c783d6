//! The documents: `/openapi.json`, made from the handlers themselves, and a page to try it at `/docs`.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::error::Refusal;
use crate::api::{ErrorBody, ErrorCode, FieldError};
use crate::app::App;

/// The Swagger UI sets styles in its elements and draws with data URLs; scripts are its files alone.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "natter",
        description = "Chat over HTTP. The live half, Socket.IO, is described in docs/PROTOCOL.md. \
                       Every failure is an `ErrorBody`; `code` is stable, `detail` is for people.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody, ErrorCode, FieldError)),
    security(("bearer" = []))
)]
struct Document;

/// The document without its calls.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let mut bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    bearer.description = Some("The `access_token` of `POST /token`.".to_owned());
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}

/// Adds to each call the failures that it has by its form: a token, parameters, a body.
pub(super) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            complete_operation(operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
        .into_iter()
        .flatten()
}

fn complete_operation(operation: &mut Operation) {
    // `security(())` says that a call is for everybody; without a word it is for those with a token.
    let is_public = operation.security.is_some();
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has_parameters = !parameters.is_empty();
    let is_administration = operation.tags.iter().flatten().any(|tag| tag == "administration");
    let has_body = operation.request_body.is_some();
    let mut failures = vec![
        ("429", "`rate_limited`: too much in too short a time."),
        ("500", "`internal`: a fault of the server."),
        ("503", "`overloaded`, `unavailable` or `draining`: try again after `Retry-After`."),
    ];
    if !is_public {
        failures.push(("401", "`unauthorized`: no valid token."));
    }
    if has_parameters {
        failures.push(("400", "`invalid`: a malformed id."));
    }
    if has_parameters || has_body {
        failures.push(("422", "`invalid`: `errors` names the parameters or fields."));
    }
    if is_administration {
        failures.push(("403", "`forbidden`: not an administrator."));
    }
    if has_body {
        failures.push(("413", "`too_large`: more bytes than are taken."));
        failures.push(("415", "`unsupported_media_type`: a body of another type."));
    }
    for (status, description) in failures {
        let failure = ResponseBuilder::new()
            .description(description)
            .content("application/json", Content::new(Some(Ref::from_schema_name("ErrorBody"))));
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(failure.build()));
    }
}

/// The routes of the documents.
pub(super) fn pages(document: &utoipa::openapi::OpenApi) -> Router<App> {
    let json = document.to_pretty_json().expect("a document is made of maps, lists and texts");
    let json: axum::body::Bytes = json.into();
    let send = move || {
        let json = json.clone();
        async move { ([(CONTENT_TYPE, "application/json")], json) }
    };
    // Else the page asks a service on the internet whether the document is valid.
    let config = Config::from("/openapi.json").validator_url("none");
    let ui = SwaggerUi::new("/docs").config(config);
    let docs = Router::new().merge(ui).layer(from_fn(docs_policy));
    docs.route("/openapi.json", get(send))
}

async fn docs_policy(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return Refusal::NoSuchPath.into_response(); // The page's own has no words.
    }
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, DOCS_POLICY);
    response
}
