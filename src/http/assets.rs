//! The web client, embedded in the binary, at every path that is no call.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use utoipa::openapi::OpenApi;

use super::error::Refusal;

/// What `make client` builds. Without it the server builds all the same, and says so at `/`.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

const INDEX: &str = "index.html";

/// What a page of ours may do: scripts and styles are files of ours, pictures may be made by the page itself
/// (previews) and come from `files`, the origin that media redirects to, connections go to this server.
fn policy(files: Option<&str>) -> HeaderValue {
    let files = files.map_or_else(String::new, |origin| format!(" {origin}"));
    let policy = format!(
        "default-src 'self'; img-src 'self' blob: data:{files}; media-src 'self' blob:{files}; \
         connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
         object-src 'none'"
    );
    HeaderValue::try_from(policy).expect("an origin is made of visible ASCII")
}

/// The file's name changes with its content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Asked for each time, answered with 304 while it is the same.
const CHECKED: HeaderValue = HeaderValue::from_static("no-cache");

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <title>natter</title>\n<h1>natter is running</h1>\n\
    <p>This binary was built without the web client. To build it, install Node 20 or newer and run \
    <code>make run</code>, or <code>make client</code> before the next <code>make build</code>.</p>\n\
    <p>The calls are documented at <a href=\"/docs/\">/docs</a>.</p>\n</html>\n";

/// The web client, at every path that is no call.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// The first segments of paths that are calls: below them nothing is the web client's, so that a program
    /// which asks for what is not there gets an answer for programs.
    roots: Arc<BTreeSet<String>>,
    policy: HeaderValue,
}

impl Site {
    /// Leaves alone the documented calls, and what is served beside them or deliberately not at all. Pages may
    /// show what `files` is the origin of.
    pub(super) fn beside(document: &OpenApi, files: Option<&str>) -> Self {
        let calls = document.paths.paths.keys().map(|path| first_segment(path));
        let others = ["debug", "docs", "metrics", "openapi.json", "socket.io"];
        let roots = calls.chain(others).map(str::to_owned).collect();
        Self { roots: Arc::new(roots), policy: policy(files) }
    }

    /// Answers what no route takes.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_read || self.roots.contains(first_segment(path)) {
            return Refusal::NoSuchPath.into_response();
        }
        if path == "/" {
            return self.index(request.headers());
        }
        let file = &path[1..];
        if let Some(found) = is_built(file).then(|| Dist::get(file)).flatten() {
            return self.send(file, found, request.headers());
        }
        // A path of the client's own, such as a link to a room. A missing file is no such path.
        let is_file = path.rsplit('/').next().is_some_and(|last| last.contains('.'));
        if wants_page(request.headers()) && !is_file {
            return self.index(request.headers());
        }
        Refusal::NoSuchPath.into_response()
    }

    fn index(&self, headers: &HeaderMap) -> Response {
        match Dist::get(INDEX) {
            Some(found) => self.send(INDEX, found, headers),
            None => self.page(NOT_BUILT),
        }
    }

    fn page(&self, html: &'static str) -> Response {
        let html_type = HeaderValue::from_static("text/html; charset=utf-8");
        let headers = [
            (CONTENT_TYPE, html_type),
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
            (CACHE_CONTROL, CHECKED),
        ];
        (headers, html).into_response()
    }

    fn send(&self, name: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
        let hash = file.metadata.sha256_hash();
        let tag: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = format!("\"{tag}\"");
        let is_hashed = name.starts_with("assets/");
        let headers = [
            (CONTENT_TYPE, content_type(file.metadata.mimetype())),
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
            (CACHE_CONTROL, if is_hashed { FOREVER } else { CHECKED }),
            (ETAG, HeaderValue::try_from(&tag).unwrap_or(CHECKED)),
        ];
        if is_known(asked, &tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, Body::from(file.data.into_owned())).into_response()
    }
}

fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// Names of built files hold nothing that is escaped, nor begin with a dot.
fn is_built(file: &str) -> bool {
    !file.contains(['%', '\\', ':']) && file.split('/').all(|part| !part.starts_with('.'))
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accept| accept.contains("text/html"))
}

fn content_type(mime: &str) -> HeaderValue {
    let is_text = mime.starts_with("text/") || mime.ends_with("javascript");
    let charset = if is_text { "; charset=utf-8" } else { "" };
    let octets = HeaderValue::from_static("application/octet-stream");
    HeaderValue::try_from(format!("{mime}{charset}")).unwrap_or(octets)
}

/// Whether the client has this version already.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let roots = ["users", "chat-rooms", "metrics"].map(str::to_owned).into();
        Site { roots: Arc::new(roots), policy: policy(None) }
    }

    fn get(path: &str, accept: &str) -> Response {
        let request = Request::get(path).header(ACCEPT, accept);
        site().answer(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn pages_are_for_browsers_and_paths_that_are_no_calls() {
        for path in ["/", "/rooms/abc", "/manage/users", "/log-in"] {
            assert_eq!(get(path, "text/html,*/*").status(), 200, "{path}");
        }
        assert_eq!(get("/", "*/*").status(), 200);
        for path in [
            "/users/x/y",
            "/metrics",
            "/chat-rooms",
            "/.env",
            "/assets/gone.js",
            "/%2e%2e/x.y",
            "/a/..%5cx.y",
        ] {
            assert_eq!(get(path, "text/html").status(), 404, "{path}");
        }
        assert_eq!(get("/rooms/abc", "application/json").status(), 404);
        let post = Request::post("/rooms").header(ACCEPT, "text/html").body(Body::empty()).unwrap();
        assert_eq!(site().answer(&post).status(), 404);
    }

    #[test]
    fn pages_run_nothing_that_is_not_a_file_of_ours() {
        let page = get("/", "text/html");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn pages_show_what_comes_from_where_files_are() {
        let policy = policy(Some("https://files.example.com"));
        let policy = policy.to_str().unwrap();
        for part in [
            "img-src 'self' blob: data: https://files.example.com;",
            "media-src 'self' blob: https://files.example.com;",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(policy.matches("files.example.com").count(), 2);
    }

    #[test]
    fn a_version_that_the_client_has_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"a\", W/\"b\""));
        assert!(is_known(&headers, "\"a\"") && is_known(&headers, "\"b\""));
        assert!(!is_known(&headers, "\"c\""));
    }
}
