//! Messages: sending them, and reading them back in pages.
//!
//! Sending has two steps, so that a transport can keep the order of one connection without waiting for the store:
//! [`prepare`] checks and makes a command, the room's writer decides and stores it, and [`settle`] takes back what
//! was held for a command that was refused. [`post`] is all of it for who can wait.

use super::memberships::{refusal_of_outsider, require};
use super::{Error, Result, new_nonce, parse_id, spending};
use super::{attachments, counted};
use crate::api::{MessageView, NewMessage, TypingSignal};
use crate::app::App;
use crate::domain::attachment::Upload;
use crate::domain::message::Digest;
use crate::domain::room::Tail;
use crate::domain::{
    AttachmentId, Body, ClientId, Draft, Event, Message, MessageId, MessageText, MessageType,
    RoomId, Seq, User, UserId,
};
use crate::metrics::Entrance;
use crate::room::{Authority, Change, Command, Committed, Refused, TYPING_EXPIRES};
use crate::store::{History, StoreError};

/// Rooms that are cleared at once.
const CLEARED_AT_ONCE: usize = 8;

/// Posts a message and answers with it once it is stored. `inline` is a file that came with it.
///
/// # Errors
///
/// - As [`prepare`].
/// - [`Error::NotFound`] if the room does not exist or is a private one of others, [`Error::Forbidden`] for an
///   outsider of a group.
/// - [`Error::ClientIdConflict`] if the `client_id` stands for other content.
/// - [`Error::Overloaded`]; [`Error::Unknown`] and [`Error::Unavailable`], after which a retry with the same
///   `client_id` is safe.
pub async fn post(
    app: &App,
    author: &User,
    room: RoomId,
    new: NewMessage,
    inline: Option<InlineFile<'_>>,
) -> Result<Committed> {
    app.metrics.messages.received.of(Entrance::Http).inc();
    let posted = posted(app, author, room, new, inline).await;
    counted::answered(app, posted.as_ref());
    posted
}

async fn posted(
    app: &App,
    author: &User,
    room: RoomId,
    new: NewMessage,
    inline: Option<InlineFile<'_>>,
) -> Result<Committed> {
    let mut step = app.telemetry.begin("post_message");
    step.note("natter.room", || room.to_string());
    let prepared = prepare(app, author, room, new, inline).await;
    let command = prepared.inspect_err(|error| {
        step.note("natter.outcome", || counted::refusal(error));
    })?;
    let held = Held::of(&command);
    let outcome = app.rooms.commit_traced(room, command, step.place()).await;
    step.note("natter.outcome", || counted::outcome(&outcome));
    drop(step);
    settle(app, held, &outcome);
    match outcome {
        Ok(committed) => Ok(committed),
        Err(Refused::NotFound) => Err(refusal_of_outsider(app, room).await?),
        Err(refused) => Err(refused.into()),
    }
}

/// Checks a message, stores the file inside it, and makes what the room's writer is to decide: whether `author` may post is asked there.
/// Without an attachment it does not wait. What it attaches is free again once [`settle`] is told of a refusal.
///
/// # Errors
///
/// - [`Error::RateLimited`] if the author sends too much.
/// - As [`attachments::inline`] for the file inside it.
/// - [`Error::TooLarge`] if the text is longer than a message may be.
/// - [`Error::Invalid`], [`Error::Malformed`] if its parts break rules.
/// - [`Error::NotFound`] if the attachment is none of the author's in this room, `conflict` if another
///   message has it.
/// - [`Error::Unavailable`] if an attachment cannot be looked up.
pub async fn prepare(
    app: &App,
    author: &User,
    room: RoomId,
    new: NewMessage,
    inline: Option<InlineFile<'_>>,
) -> Result<Command> {
    spending::message(app, author.id)?;
    let named = new.attachment_id.as_deref();
    let named = named.map(|id| parse_id("attachment_id", id)).transpose()?;
    if inline.is_some() && named.is_some() {
        return Err(Error::invalid("attachment_id", "must not be given beside a file"));
    }
    if new.content.len() > MessageText::MAX_BYTES {
        let most = MessageText::MAX_BYTES;
        return Err(Error::TooLarge(format!("The text must be at most {most} bytes of UTF-8.")));
    }
    let text = MessageText::parse(new.content)?;
    let client_id = new.client_id.map(ClientId::parse).transpose()?;
    let is_attached = inline.is_some() || named.is_some();
    let nonce = new_nonce();
    let key = client_id.clone().unwrap_or_else(|| ClientId::minted(nonce));
    // Checked with what the author says it is, before anything is stored or attached for it.
    let said = new.message_type.unwrap_or(match is_attached {
        false => MessageType::Text,
        true => MessageType::File,
    });
    let draft = Draft::parse(room, text, said, client_id, is_attached)?;
    let attachment = match inline {
        Some(InlineFile { name, bytes }) => {
            Some(attachments::inline(app, author.id, room, name, bytes).await?.attachment.id)
        }
        None => named,
    };
    let upload = match attachment {
        None => None,
        Some(id) => Some(attach(app, author.id, room, id, &key).await?),
    };
    let message_type = match (&upload, new.message_type) {
        (Some(upload), None) if upload.attachment.image.is_some() => MessageType::Image,
        _ => said,
    };
    let (digest, digest_before) = digests(app, &draft.text, message_type, upload.as_ref());
    let message = Message {
        sender: author.id,
        username: author.username.clone(),
        digest,
        text: draft.text.as_str().to_owned(),
        message_type,
        attachment: upload.map(|upload| upload.attachment),
    };
    let (change, authority) = (Change::Post { message, digest_before }, Authority::Member);
    Ok(Command { sender: author.id, client_id: key, nonce, change, authority })
}

/// A file that comes inside a message.
#[derive(Debug, Clone, Copy)]
pub struct InlineFile<'a> {
    /// What its sender calls it.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

async fn attach(
    app: &App,
    author: UserId,
    room: RoomId,
    id: AttachmentId,
    key: &ClientId,
) -> Result<Upload> {
    match app.store.attach(id, room, author, key).await {
        Err(StoreError::NotFound) => Err(Error::NotFound("Attachment")),
        other => Ok(other?),
    }
}

/// Stand for the content, under the secret and under the one before it: the same bytes in another upload are the same content.
fn digests(
    app: &App,
    text: &MessageText,
    message_type: MessageType,
    upload: Option<&Upload>,
) -> (Digest, Option<Digest>) {
    let kind: &[u8] = match message_type {
        MessageType::Text => b"text",
        MessageType::Image => b"image",
        MessageType::File => b"file",
    };
    let (bytes, name): (&[u8], &str) = match upload {
        None => (&[], ""),
        Some(upload) => (&upload.sha256, &upload.attachment.file_name),
    };
    let parts = [text.as_str().as_bytes(), kind, bytes, name.as_bytes()];
    let short = |signed: [u8; 32]| {
        let mut digest = Digest::default();
        let length = digest.len();
        digest.copy_from_slice(&signed[..length]);
        digest
    };
    let keys = &app.keys.digest;
    (short(keys.sign(&parts)), keys.sign_as_before(&parts).map(short))
}

/// An upload that is held for a command whose outcome is not known yet.
#[derive(Debug, Clone)]
pub struct Held {
    attachment: AttachmentId,
    client_id: ClientId,
}

impl Held {
    /// What [`prepare`] holds for `command`.
    pub fn of(command: &Command) -> Option<Self> {
        let Change::Post { message, .. } = &command.change else { return None };
        let attachment = message.attachment.as_ref()?;
        Some(Self { attachment: attachment.id, client_id: command.client_id.clone() })
    }
}

/// Gives an upload free that was held for a command which did not store it: one that was refused, or that
/// repeated a message with another upload of the same file. Returns at once. Where the outcome is unknown, or a retry
/// with the same `client_id` is invited, it stays for that; the collector takes what no message comes of.
pub fn settle(app: &App, held: Option<Held>, outcome: &std::result::Result<Committed, Refused>) {
    let Some(Held { attachment, client_id }) = held else { return };
    let is_free = match outcome {
        Ok(committed) => !holds(&committed.event, attachment),
        Err(Refused::Unknown) => false,
        // The same message comes again, or is on another way already: it finds its upload as it left it.
        Err(Refused::Overloaded | Refused::Unavailable(_)) => client_id.given().is_none(),
        Err(_) => true,
    };
    if !is_free {
        return;
    }
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        if let Err(error) = app.store.detach(attachment, &client_id).await {
            tracing::warn!(%error, attachment.id = %attachment, "an upload waits for the collector");
        }
    });
}

fn holds(event: &Event, attachment: AttachmentId) -> bool {
    let Body::Message(message) = &event.body else { return false };
    message.attachment.as_ref().is_some_and(|held| held.id == attachment)
}

/// The stored message as `reader` sees it.
///
/// # Errors
///
/// [`Error::NotFound`] if nothing is left of it, which a retry may find.
pub fn view(app: &App, event: &Event, reader: UserId) -> Result<MessageView> {
    app.rooms.teller().message(event, reader).ok_or(Error::NotFound("Message"))
}

/// Up to `limit` messages of `room` as `reader`, who is a member, sees them: oldest first, none beyond `through`.
///
/// # Errors
///
/// If the store does not answer.
pub async fn page(
    app: &App,
    reader: UserId,
    room: RoomId,
    (from, through): (History, Seq),
    limit: u32,
) -> Result<Vec<MessageView>> {
    let events = app.store.messages(room, from, through, limit).await?;
    Ok(events.iter().filter_map(|event| app.rooms.teller().message(event, reader)).collect())
}

/// The place of a message of `room`, whose log ends at `tail`.
///
/// # Errors
///
/// [`Error::NotFound`] for a message of another room, of another life of the store, or beyond the tail.
pub fn position(app: &App, room: RoomId, tail: Tail, id: MessageId) -> Result<Seq> {
    let is_here = id.room == room && id.epoch == app.epoch;
    if is_here && id.seq > Seq::ZERO && id.seq <= tail.seq {
        Ok(id.seq)
    } else {
        Err(Error::NotFound("Message"))
    }
}

/// Which part of a room's history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its end.
    Newest,
    /// What precedes a message.
    Before(MessageId),
    /// What follows a message.
    After(MessageId),
    /// A message, with half of the page before it and the rest behind.
    Around(MessageId),
}

/// A page of the history of `room` for `reader`: at most `limit` messages, oldest first.
///
/// # Errors
///
/// As [`require`]; [`Error::NotFound`] as [`position`].
pub async fn history(
    app: &App,
    reader: UserId,
    room: RoomId,
    part: Part,
    limit: u32,
) -> Result<Vec<MessageView>> {
    require(app, room, reader).await?;
    let tail = tail(app, room).await?;
    let place = |id| position(app, room, tail, id);
    let read = async |from, limit| page(app, reader, room, (from, tail.seq), limit).await;
    match part {
        Part::Newest => read(History::Before(tail.seq.next()), limit).await,
        Part::Before(id) => read(History::Before(place(id)?), limit).await,
        Part::After(id) => read(History::After(place(id)?), limit).await,
        Part::Around(id) => {
            let seq = place(id)?;
            let mut messages = read(History::Before(seq), limit / 2).await?;
            let rest = limit - u32::try_from(messages.len()).unwrap_or(limit);
            messages.extend(read(History::After(Seq(seq.0 - 1)), rest).await?);
            Ok(messages)
        }
    }
}

/// One message of `room` for `reader`.
///
/// # Errors
///
/// As [`require`]; [`Error::NotFound`] as [`position`], and if nothing is left of it or it is none.
pub async fn get(app: &App, reader: UserId, room: RoomId, id: MessageId) -> Result<MessageView> {
    require(app, room, reader).await?;
    let seq = position(app, room, tail(app, room).await?, id)?;
    let event = app.store.event(room, seq).await?.ok_or(Error::NotFound("Message"))?;
    view(app, &event, reader)
}

async fn tail(app: &App, room: RoomId) -> Result<Tail> {
    app.store.tail(room).await?.ok_or(Error::NotFound("Room"))
}

/// Tells those who are present in `room` that `user` is typing, or has stopped. What says the same again within
/// 2 s is not told.
///
/// # Errors
///
/// As [`require`].
pub async fn typing(app: &App, user: &User, room: RoomId, is_typing: bool) -> Result<()> {
    require(app, room, user.id).await?;
    // A room that is not live here has nobody who could be told.
    let Some(live) = app.rooms.known(room) else { return Ok(()) };
    if live.is_news_of_typing(user.id, is_typing) {
        let signal = TypingSignal {
            chat_room_id: room,
            user_id: user.id,
            username: user.username.as_str().to_owned(),
            is_typing,
            expires_in: TYPING_EXPIRES.as_secs(),
        };
        app.rooms.signal(room, "typing", &signal, user.id);
    }
    Ok(())
}

/// Messages of all rooms, newest first, for administration.
///
/// # Errors
///
/// If the store does not answer.
pub async fn all(app: &App, admin: UserId, skip: u32, limit: u32) -> Result<Vec<MessageView>> {
    let events = app.store.all_messages(skip, limit).await?;
    Ok(events.iter().filter_map(|event| app.rooms.teller().message(event, admin)).collect())
}

/// Blanks every message of every room, in the right of administration. Positions go on counting.
///
/// # Errors
///
/// [`Error::Overloaded`], [`Error::Unknown`], [`Error::Unavailable`] of the first room in which it failed; doing it again does
/// the rest.
pub async fn clear_all(app: &App, admin: UserId) -> Result<()> {
    use futures::TryStreamExt;
    let mut page = crate::domain::Page::first(500);
    loop {
        let rooms = app.store.rooms(None, page).await?;
        let Some(last) = rooms.last() else { return Ok(()) };
        page.after = Some(last.id);
        futures::stream::iter(rooms.into_iter().map(Ok::<_, Error>))
            .try_for_each_concurrent(CLEARED_AT_ONCE, |room| clear(app, admin, room.id))
            .await?;
    }
}

async fn clear(app: &App, admin: UserId, room: RoomId) -> Result<()> {
    let newest = History::Before(Seq(u64::MAX));
    if app.store.messages(room, newest, Seq(u64::MAX), 1).await?.is_empty() {
        return Ok(());
    }
    let command = super::rooms::command(admin, Change::Clear, Authority::Service);
    match app.rooms.commit(room, command).await {
        // A room that was deleted meanwhile has no messages either.
        Ok(_) | Err(Refused::NotFound) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}
