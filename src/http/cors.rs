//! Which web pages may use the service: its own always, foreign ones only when the operator named their origin.
//!
//! No cookie authenticates anything, so a client that is no browser, and sends no `Origin`, is welcome. A
//! browser's foreign page is refused at the sockets and wherever something would change, and reads nothing.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::client::is_trusted;
use crate::config::{Config, Origin};
use crate::service::Error;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whose page a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// No page: no browser, or a plain navigation.
    Nobody,
    /// The service's own, or one that the operator named.
    Welcome,
    /// Any other.
    Foreign,
}

/// Refuses foreign pages, and tells browsers what those of the named origins may read.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match origin_of(&app.config, &request) {
        From::Foreign if may_change(&request) => {
            return Error::Forbidden("Pages of this origin may not use this server.")
                .into_response();
        }
        From::Nobody | From::Foreign => next.run(request).await,
        From::Welcome => {
            let mut response =
                if is_preflight(&request) { preflight() } else { next.run(request).await };
            let headers = response.headers_mut();
            if let Some(origin) = origin {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            }
            let readable = HeaderValue::from_static("link, retry-after, x-request-id");
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, readable);
            response
        }
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    response
}

fn origin_of(config: &Config, request: &Request) -> From {
    let mut values = request.headers().get_all(ORIGIN).iter();
    let Some(value) = values.next() else { return From::Nobody };
    let origin = value.to_str().ok().and_then(|text| Origin::parse(text).ok());
    let (Some(origin), None) = (origin, values.next()) else { return From::Foreign };
    if config.cors_origins.contains(&origin) || is_own(config, request, &origin) {
        From::Welcome
    } else {
        From::Foreign
    }
}

/// Whether `origin` is where the service itself is seen: `public_url`, else the host that was asked for.
fn is_own(config: &Config, request: &Request, origin: &Origin) -> bool {
    if let Some(own) = &config.public_url {
        return own == origin;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_proxied =
        peer.is_some_and(|peer| is_trusted(peer.ip().to_canonical(), &config.trusted_proxies));
    let forwarded = |name| text(request.headers(), name).filter(|_| is_proxied);
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = forwarded(FORWARDED_HOST).or_else(|| text(request.headers(), HOST)).or(authority);
    let Some(host) = host else { return false };
    // Whether TLS ends in front of us, only a trusted proxy tells. Without one both are taken for our own: who
    // could put a page at the other scheme of this very host controls the host.
    let schemes = match forwarded(FORWARDED_PROTO) {
        Some(scheme) => vec![scheme],
        None => vec!["http", "https"],
    };
    let own = schemes.iter().map(|scheme| Origin::parse(&format!("{scheme}://{host}")));
    own.flatten().any(|own| own == *origin)
}

/// The last value of a header that each proxy appends to.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next().map(str::trim).filter(|text| !text.is_empty())
}

fn may_change(request: &Request) -> bool {
    let path = request.uri().path();
    !request.method().is_safe() || path == "/socket.io" || path.starts_with("/socket.io/")
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let allowed = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn config() -> Config {
        Config {
            cors_origins: vec![Origin::parse("https://app.example.org").unwrap()],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Config::default()
        }
    }

    fn seen(config: &Config, peer: &str, headers: &[(&str, &str)]) -> From {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request = Request::get("/").extension(ConnectInfo(peer));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        origin_of(config, &request.body(Body::empty()).unwrap())
    }

    #[test]
    fn only_the_own_origin_and_the_named_ones_are_welcome() {
        let from = |origin| {
            seen(&config(), "192.0.2.1:1", &[("host", "chat.example.org:8080"), ("origin", origin)])
        };
        for own in [
            "http://chat.example.org:8080",
            "https://chat.example.org:8080",
            "https://app.example.org",
        ] {
            assert_eq!(from(own), From::Welcome, "{own}");
        }
        for foreign in [
            "null",
            "",
            "*",
            "https://evil.example",
            "http://app.example.org",
            "https://app.example.org:8443",
            "https://app.example.org.evil.example",
            "https://evilapp.example.org",
            "http://chat.example.org",
            "https://app.example.org, https://evil.example",
        ] {
            assert_eq!(from(foreign), From::Foreign, "{foreign}");
        }
        assert_eq!(seen(&config(), "192.0.2.1:1", &[("host", "x")]), From::Nobody);
        let twice = [("origin", "https://app.example.org"), ("origin", "https://evil.example")];
        assert_eq!(seen(&config(), "192.0.2.1:1", &twice), From::Foreign);
    }

    #[test]
    fn only_trusted_proxies_say_what_was_asked_for() {
        let headers = [
            ("host", "node-1:8080"),
            ("x-forwarded-host", "chat.example.org"),
            ("x-forwarded-proto", "https"),
            ("origin", "https://chat.example.org"),
        ];
        assert_eq!(seen(&config(), "10.0.0.1:1", &headers), From::Welcome);
        assert_eq!(seen(&config(), "192.0.2.1:1", &headers), From::Foreign);
        let plain = [headers[0], headers[1], headers[2], ("origin", "http://chat.example.org")];
        assert_eq!(seen(&config(), "10.0.0.1:1", &plain), From::Foreign);
    }

    #[test]
    fn a_public_url_is_the_only_own_origin() {
        let public_url = Some(Origin::parse("https://chat.example.org").unwrap());
        let config = Config { public_url, ..config() };
        let from =
            |origin| seen(&config, "192.0.2.1:1", &[("host", "evil.example"), ("origin", origin)]);
        assert_eq!(from("https://chat.example.org"), From::Welcome);
        assert_eq!(from("https://evil.example"), From::Foreign);
    }
}
