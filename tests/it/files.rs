//! Files over HTTP: up by a form, down by a signed path.

use std::io::Cursor;
use std::net::SocketAddr;
use std::time::Duration;

use image::{DynamicImage, ImageFormat, RgbImage};
use natter::config::ByteSize;
use reqwest::header::{HeaderMap, IF_RANGE, RANGE};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Person, Shelf, TestNode, on_every_shelf};

/// Where the content of a raw form's file begins.
const PART_HEAD: &str =
    "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";

/// A node, and a room of one member.
struct Hall {
    node: TestNode,
    shelf: Shelf,
    alice: Member,
}

/// Somebody who puts files into a room.
struct Member {
    person: Person,
    address: SocketAddr,
    room: String,
}

impl Hall {
    /// Of a node that takes files of at most 1 MiB.
    async fn open(shelf: Shelf) -> Self {
        Self::open_with(shelf, ByteSize::mib(1)).await
    }

    async fn open_with(shelf: Shelf, limit: ByteSize) -> Self {
        let node = TestNode::with(|config| {
            config.media = shelf.config();
            config.upload_limit = limit;
            config.inline_file_limit = ByteSize::mib(1);
        });
        let node = node.await;
        let person = node.sign_up("alice").await;
        let room = person.post("/chat-rooms", json!({"name": "lobby"})).await.body;
        let room = room["chat_room"]["id"].as_str().unwrap().to_owned();
        let alice = Member { person, address: node.addr(), room };
        Self { node, shelf, alice }
    }
}

on_every_shelf![
    a_picture_is_shown_in_place_and_has_a_smaller_one,
    what_could_run_is_only_ever_saved,
    parts_of_a_file_are_answered,
    a_form_has_exactly_one_part,
    only_members_upload_and_only_whole_tokens_load,
    who_leaves_loads_nothing_any_more,
    names_are_for_show_and_lead_nowhere,
    a_file_over_the_limit_is_refused_and_leaves_nothing,
    what_is_around_a_file_cannot_be_endless,
    uploads_that_stall_hold_nobody_up_and_leave_nothing,
];

fn one_file(name: &str, bytes: &[u8]) -> Form {
    Form::new().part("file", Part::bytes(bytes.to_vec()).file_name(name.to_owned()))
}

async fn send_form(person: &Person, room: &str, form: Form) -> Answer {
    let path = format!("/chat-rooms/{room}/attachments");
    Answer::of(person.request(Method::POST, &path).multipart(form)).await
}

impl Member {
    async fn upload(&self, name: &str, bytes: &[u8]) -> Value {
        send_form(&self.person, &self.room, one_file(name, bytes)).await.is(201)
    }

    /// Uploads and sends a file, and answers with the message.
    async fn share(&self, name: &str, bytes: &[u8]) -> Value {
        let upload = self.upload(name, bytes).await;
        let message = json!({"content": "", "attachment_id": upload["id"]});
        self.person.post(&format!("/chat-rooms/{}/messages", self.room), message).await.is(201)
    }

    /// Without a token: a signed path is enough.
    async fn load(&self, path: &Value) -> Response {
        self.load_with(path, HeaderMap::new()).await
    }

    async fn load_with(&self, path: &Value, headers: HeaderMap) -> Response {
        let nobody = Person::anonymous(format!("http://{}", self.address));
        let request = nobody.request(Method::GET, path.as_str().unwrap());
        request.headers(headers).send().await.unwrap()
    }

    /// The beginning of a raw request that uploads.
    async fn begin_upload(&self, framing: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (room, token) = (&self.room, self.person.token.as_ref().unwrap());
        let head = format!(
            "POST /chat-rooms/{room}/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: multipart/form-data; boundary=B\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// Sends `start` and then without end, in chunks, until there is an answer, and gives its status.
async fn flood(mut stream: TcpStream, start: &str) -> u16 {
    let (mut reading, mut writing) = stream.split();
    let send = async {
        writing.write_all(format!("{:x}\r\n{start}\r\n", start.len()).as_bytes()).await?;
        loop {
            writing.write_all(b"1000\r\n").await?;
            writing.write_all(&[b'x'; 0x1000]).await?;
            writing.write_all(b"\r\n").await?;
        }
    };
    tokio::select! {
        ended = send => {
            let _: Result<(), std::io::Error> = ended;
            panic!("cut off before it was told")
        }
        status = status_of(&mut reading) => status,
    }
}

/// The status that comes back on a raw connection.
async fn status_of(stream: &mut (impl AsyncRead + Unpin)) -> u16 {
    let mut head = vec![0; 12];
    let read = stream.read_exact(&mut head);
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap().unwrap();
    String::from_utf8(head).unwrap()[9..].parse().unwrap()
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(RgbImage::new(width, height)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

async fn a_picture_is_shown_in_place_and_has_a_smaller_one(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    let bytes = picture(1000, 500, ImageFormat::Png);
    let message = alice.share("sea & sun.png", &bytes).await;
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

async fn what_could_run_is_only_ever_saved(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
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
        let message = alice.share(name, &bytes).await;
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

async fn parts_of_a_file_are_answered(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    let path = alice.share("digits", b"0123456789").await["file_path"].clone();
    let tag = alice.load(&path).await.headers()["etag"].clone();
    for (range, status, bytes, told) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-1", 206, "9", Some("bytes 9-9/10")),
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
    let path_text = path.as_str().unwrap();
    let beyond = hall.node.anonymous().request(Method::GET, path_text).header(RANGE, "bytes=10-");
    let answer = Answer::of(beyond).await;
    assert_eq!(answer.header("content-range"), "bytes */10");
    answer.refused(416, "invalid");
    for (version, status) in [(tag, 206), ("\"another\"".parse().unwrap(), 200)] {
        let headers =
            HeaderMap::from_iter([(RANGE, "bytes=0-0".parse().unwrap()), (IF_RANGE, version)]);
        assert_eq!(alice.load_with(&path, headers).await.status(), status);
    }
    let head = hall.node.anonymous().request(Method::HEAD, path_text);
    let head = head.send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &"10".parse().unwrap())
    );
    assert_eq!(head.bytes().await.unwrap(), "");
}

async fn a_form_has_exactly_one_part(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    let file = || Part::bytes(b"x".to_vec()).file_name("x");
    for (form, case) in [
        (Form::new(), "nothing"),
        (Form::new().part("image", file()), "another name"),
        (Form::new().text("name", "x").part("file", file()), "a field before"),
        (Form::new().part("file", file()).text("name", "x"), "a field behind"),
        (Form::new().part("file", file()).part("file", file()), "two files"),
    ] {
        let answer = send_form(&alice.person, &alice.room, form).await;
        assert_eq!(answer.status, 422, "{case}");
        answer.refused(422, "invalid");
    }
    let path = format!("/chat-rooms/{}/attachments", alice.room);
    for (content_type, status, code) in [
        ("application/json", 415, "unsupported_media_type"),
        ("multipart/form-data", 422, "invalid"),
    ] {
        let request = alice.person.request(Method::POST, &path);
        let request = request.header("content-type", content_type).body("{}");
        Answer::of(request).await.refused(status, code);
    }
    let form = alice.person.request(Method::POST, &path).body("--B--\r\n");
    let form = form.header("content-type", "multipart/form-data; boundary=B");
    let zipped = form.header("content-encoding", "gzip");
    Answer::of(zipped).await.refused(415, "unsupported_media_type");
    hall.shelf.comes_to_hold(0).await;
}

async fn only_members_upload_and_only_whole_tokens_load(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    let eve = hall.node.sign_up("eve").await;
    let form = || one_file("x", b"x");
    let nowhere = "000000000000000000000000";
    send_form(&eve, &alice.room, form()).await.refused(403, "forbidden");
    send_form(&eve, nowhere, form()).await.refused(404, "not_found");
    send_form(&eve, "not-an-id", form()).await.refused(400, "invalid");
    let nobody = hall.node.anonymous();
    send_form(&nobody, &alice.room, form()).await.refused(401, "unauthorized");

    let message = alice.share("x", b"x").await;
    let path = message["file_path"].as_str().unwrap();
    let swapped = path.replace(&path[20..21], if &path[20..21] == "A" { "B" } else { "A" });
    for wrong in [swapped.as_str(), "/media/x", "/media/..%2f..%2fnatter.db", "/media/%00"] {
        nobody.get(wrong).await.refused(404, "not_found");
    }
    assert_eq!(nobody.get(path).await.is(200), "x");
}

async fn who_leaves_loads_nothing_any_more(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    let bob = hall.node.sign_up("bob").await;
    let room = alice.room.clone();
    let request = bob.post("/join-request", json!({"chat_room_id": room})).await.body;
    let answer = json!({"join_request_id": request["id"], "approval_status": true});
    alice.person.post("/handle-join-request", answer).await.is(200);
    let bob = Member { person: bob, address: alice.address, room };
    let message = bob.share("x", b"x").await;
    bob.person.delete(&format!("/chat-rooms/{}/members/me", bob.room)).await.is(204);
    assert_eq!(bob.load(&message["file_path"]).await.status(), 404);
}

async fn names_are_for_show_and_lead_nowhere(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
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
        let upload = alice.upload(given, b"x").await;
        assert_eq!(upload["file_name"], shown, "{given:?}");
        assert_eq!((&upload["size"], &upload["content_type"]), (&json!(1), &json!("text/plain")));
    }
    let entries = std::fs::read_dir(&hall.node.app().config.data_dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !name.to_str().unwrap().starts_with("natter.db"));
    assert_eq!(names, ["secret.key"]);
    assert_eq!(hall.shelf.files().await, 9);
}

async fn a_file_over_the_limit_is_refused_and_leaves_nothing(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    let limit = 1 << 20;
    let send = |size| send_form(&alice.person, &alice.room, one_file("x", &vec![7; size]));
    send(limit).await.is(201);
    for size in [limit + 1, 4 * limit] {
        send(size).await.refused(413, "too_large");
    }

    // Told at once, before anything is sent.
    let mut announced = alice.begin_upload("Content-Length: 99999999999").await;
    assert_eq!(status_of(&mut announced).await, 413);

    // Told when it is crossed, though nothing says how much there is.
    let endless = alice.begin_upload("Transfer-Encoding: chunked").await;
    assert_eq!(flood(endless, PART_HEAD).await, 413);
    hall.shelf.comes_to_hold(1).await;
}

async fn what_is_around_a_file_cannot_be_endless(shelf: Shelf) {
    let hall = Hall::open(shelf).await;
    let alice = &hall.alice;
    for start in ["no boundary, ever", "--B\r\nX-Endless: "] {
        let stream = alice.begin_upload("Transfer-Encoding: chunked").await;
        assert_eq!(flood(stream, start).await, 422, "{start}");
    }
}

async fn uploads_that_stall_hold_nobody_up_and_leave_nothing(shelf: Shelf) {
    const STALLED: usize = 8;
    let hall = Hall::open_with(shelf, ByteSize::mib(8)).await;
    let alice = &hall.alice;
    // Enough that a part of it is written.
    let begun = vec![7; hall.shelf.part_bytes() + 100_000];
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut stream = alice.begin_upload("Content-Length: 8000000").await;
        stream.write_all(PART_HEAD.as_bytes()).await.unwrap();
        stream.write_all(&begun).await.unwrap();
        stalled.push(stream);
    }
    hall.shelf.comes_to_hold(STALLED).await;
    let photo = picture(700, 700, ImageFormat::Jpeg);
    let upload = alice.share("x", &photo);
    let message = tokio::time::timeout(Duration::from_secs(60), upload).await.unwrap();
    assert_eq!(alice.load(&message["file_path"]).await.status(), 200);
    drop(stalled);
    // The picture and its thumbnail.
    hall.shelf.comes_to_hold(2).await;
}
