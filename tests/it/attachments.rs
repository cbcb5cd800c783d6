//! Files as use cases: who may put them into a room, who may load them and until when, and what is
//! collected.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;
use natter::api::{ErrorCode, Variant};
use natter::app::App;
use natter::config::{ByteSize, Config};
use natter::domain::attachment::Upload;
use natter::domain::event::MemberAdded;
use natter::domain::{
    Attachment, AttachmentId, Body, ClientId, Email, Event, MembershipId, Message, MessageType,
    Nonce, RemovalReason, Role, RoomId, Seq, Timestamp, User, UserId, Username,
};
use natter::jobs::media_gc::{self, Removed};
use natter::node::assemble;
use natter::service::{Error, attachments};
use natter::store::{Access, Appended, NewRoom, NewUser, UserChange};

use crate::support::{Shelf, on_every_shelf};

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A group room of two members, and somebody else.
struct World {
    app: App,
    room: RoomId,
    alice: User,
    bob: User,
    eve: User,
    shelf: Shelf,
    _folder: tempfile::TempDir,
}

async fn app(folder: &Path, config: Config) -> App {
    assemble(Config { data_dir: folder.to_owned(), ..config }, Access::Node).await.unwrap()
}

impl World {
    async fn on(shelf: Shelf) -> Self {
        Self::with(Config::default(), shelf).await
    }

    async fn with(config: Config, shelf: Shelf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { media: shelf.config(), ..config };
        let app = app(folder.path(), config).await;
        let [alice, bob, eve] = [("alice", 1), ("bob", 2), ("eve", 3)].map(new_user);
        let (alice, bob, eve) = (
            app.store.create_user(alice).await.unwrap(),
            app.store.create_user(bob).await.unwrap(),
            app.store.create_user(eve).await.unwrap(),
        );
        let id = RoomId::new(1, 1);
        let events = vec![
            event(id, 1, &alice, added(&alice, Role::Owner)),
            event(id, 2, &alice, added(&bob, Role::Member)),
        ];
        let (name, owner) = ("lobby".to_owned(), alice.id);
        let room = NewRoom { id, name, owner, pair: None, created_at: Timestamp(1), events };
        app.store.create_room(room).await.unwrap();
        Self { app, room: id, alice, bob, eve, shelf, _folder: folder }
    }

    async fn upload(&self, user: &User, bytes: &[u8]) -> Result<Upload, Error> {
        let begun = attachments::begin(&self.app, user.id, self.room).await;
        let mut receiving = begun?;
        receiving.write(bytes).await?;
        receiving.finish("../a file.txt").await
    }

    /// A message of alice's with the file, at the end of the log.
    async fn send(&self, upload: &Upload) -> Seq {
        let client_id = ClientId::stored("one".to_owned());
        let id = upload.attachment.id;
        self.app.store.attach(id, self.room, self.alice.id, &client_id).await.unwrap();
        let body = message(&self.alice, upload.attachment.clone());
        let seq = self.write(body, Some(client_id)).await;
        assert_eq!(self.app.store.claim_uploads(Timestamp::now().plus(DAY), 10).await.unwrap(), []);
        seq
    }

    async fn write(&self, body: Body, client_id: Option<ClientId>) -> Seq {
        let tail = self.app.store.tail(self.room).await.unwrap().unwrap();
        let event = event(self.room, tail.seq.0 + 1, &self.alice, body);
        let ordinal = tail.ordinal + u64::from(event.body.is_message());
        let event = Event { client_id, ordinal, ..event };
        let seq = event.seq;
        assert!(matches!(self.app.store.append(&[event]).await, Appended::All));
        seq
    }

    fn link(&self, upload: &Upload, reader: &User) -> String {
        let links = &self.app.media_links;
        let path = links.sign(upload.attachment.id, reader.id, Variant::Original, Timestamp::now());
        path.strip_prefix("/media/").unwrap().to_owned()
    }

    async fn load(&self, token: &str) -> Result<Vec<u8>, Error> {
        self.load_at(token, Timestamp::now()).await
    }

    async fn load_at(&self, token: &str, now: Timestamp) -> Result<Vec<u8>, Error> {
        let file = attachments::load(&self.app, token, now).await?;
        let size = file.object.size();
        let bytes = file.object.read(0..size).await?;
        Ok(bytes.map_ok(|next| next.to_vec()).try_concat().await.unwrap())
    }
}

on_every_shelf![
    a_member_uploads_and_every_member_loads_by_a_link_of_their_own,
    only_members_upload,
    a_link_ends_with_its_time_and_is_good_for_its_reader_alone,
    who_is_out_of_the_room_or_shut_out_loads_nothing_any_more,
    who_was_let_in_just_now_is_out_within_moments,
    what_is_cleared_cannot_be_loaded_and_is_collected_at_once,
    the_files_of_a_deleted_room_go_with_it,
    what_is_not_sent_within_a_day_is_collected_and_what_is_sent_stays,
    bytes_that_a_crash_left_without_an_upload_are_collected,
    a_file_over_its_limit_leaves_nothing,
];

fn new_user((name, number): (&str, u64)) -> NewUser {
    NewUser {
        id: UserId::new(1, number),
        email: Email::parse(format!("{name}@example.org")).unwrap(),
        username: Username::parse(name).unwrap(),
        password_hash: String::new(),
        is_admin: false,
        created_at: Timestamp(1),
    }
}

fn event(room: RoomId, seq: u64, sender: &User, body: Body) -> Event {
    Event {
        room,
        seq: Seq(seq),
        ordinal: 0,
        sender: sender.id,
        nonce: Nonce([u8::try_from(seq).unwrap(); 16]),
        client_id: None,
        timestamp: Timestamp(1),
        body,
    }
}

fn added(user: &User, role: Role) -> Body {
    Body::MemberAdded(MemberAdded {
        membership: MembershipId::from_bytes(*user.id.as_bytes()),
        user: user.id,
        email: user.email.clone(),
        username: user.username.clone(),
        role,
        request: None,
    })
}

fn removed(user: &User) -> Body {
    let username = user.username.clone();
    Body::MemberRemoved { user: user.id, username, reason: RemovalReason::Removed }
}

fn message(sender: &User, attachment: Attachment) -> Body {
    Body::Message(Message {
        sender: sender.id,
        username: sender.username.clone(),
        text: String::new(),
        message_type: MessageType::File,
        attachment: Some(attachment),
        digest: [0; 16],
    })
}

fn is_not_found(loaded: &Result<Vec<u8>, Error>) -> bool {
    matches!(loaded, Err(error) if error.code() == ErrorCode::NotFound)
}

async fn a_member_uploads_and_every_member_loads_by_a_link_of_their_own(shelf: Shelf) {
    let world = World::on(shelf).await;
    let upload = world.upload(&world.alice, b"hello").await.unwrap();
    let file = &upload.attachment;
    assert_eq!((file.file_name.as_str(), file.size), ("a file.txt", 5));
    assert_eq!(file.content_type, "text/plain");
    world.send(&upload).await;
    for reader in [&world.alice, &world.bob] {
        assert_eq!(world.load(&world.link(&upload, reader)).await.unwrap(), b"hello");
    }
}

async fn only_members_upload(shelf: Shelf) {
    let world = World::on(shelf).await;
    let outsider = world.upload(&world.eve, b"x").await.unwrap_err();
    assert_eq!(outsider.code(), ErrorCode::Forbidden);
    let nowhere = attachments::begin(&world.app, world.alice.id, RoomId::new(9, 9)).await;
    assert_eq!(nowhere.unwrap_err().code(), ErrorCode::NotFound);
    let (alice, bob) = (world.alice.id, world.bob.id);
    let private = RoomId::new(2, 2);
    let events = vec![
        event(private, 1, &world.alice, added_as(&world.alice, 1)),
        event(private, 2, &world.alice, added_as(&world.bob, 2)),
    ];
    let pair = Some(natter::domain::membership::sorted_pair(alice, bob));
    let name = "alice, bob".to_owned();
    let room = NewRoom { id: private, name, owner: alice, pair, created_at: Timestamp(1), events };
    world.app.store.create_room(room).await.unwrap();
    let outsider = attachments::begin(&world.app, world.eve.id, private).await.unwrap_err();
    let unknown =
        attachments::begin(&world.app, world.eve.id, RoomId::new(9, 9)).await.unwrap_err();
    assert_eq!(outsider.to_string(), unknown.to_string(), "a private room of others is unknown");
    assert_eq!(outsider.code(), ErrorCode::NotFound);
}

fn added_as(user: &User, membership: u64) -> Body {
    let Body::MemberAdded(added) = added(user, Role::Member) else { unreachable!() };
    Body::MemberAdded(MemberAdded { membership: MembershipId::new(9, membership), ..added })
}

async fn a_link_ends_with_its_time_and_is_good_for_its_reader_alone(shelf: Shelf) {
    let world = World::on(shelf).await;
    let upload = world.upload(&world.alice, b"hello").await.unwrap();
    world.send(&upload).await;
    let link = world.link(&upload, &world.bob);
    let end = Timestamp::now().plus(HALF_AN_HOUR + Duration::from_secs(61));
    assert!(is_not_found(&world.load_at(&link, end).await));
    assert!(is_not_found(&world.load(&world.link(&upload, &world.eve)).await), "not a member");
    let other = AttachmentId::new(5, 5);
    let links = &world.app.media_links;
    let unknown = links.sign(other, world.bob.id, Variant::Original, Timestamp::now());
    assert!(is_not_found(&world.load(unknown.strip_prefix("/media/").unwrap()).await));
    let no_thumbnail =
        links.sign(upload.attachment.id, world.bob.id, Variant::Thumbnail, Timestamp::now());
    assert!(is_not_found(&world.load(no_thumbnail.strip_prefix("/media/").unwrap()).await));
    for malformed in ["", "x", "../../natter.db", "%00"] {
        assert!(is_not_found(&world.load(malformed).await), "{malformed}");
    }
    assert_eq!(world.load(&link).await.unwrap(), b"hello");
}

async fn who_is_out_of_the_room_or_shut_out_loads_nothing_any_more(shelf: Shelf) {
    let world = World::on(shelf).await;
    let upload = world.upload(&world.alice, b"hello").await.unwrap();
    world.send(&upload).await;
    let (alices, bobs) = (world.link(&upload, &world.alice), world.link(&upload, &world.bob));
    world.write(removed(&world.bob), None).await;
    assert!(is_not_found(&world.load(&bobs).await));
    let shut = UserChange { is_disabled: Some(true), ..UserChange::default() };
    // The first account administers, and the last that does cannot be shut.
    let admin = UserChange { is_admin: Some(true), ..UserChange::default() };
    world.app.store.update_user(world.eve.id, admin).await.unwrap();
    world.app.store.update_user(world.alice.id, shut).await.unwrap();
    assert!(is_not_found(&world.load(&alices).await));
}

async fn who_was_let_in_just_now_is_out_within_moments(shelf: Shelf) {
    let world = World::on(shelf).await;
    let upload = world.upload(&world.alice, b"hello").await.unwrap();
    world.send(&upload).await;
    let link = world.link(&upload, &world.bob);
    assert_eq!(world.load(&link).await.unwrap(), b"hello");
    world.write(removed(&world.bob), None).await;
    let until_refused = async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while !is_not_found(&world.load(&link).await) {
            again.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), until_refused).await.unwrap();
}

async fn what_is_cleared_cannot_be_loaded_and_is_collected_at_once(shelf: Shelf) {
    let world = World::on(shelf).await;
    let upload = world.upload(&world.alice, b"hello").await.unwrap();
    let seq = world.send(&upload).await;
    let link = world.link(&upload, &world.bob);
    assert_eq!(world.load(&link).await.unwrap(), b"hello");
    world.write(Body::Cleared { through: seq }, None).await;
    assert!(is_not_found(&world.load(&link).await));
    let removed = media_gc::run_once(&world.app, Timestamp::now()).await.unwrap();
    assert_eq!(removed, Removed { uploads: 1, ..Removed::default() });
    assert_eq!(world.shelf.files().await, 0);
}

async fn the_files_of_a_deleted_room_go_with_it(shelf: Shelf) {
    let world = World::on(shelf).await;
    let upload = world.upload(&world.alice, b"hello").await.unwrap();
    world.send(&upload).await;
    world.upload(&world.alice, b"not sent").await.unwrap();
    world.write(Body::RoomDeleted, None).await;
    assert!(is_not_found(&world.load(&world.link(&upload, &world.alice)).await));
    let removed = media_gc::run_once(&world.app, Timestamp::now()).await.unwrap();
    assert_eq!((removed.uploads, world.shelf.files().await), (2, 0));
}

async fn what_is_not_sent_within_a_day_is_collected_and_what_is_sent_stays(shelf: Shelf) {
    let world = World::on(shelf).await;
    let sent = world.upload(&world.alice, b"sent").await.unwrap();
    world.send(&sent).await;
    world.upload(&world.alice, b"not sent").await.unwrap();
    let now = Timestamp::now();
    let early = media_gc::run_once(&world.app, now.plus(DAY / 2)).await.unwrap();
    assert_eq!(early, Removed::default());
    let late = now.plus(DAY + Duration::from_secs(60));
    assert_eq!(media_gc::run_once(&world.app, late).await.unwrap().uploads, 1);
    assert_eq!(media_gc::run_once(&world.app, late).await.unwrap().uploads, 0);
    assert_eq!(world.load(&world.link(&sent, &world.bob)).await.unwrap(), b"sent");
    assert_eq!(world.shelf.files().await, 1);
}

async fn bytes_that_a_crash_left_without_an_upload_are_collected(shelf: Shelf) {
    let world = World::on(shelf).await;
    let kept = world.upload(&world.alice, b"kept").await.unwrap();
    world.send(&kept).await;
    let mut writer = world.app.media.writer(AttachmentId::new(1, 77), 10);
    writer.write(b"orphan").await.unwrap();
    writer.finish().await.unwrap();
    let mut orphans = 0;
    // A round of runs: each sweeps one part.
    let start = Timestamp::now().plus(2 * DAY);
    for run in 0..natter::media::SHARDS {
        let now = start.plus(media_gc::INTERVAL * u32::try_from(run).unwrap());
        orphans += media_gc::run_once(&world.app, now).await.unwrap().orphans;
    }
    assert_eq!((orphans, world.shelf.files().await), (1, 1));
}

async fn a_file_over_its_limit_leaves_nothing(shelf: Shelf) {
    let config = Config {
        upload_limit: ByteSize::new(2000),
        inline_file_limit: ByteSize::new(1000),
        ..Config::default()
    };
    let world = World::with(config, shelf).await;
    assert!(world.upload(&world.alice, &[1; 2000]).await.is_ok());
    let over = world.upload(&world.alice, &[1; 2001]).await.unwrap_err();
    assert_eq!(over.code(), ErrorCode::TooLarge);
    let (app, alice, room) = (&world.app, world.alice.id, world.room);
    assert!(attachments::inline(app, alice, room, "", &[1; 1000]).await.is_ok());
    let over = attachments::inline(app, alice, room, "", &[1; 1001]).await.unwrap_err();
    assert_eq!(over.code(), ErrorCode::TooLarge);
    let outsider = attachments::inline(app, world.eve.id, room, "", &[1]).await.unwrap_err();
    assert_eq!(outsider.code(), ErrorCode::Forbidden);
    assert_eq!(world.shelf.files().await, 2);
}
