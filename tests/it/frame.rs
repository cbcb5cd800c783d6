//! What every call has in common: refusals, headers, origins, the web client's place.

use std::time::Duration;

use natter::config::Origin;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Answer, Person, TestNode};

async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request).await
}

fn with_body(
    person: &Person,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> RequestBuilder {
    person.request(Method::POST, "/signup").header("content-type", content_type).body(body)
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_refused_in_json() {
    let node = TestNode::start().await;
    let one = node.anonymous();
    for path in [
        "/nowhere",
        "/signup/",
        "/chat-rooms/x/y/z",
        "/metrics",
        "/debug/pprof",
        "/.env",
        "/%2e%2e/etc/passwd",
    ] {
        one.get(path).await.refused(404, "not_found");
    }
    for (method, path) in [
        (Method::GET, "/signup"),
        (Method::DELETE, "/users/me"),
        (Method::TRACE, "/users/me"),
        (Method::PATCH, "/chat-rooms"),
    ] {
        send(one.request(method, path)).await.refused(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_by_what_is_wrong_with_it() {
    let node = TestNode::start().await;
    let one = node.anonymous();
    let deep = "[".repeat(200_000);
    let nested = format!("{{\"email\":{}", "{\"a\":".repeat(100_000));
    for body in ["", "{", "[]", "null", "5", "\"text\"", "{\"email\":", &deep, &nested] {
        send(with_body(&one, "application/json", body.to_owned())).await.refused(422, "invalid");
    }
    send(with_body(&one, "application/json", vec![0xff, 0xfe])).await.refused(422, "invalid");
    let array = json!(["a@example.org", "a", "password"]).to_string();
    send(with_body(&one, "application/json", array)).await.refused(422, "invalid");
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
    ] {
        send(with_body(&one, content_type, "{}")).await.refused(415, "unsupported_media_type");
    }
    let untyped = |body: &'static str| one.request(Method::POST, "/signup").body(body);
    send(untyped("")).await.refused(422, "invalid");
    send(untyped("{}")).await.refused(422, "invalid");
    send(untyped(r#"{"email":"a@example.org","username":"ann","password":"pw"}"#)).await.is(201);
    let zipped = with_body(&one, "application/json", "{}").header("content-encoding", "gzip");
    send(zipped).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_body_may_have_a_mebibyte_and_no_byte_more() {
    let node = TestNode::start().await;
    let one = node.anonymous();
    let body = |length: usize| {
        let frame = json!({"email": ""}).to_string().len();
        json!({"email": "x".repeat(length - frame)}).to_string()
    };
    let limit = 1024 * 1024;
    send(with_body(&one, "application/json", body(limit))).await.refused(422, "invalid");
    send(with_body(&one, "application/json", body(limit + 1))).await.refused(413, "too_large");
    // Also when nothing says beforehand how long it is.
    let chunks =
        futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(" ".repeat(64 * 1024))));
    let stream = reqwest::Body::wrap_stream(chunks);
    send(with_body(&one, "application/json", stream)).await.refused(413, "too_large");
}

#[tokio::test]
async fn no_answer_is_kept_framed_or_guessed_at() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    for path in ["/users/me", "/nowhere", "/openapi.json", "/users?name=a"] {
        let answer = ann.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(
            answer.header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn browsers_get_the_client_and_the_documentation() {
    let node = TestNode::start().await;
    let one = node.anonymous();
    for path in ["/", "/rooms/some-room", "/manage/users"] {
        let page = send(one.request(Method::GET, path).header("accept", "text/html")).await;
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
        page.is(200);
    }
    one.get("/docs").await.is(303);
    let docs = one.get("/docs/").await;
    let policy = docs.header("content-security-policy");
    assert!(policy.contains("script-src") || policy.contains("default-src 'self'"), "{policy}");
    docs.is(200);
    one.get("/docs/nothing.js").await.refused(404, "not_found");
    let settings = one.get("/docs/swagger-initializer.js").await.is(200);
    let settings = settings.as_str().unwrap();
    assert!(
        settings.contains("/openapi.json") && settings.contains("\"validatorUrl\": \"none\""),
        "{settings}"
    );
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_to_the_next_call() {
    let node = TestNode::start().await;
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    let head = "POST /refresh-token HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
    let mut answers = String::new();
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        let early = timeout(Duration::from_millis(100), stream.read(&mut buffer)).await;
        assert!(early.is_err(), "answered before the body was there");
        stream.write_all(b"hello").await.unwrap();
        let read = timeout(Duration::from_secs(20), stream.read(&mut buffer)).await;
        answers += str::from_utf8(&buffer[..read.unwrap().unwrap()]).unwrap();
    }
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 3, "{answers}");
}

#[tokio::test]
async fn foreign_pages_change_nothing_and_read_nothing() {
    let origin = "https://app.example.org";
    let node =
        TestNode::with(|config| config.cors_origins = vec![Origin::parse(origin).unwrap()]).await;
    let ann = node.sign_up("ann").await;
    for foreign in [
        "https://evil.example",
        "null",
        "http://app.example.org",
        "https://app.example.org.evil.example",
        "x",
    ] {
        let body = json!({"name": "a room"});
        let request =
            ann.request(Method::POST, "/chat-rooms").header("origin", foreign).json(&body);
        send(request).await.refused(403, "forbidden");
        let polling = ann.request(Method::GET, "/socket.io/?EIO=4&transport=polling");
        send(polling.header("origin", foreign)).await.refused(403, "forbidden");
        let read = send(ann.request(Method::GET, "/users/me").header("origin", foreign)).await;
        assert_eq!(read.header("access-control-allow-origin"), "", "{foreign}");
    }
    assert_eq!(ann.get("/chat-rooms").await.is(200), json!([]));

    let preflight = ann.request(Method::OPTIONS, "/chat-rooms").header("origin", origin);
    let preflight = preflight.header("access-control-request-method", "POST");
    let answer = send(preflight).await;
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    answer.is(204);
    for welcome in [origin, &node.url()] {
        let read = send(ann.request(Method::GET, "/users/me").header("origin", welcome)).await;
        assert_eq!(read.header("access-control-allow-origin"), welcome);
        assert!(read.header("vary").contains("origin"));
        let body = json!({"name": "a room"});
        let request = ann.request(Method::POST, "/chat-rooms").header("origin", welcome);
        assert!(send(request.json(&body)).await.status < 300);
    }
}
