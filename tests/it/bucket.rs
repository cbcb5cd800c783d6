//! What only a bucket has: uploads in parts, links that clients follow by themselves, and a server that is away.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use image::{DynamicImage, ImageFormat, RgbImage};
use natter::config::{MediaConfig, MediaServe, Origin};
use natter::domain::Timestamp;
use natter::media::{Media, MediaError, SHARDS};
use reqwest::header::{HeaderMap, RANGE};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::{Value, json};

use crate::media::{id, media_on, noise, read, store};
use crate::support::shelf::{config, nobody};
use crate::support::{Answer, Person, Shelf, TestBucket, TestNode, http, on_every_shelf};

on_every_shelf![what_a_crash_left_half_written_is_swept];

async fn what_a_crash_left_half_written_is_swept(shelf: Shelf) {
    let media = media_on(&shelf);
    store(&media, id(6), b"complete").await;
    let mut writer = media.writer(id(7), 8 << 20);
    writer.write(&noise(6 << 20)).await.unwrap();
    assert_eq!(shelf.files().await, 2);
    // As when the process is killed: nobody is told.
    std::mem::forget(writer);
    let later = Timestamp::now().plus(Duration::from_secs(60));
    let mut removed = 0;
    for shard in 0..SHARDS {
        assert_eq!(media.remove_abandoned(shard, Timestamp(0)).await.unwrap(), 0);
        removed += media.remove_abandoned(shard, later).await.unwrap();
    }
    assert_eq!((removed, shelf.files().await), (1, 1));
    assert_eq!(read(&media, id(6), 8, 0..8).await, b"complete");
}

/// Somebody alone in a room.
struct Hall {
    node: TestNode,
    alice: Person,
    room: String,
}

impl Hall {
    async fn open(media: MediaConfig) -> Self {
        let node = TestNode::with(|config| config.media = media).await;
        let alice = node.sign_up("alice").await;
        let room = alice.post("/chat-rooms", json!({"name": "lobby"})).await.body;
        let room = room["chat_room"]["id"].as_str().unwrap().to_owned();
        Self { node, alice, room }
    }

    async fn upload(&self, name: &str, bytes: &[u8]) -> Answer {
        let path = format!("/chat-rooms/{}/attachments", self.room);
        let part = Part::bytes(bytes.to_vec()).file_name(name.to_owned());
        let request = self.alice.request(Method::POST, &path);
        Answer::of(request.multipart(Form::new().part("file", part))).await
    }

    async fn say(&self, message: Value) -> Answer {
        self.alice.post(&format!("/chat-rooms/{}/messages", self.room), message).await
    }

    /// Uploads and sends a file, and answers with the message.
    async fn share(&self, name: &str, bytes: &[u8]) -> Value {
        let upload = self.upload(name, bytes).await.is(201);
        self.say(json!({"content": "", "attachment_id": upload["id"]})).await.is(201)
    }

    /// What the node itself answers.
    async fn ask(&self, method: Method, path: &Value) -> Response {
        let client = http::builder().redirect(reqwest::redirect::Policy::none());
        let url = format!("{}{}", self.node.url(), path.as_str().unwrap());
        client.build().unwrap().request(method, url).send().await.unwrap()
    }
}

fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(RgbImage::new(800, 400)).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn redirecting(bucket: &TestBucket) -> MediaConfig {
    MediaConfig { serve: MediaServe::Redirect, ..bucket.config() }
}

#[tokio::test]
async fn a_picture_is_loaded_from_the_bucket_by_a_link_that_says_what_it_is() {
    let Some(bucket) = TestBucket::new() else { return };
    let hall = Hall::open(redirecting(&bucket)).await;
    let bytes = picture();
    let message = hall.share("sea & Grüße.png", &bytes).await;
    let sent = hall.ask(Method::GET, &message["file_path"]).await;
    assert_eq!(sent.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(sent.headers()["cache-control"], "private, no-store");
    assert_eq!(sent.headers()["referrer-policy"], "no-referrer");
    let link: Url = sent.headers()["location"].to_str().unwrap().parse().unwrap();
    let endpoint = bucket.config().endpoint.unwrap();
    assert_eq!(link.origin().ascii_serialization(), endpoint.as_str());
    let lifetime = link.query_pairs().find(|(name, _)| name == "X-Amz-Expires").unwrap().1;
    assert_eq!(lifetime, "60");

    let loaded = http::get(link.clone()).await.unwrap();
    assert_eq!(loaded.status(), 200);
    let headers = loaded.headers().clone();
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(
        headers["content-disposition"],
        "inline; filename=\"sea & Gr__e.png\"; filename*=UTF-8''sea%20&%20Gr%C3%BC%C3%9Fe.png"
    );
    assert_eq!(headers["cache-control"], "private, no-store");
    assert_eq!(loaded.bytes().await.unwrap(), bytes);

    let part = HeaderMap::from_iter([(RANGE, "bytes=1-3".parse().unwrap())]);
    let part = http::client().get(link).headers(part).send().await.unwrap();
    assert_eq!(
        (part.status(), part.bytes().await.unwrap()),
        (StatusCode::PARTIAL_CONTENT, "PNG".into())
    );
}

#[tokio::test]
async fn a_link_to_the_bucket_is_good_for_nothing_else() {
    let Some(bucket) = TestBucket::new() else { return };
    let hall = Hall::open(redirecting(&bucket)).await;
    let message = hall.share("x.png", &picture()).await;
    let sent = hall.ask(Method::GET, &message["file_path"]).await;
    let link = sent.headers()["location"].to_str().unwrap().to_owned();
    let another = link.replacen("image%2Fpng", "text%2Fhtml", 1);
    assert_ne!(another, link);
    let client = http::client();
    for (case, request) in [
        ("as a page", client.get(&another)),
        (
            "of another file",
            client.get(link.replacen("/it/", "/it/../", 1).replacen(".png", ".txt", 1)),
        ),
        ("for longer", client.get(link.replacen("X-Amz-Expires=60", "X-Amz-Expires=6000", 1))),
        ("to write", client.put(&link).body("x")),
        ("to remove", client.delete(&link)),
    ] {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{case}");
    }
}

#[tokio::test]
async fn what_is_saved_or_small_passes_through_the_node() {
    let Some(bucket) = TestBucket::new() else { return };
    let hall = Hall::open(redirecting(&bucket)).await;
    for (name, bytes) in [
        ("a.svg", &b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"[..]),
        ("a.html", b"<!DOCTYPE html><script>alert(1)</script>"),
        ("a.pdf", b"%PDF-1.7\n"),
        ("label.png", b"<html><script>alert(1)</script>"),
        ("magic.png", b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>"),
    ] {
        let message = hall.share(name, bytes).await;
        let answer = hall.ask(Method::GET, &message["file_path"]).await;
        assert_eq!(answer.status(), 200, "{name}");
        let headers = answer.headers();
        assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment;"));
        assert_eq!(headers["content-type"], "application/octet-stream", "{name}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{name}");
        assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'", "{name}");
        assert_eq!(headers["cache-control"], "private, no-store", "{name}");
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{name}");
    }
    // A bucket that does not do as a link says shows nothing in place.
    assert_eq!(bucket.stored_type().await, "application/octet-stream");

    let message = hall.share("x.png", &picture()).await;
    let small = hall.ask(Method::GET, &message["attachment"]["thumbnail_path"]).await;
    assert_eq!(
        (small.status(), &small.headers()["content-type"]),
        (StatusCode::OK, &"image/jpeg".parse().unwrap())
    );
    // A link is signed for one method.
    let head = hall.ask(Method::HEAD, &message["file_path"]).await;
    assert_eq!(
        (head.status(), &head.headers()["content-type"]),
        (StatusCode::OK, &"image/png".parse().unwrap())
    );
}

#[tokio::test]
async fn pages_may_show_what_the_bucket_hands_out_at_the_address_that_clients_know() {
    let Some(bucket) = TestBucket::new() else { return };
    let public = Some(Origin::parse("https://files.example.com").unwrap());
    let hall = Hall::open(MediaConfig { public_endpoint: public, ..redirecting(&bucket) }).await;
    let page = hall.node.anonymous().request(Method::GET, "/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("img-src 'self' blob: data: https://files.example.com;"), "{policy}");
    let message = hall.share("x.png", &picture()).await;
    let sent = hall.ask(Method::GET, &message["file_path"]).await;
    let link = sent.headers()["location"].to_str().unwrap();
    assert!(link.starts_with("https://files.example.com/"), "{link}");
}

#[tokio::test]
async fn without_the_server_text_goes_on_and_files_are_unavailable() {
    let hall = Hall::open(nobody().await).await;
    let text = json!({"content": "still here"});
    hall.say(text.clone()).await.is(201);
    hall.upload("x.png", b"x").await.refused(503, "unavailable");
    hall.say(text).await.is(201);
}

#[tokio::test]
async fn a_server_or_a_bucket_that_is_not_there_is_told_from_a_file_that_is_not() {
    let mut places = vec![nobody().await];
    if let Some(bucket) = TestBucket::new() {
        let there = Media::connect(&bucket.config(), Path::new("/")).unwrap();
        there.check().await.unwrap();
        let endpoint = bucket.config().endpoint.unwrap().to_string();
        places.push(config("s3://no-such-bucket", &endpoint));
    }
    for place in places {
        let media = Media::connect(&place, Path::new("/")).unwrap();
        for size in [10, 6 << 20] {
            let mut writer = media.writer(id(1), size as u64);
            let error = match writer.write(&noise(size)).await {
                Ok(()) => writer.finish().await.unwrap_err(),
                Err(error) => error,
            };
            assert!(matches!(error, MediaError::Unavailable(_)), "{place:?} {size}: {error:?}");
        }
        let object = media.open(id(1), 1, natter::api::Variant::Original).await.unwrap();
        let Err(error) = object.read(0..1).await else { panic!("{place:?} reads") };
        assert!(matches!(error, MediaError::Unavailable(_)), "{place:?}: {error:?}");
        let checked = media.check().await;
        assert!(matches!(checked, Err(MediaError::Unavailable(_))), "{place:?}: {checked:?}");
        let swept = media.remove_abandoned(0, Timestamp::now()).await;
        assert!(matches!(swept, Err(MediaError::Unavailable(_))), "{place:?}: {swept:?}");
    }
}
