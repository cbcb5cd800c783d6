//! Files over HTTP: up by a form, down by a signed path.

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, RgbImage};
use natter::config::{ByteSize, Config};
use natter::node::{Node, bind};
use reqwest::header::{HeaderMap, IF_RANGE, RANGE};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A node that takes files of at most 1 MiB.
struct Server {
    node: Node,
    folder: tempfile::TempDir,
}

/// Somebody who is signed in.
struct Person {
    client: Client,
    address: SocketAddr,
    token: String,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: folder.path().to_owned(),
            upload_limit: ByteSize::mib(1),
            inline_file_limit: ByteSize::mib(1),
            ..Config::default()
        };
        config.metrics.listen = None;
        config.auth.bcrypt_cost = 4;
        let socket = bind(&config).unwrap();
        Self { node: Node::start(config, socket).await.unwrap(), folder }
    }

    async fn sign_up(&self, name: &str) -> Person {
        let client = Client::new();
        let address = self.node.addr();
        let new = json!({"email": format!("{name}@example.org"), "username": name, "password": "pass word 1"});
        let signed =
            client.post(format!("http://{address}/signup")).json(&new).send().await.unwrap();
        assert_eq!(signed.status(), 201);
        let login = [("username", name), ("password", "pass word 1")];
        let token =
            client.post(format!("http://{address}/token")).form(&login).send().await.unwrap();
        let token: Value = token.json().await.unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        Person { client, address, token }
    }

    /// A room of one member, and the member.
    async fn with_room(&self) -> (Person, String) {
        let alice = self.sign_up("alice").await;
        let room = alice.post("/chat-rooms", &json!({"name": "lobby"})).await;
        let room = room["chat_room"]["id"].as_str().unwrap().to_owned();
        (alice, room)
    }

    /// How many files there are in the media folder, half-written ones included.
    fn files(&self) -> usize {
        files_in(&self.folder.path().join("media"))
    }

    async fn comes_to_hold(&self, files: usize) {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while self.files() != files {
            assert!(Instant::now() < deadline, "{} files, not {files}", self.files());
            again.tick().await;
        }
    }
}

fn files_in(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

impl Person {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(self.url(path)).bearer_auth(&self.token).json(body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn send_form(&self, room: &str, form: Form) -> Response {
        let url = self.url(&format!("/chat-rooms/{room}/attachments"));
        self.client.post(url).bearer_auth(&self.token).multipart(form).send().await.unwrap()
    }

    async fn upload(&self, room: &str, name: &str, bytes: &[u8]) -> Value {
        let part = Part::bytes(bytes.to_vec()).file_name(name.to_owned());
        let answer = self.send_form(room, Form::new().part("file", part)).await;
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }

    /// Uploads and sends a file, and answers with the message.
    async fn share(&self, room: &str, name: &str, bytes: &[u8]) -> Value {
        let upload = self.upload(room, name, bytes).await;
        let message = json!({"content": "", "attachment_id": upload["id"]});
        self.post(&format!("/chat-rooms/{room}/messages"), &message).await
    }

    /// Without a token: a signed path is enough.
    async fn load(&self, path: &Value) -> Response {
        self.load_with(path, HeaderMap::new()).await
    }

    async fn load_with(&self, path: &Value, headers: HeaderMap) -> Response {
        let url = self.url(path.as_str().unwrap());
        self.client.get(url).headers(headers).send().await.unwrap()
    }

    /// The beginning of a raw request that uploads to `room`.
    async fn begin_upload(&self, room: &str, framing: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST /chat-rooms/{room}/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: multipart/form-data; boundary=B\r\n{framing}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// What comes back on a raw connection, up to the end of the head.
async fn status_of(stream: &mut TcpStream) -> u16 {
    let mut head = vec![0; 12];
    let read = stream.read_exact(&mut head);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    String::from_utf8(head).unwrap()[9..].parse().unwrap()
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(RgbImage::new(width, height)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_picture_is_shown_in_place_and_has_a_smaller_one() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let bytes = picture(1000, 500, ImageFormat::Png);
    let message = alice.share(&room, "sea & sun.png", &bytes).await;
    assert_eq!(
        (&message["file_name"], &message["message_type"]),
        (&json!("sea & sun.png"), &json!("image"))
    );
    let attachment = &message["attachment"];
    assert_eq!((&attachment["width"], &attachment["height"]), (&json!(1000), &json!(500)));
    assert_eq!(
        (&attachment["size"], &attachment["content_type"]),
        (&json!(bytes.len()), &json!("image/png"))
    );

    let whole = alice.load(&message["file_path"]).await;
    assert_eq!(whole.status(), 200);
    let headers = whole.headers().clone();
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["content-disposition"], "inline; filename=\"sea & sun.png\"");
    assert_eq!(headers["content-length"], bytes.len().to_string());
    assert_eq!(headers["cache-control"], "private, no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(whole.bytes().await.unwrap(), bytes);

    let small = alice.load(&attachment["thumbnail_path"]).await;
    assert_eq!(
        (small.status(), &small.headers()["content-type"]),
        (StatusCode::OK, &"image/jpeg".parse().unwrap())
    );
    let small = image::load_from_memory(&small.bytes().await.unwrap()).unwrap();
    assert_eq!((small.width(), small.height()), (640, 320));
}

#[tokio::test]
async fn what_could_run_is_only_ever_saved() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let gif = picture(2, 2, ImageFormat::Gif);
    let archive = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let cases: [(&str, Vec<u8>); 10] = [
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec()),
        ("a.html", b"<!DOCTYPE html><script>alert(1)</script>".to_vec()),
        ("a.xhtml", b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>".to_vec()),
        ("a.pdf", b"%PDF-1.7\n".to_vec()),
        ("label.png", b"<html><script>alert(1)</script>".to_vec()),
        ("magic.png", b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>".to_vec()),
        ("gifar.gif", [&gif[..], archive].concat()),
        ("script.gif", b"GIF89a/*<script>*/=1;alert(1)".to_vec()),
        ("half.jpg", picture(300, 300, ImageFormat::Jpeg)[..200].to_vec()),
        ("a.txt", b"hello".to_vec()),
    ];
    for (name, bytes) in cases {
        let message = alice.share(&room, name, &bytes).await;
        let answer = alice.load(&message["file_path"]).await;
        let headers = answer.headers();
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert!(disposition.starts_with("attachment;"), "{name}: {disposition}");
        assert_eq!(headers["content-type"], "application/octet-stream", "{name}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{name}");
        assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'", "{name}");
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{name}");
    }
}

#[tokio::test]
async fn parts_of_a_file_are_answered() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let path = alice.share(&room, "digits", b"0123456789").await["file_path"].clone();
    let tag = alice.load(&path).await.headers()["etag"].clone();
    for (range, status, bytes, told) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-1", 206, "9", Some("bytes 9-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("nonsense", 200, "0123456789", None),
    ] {
        let answer =
            alice.load_with(&path, HeaderMap::from_iter([(RANGE, range.parse().unwrap())])).await;
        assert_eq!(answer.status(), status, "{range}");
        let content_range =
            answer.headers().get("content-range").map(|told| told.to_str().unwrap());
        assert_eq!(content_range, told, "{range}");
        assert_eq!(answer.headers()["content-length"], bytes.len().to_string(), "{range}");
        assert_eq!(answer.text().await.unwrap(), bytes, "{range}");
    }
    for (version, status) in [(tag, 206), ("\"another\"".parse().unwrap(), 200)] {
        let headers =
            HeaderMap::from_iter([(RANGE, "bytes=0-0".parse().unwrap()), (IF_RANGE, version)]);
        assert_eq!(alice.load_with(&path, headers).await.status(), status);
    }
    let head = alice.client.head(alice.url(path.as_str().unwrap())).send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &"10".parse().unwrap())
    );
    assert_eq!(head.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn a_form_has_exactly_one_part() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let file = || Part::bytes(b"x".to_vec()).file_name("x");
    for (form, case) in [
        (Form::new(), "nothing"),
        (Form::new().part("image", file()), "another name"),
        (Form::new().text("name", "x").part("file", file()), "a field before"),
        (Form::new().part("file", file()).text("name", "x"), "a field behind"),
        (Form::new().part("file", file()).part("file", file()), "two files"),
    ] {
        let answer = alice.send_form(&room, form).await;
        assert_eq!(answer.status(), 422, "{case}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["code"], "invalid", "{case}");
    }
    let url = alice.url(&format!("/chat-rooms/{room}/attachments"));
    for (content_type, status) in [("application/json", 415), ("multipart/form-data", 422)] {
        let request = alice.client.post(&url).bearer_auth(&alice.token);
        let answer = request.header("content-type", content_type).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), status, "{content_type}");
    }
    server.comes_to_hold(0).await;
}

#[tokio::test]
async fn only_members_upload_and_only_whole_tokens_load() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let eve = server.sign_up("eve").await;
    let form = || Form::new().part("file", Part::bytes(b"x".to_vec()).file_name("x"));
    assert_eq!(eve.send_form(&room, form()).await.status(), 403);
    assert_eq!(eve.send_form("000000000000000000000000", form()).await.status(), 404);
    assert_eq!(eve.send_form("not-an-id", form()).await.status(), 400);
    let nobody = Person { client: Client::new(), address: eve.address, token: String::new() };
    assert_eq!(nobody.send_form(&room, form()).await.status(), 401);

    let message = alice.share(&room, "x", b"x").await;
    let path = message["file_path"].as_str().unwrap();
    let swapped = path.replace(&path[20..21], if &path[20..21] == "A" { "B" } else { "A" });
    for wrong in [swapped.as_str(), "/media/x", "/media/..%2f..%2fnatter.db", "/media/%00"] {
        let answer = nobody.load(&json!(wrong)).await;
        assert_eq!(answer.status(), 404, "{wrong}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "not_found");
    }
    assert_eq!(nobody.load(&message["file_path"]).await.status(), 200);
}

#[tokio::test]
async fn who_leaves_loads_nothing_any_more() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let bob = server.sign_up("bob").await;
    let request = bob.post("/join-request", &json!({"chat_room_id": room})).await;
    let answer = json!({"join_request_id": request["id"], "approval_status": true});
    alice.post("/handle-join-request", &answer).await;
    let message = bob.share(&room, "x", b"x").await;
    let leave = bob.client.delete(bob.url(&format!("/chat-rooms/{room}/members/me")));
    assert_eq!(leave.bearer_auth(&bob.token).send().await.unwrap().status(), 204);
    assert_eq!(bob.load(&message["file_path"]).await.status(), 404);
}

#[tokio::test]
async fn names_are_for_show_and_lead_nowhere() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let long = format!("{}.png", "a".repeat(300));
    for (given, shown) in [
        ("../../x", "x"),
        ("..\\x", "x"),
        ("/etc/passwd", "passwd"),
        ("%2e%2e%2f", "file"),
        ("CON", "_CON"),
        ("", "file"),
        ("\u{202e}gnp.exe", "gnp.exe"),
        ("Grüße.txt", "Grüße.txt"),
        (long.as_str(), &format!("{}.png", "a".repeat(251))),
    ] {
        let upload = alice.upload(&room, given, b"x").await;
        assert_eq!(upload["file_name"], shown, "{given:?}");
        assert_eq!((&upload["size"], &upload["content_type"]), (&json!(1), &json!("text/plain")));
    }
    let entries = std::fs::read_dir(server.folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !name.to_str().unwrap().starts_with("natter.db"));
    names.sort();
    assert_eq!(names, ["media", "secret.key"]);
    assert_eq!(server.files(), 9);
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_and_leaves_nothing() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let limit = 1 << 20;
    let part = |size: usize| Form::new().part("file", Part::bytes(vec![7; size]).file_name("x"));
    assert_eq!(alice.send_form(&room, part(limit)).await.status(), 201);
    for size in [limit + 1, 4 * limit] {
        let answer = alice.send_form(&room, part(size)).await;
        assert_eq!(answer.status(), 413, "{size}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "too_large");
    }

    // Told at once, before anything is sent.
    let mut announced = alice.begin_upload(&room, "Content-Length: 99999999999").await;
    assert_eq!(status_of(&mut announced).await, 413);

    // Told when it is crossed, though nothing says how much there is.
    let mut endless = alice.begin_upload(&room, "Transfer-Encoding: chunked").await;
    let (mut reading, mut writing) = endless.split();
    let head = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
    let send = async {
        writing.write_all(format!("{:x}\r\n{head}\r\n", head.len()).as_bytes()).await?;
        loop {
            writing.write_all(b"1000\r\n").await?;
            writing.write_all(&[7; 0x1000]).await?;
            writing.write_all(b"\r\n").await?;
        }
    };
    let mut status = [0; 12];
    tokio::select! {
        ended = send => { let _: Result<(), std::io::Error> = ended; panic!("cut off before it was told") }
        read = reading.read_exact(&mut status) => { read.unwrap(); }
    }
    assert_eq!(&status[9..], b"413");
    server.comes_to_hold(1).await;
}

#[tokio::test]
async fn what_is_around_a_file_cannot_be_endless() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    for start in ["no boundary, ever", "--B\r\nX-Endless: "] {
        let mut stream = alice.begin_upload(&room, "Transfer-Encoding: chunked").await;
        let (mut reading, mut writing) = stream.split();
        let send = async {
            writing.write_all(format!("{:x}\r\n{start}\r\n", start.len()).as_bytes()).await?;
            loop {
                writing.write_all(b"1000\r\n").await?;
                writing.write_all(&[b'x'; 0x1000]).await?;
                writing.write_all(b"\r\n").await?;
            }
        };
        let mut status = [0; 12];
        tokio::select! {
            ended = send => { let _: Result<(), std::io::Error> = ended; panic!("cut off before it was told") }
            read = reading.read_exact(&mut status) => { read.unwrap(); }
        }
        assert_eq!(&status[9..], b"422", "{start}");
    }
}

#[tokio::test]
async fn uploads_that_stall_hold_nobody_up_and_leave_nothing() {
    let server = Server::start().await;
    let (alice, room) = server.with_room().await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = alice.begin_upload(&room, "Content-Length: 900000").await;
        let head = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // Enough that a part of it is written.
        stream.write_all(&[7; 600_000]).await.unwrap();
        stalled.push(stream);
    }
    server.comes_to_hold(20).await;
    let photo = picture(700, 700, ImageFormat::Jpeg);
    let upload = alice.share(&room, "x", &photo);
    let message = tokio::time::timeout(Duration::from_secs(10), upload).await.unwrap();
    assert_eq!(alice.load(&message["file_path"]).await.status(), 200);
    drop(stalled);
    // The picture and its thumbnail.
    server.comes_to_hold(2).await;
}
