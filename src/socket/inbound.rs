//! Carries out what a client says, one after the other, in the order in which it said it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::ack::Ack;
use super::events::{InlineFile, Request};
use super::session::{Incoming, PAGE, Refused, Session};
use crate::api::{
    ChatAnswer, MarkReadAnswer, MoreMessagesAnswer, NewMessage, OpenRoomAnswer, PlainAnswer,
};
use crate::domain::{MessageId, Page, RoomId, Seq};
use crate::metrics::Entrance;
use crate::room::{self, Committed, Ended, LiveRoom, NotServed, Scope};
use crate::service::messages::{Held, Part};
use crate::service::{Error, counted, memberships, messages};

/// Bytes that the messages of one client that are being stored may add to what waits for it. Together with
/// what may wait before the next one is begun, half of what counts as lagging: nobody is cut off over their
/// own pipelined messages, however slowly they take the answers.
pub(super) const UNDER_WAY: usize = 256 * 1024;

/// What a message brings back beside its text, which comes in the acknowledgement and in the event.
const ANSWER_OVERHEAD: usize = 1024;

/// Carries out what comes until the client is gone and nothing waits any more.
pub(super) async fn carry_out(session: Arc<Session>, mut incoming: mpsc::Receiver<Incoming>) {
    loop {
        // The session holds the sending end, so its end is told by the connection's queue.
        let next = tokio::select! {
            biased;
            next = incoming.recv() => next,
            () = session.connection.outbox.closed() => incoming.try_recv().ok(),
        };
        let Some(one) = next else { return };
        session.waiting_bytes.fetch_sub(one.bytes, Ordering::SeqCst);
        one_event(&session, one).await;
    }
}

async fn one_event(session: &Arc<Session>, mut incoming: Incoming) {
    if session.connection.is_revoked() {
        return incoming
            .ack
            .refuse(&Error::Unauthorized("Your session is over; sign in again."), None);
    }
    let request = std::mem::replace(&mut incoming.request, Err(Error::Overloaded));
    let outcome = match request {
        Ok(Request::Chat { room, message, file }) => {
            return chat(session, incoming, room, message, file).await;
        }
        Ok(Request::GetMoreMessages { oldest, limit }) => {
            more_messages(session, &incoming.ack, oldest, limit).await
        }
        Ok(Request::OpenRoom { room }) => open_room(session, &incoming.ack, room).await,
        Ok(Request::CloseRoom { room }) => close_room(session, &incoming.ack, room).await,
        Ok(Request::Typing { room, is_typing }) => {
            typing(session, &incoming.ack, room, is_typing).await
        }
        Ok(Request::MarkRead { room, seq }) => mark_read(session, &incoming.ack, room, seq).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        incoming.ack.refuse(&error, None);
    }
}

/// Refuses an event before it is carried out.
pub(super) fn refuse(session: &Session, incoming: &Incoming, error: &Error) {
    let room = match &incoming.request {
        Ok(Request::Chat { room, .. }) => {
            let app = &session.sockets.app;
            app.metrics.messages.received.of(Entrance::Socket).inc();
            counted::answered(app, Err(error));
            room_of(session, *room).ok()
        }
        _ => None,
    };
    if let Some(room) = room {
        refuse_what_follows(session, room, error);
    }
    incoming.ack.refuse(error, room);
}

/// The room that an event is about.
fn room_of(session: &Session, named: Option<RoomId>) -> Result<RoomId, Error> {
    match (session.connection.scope, named) {
        (Scope::Room(own), None) => Ok(own),
        (Scope::Room(own), Some(named)) if own == named => Ok(own),
        (Scope::Room(_), Some(_)) => {
            Err(Error::invalid("chat_room_id", "must be the room of this socket, or left out"))
        }
        (Scope::Session, Some(named)) => Ok(named),
        (Scope::Session, None) => Err(Error::invalid("chat_room_id", "must be given")),
    }
}

/// From now on, whatever the client has sent to the room until now is refused: something before it was
/// refused in a way that invites to send it again, and would change places with it.
fn refuse_what_follows(session: &Session, room: RoomId, error: &Error) {
    let through = session.received.load(Ordering::SeqCst);
    let too_fast = match error {
        Error::RateLimited { detail, retry_after } => Some((*detail, *retry_after)),
        _ => None,
    };
    let mut refused = session.refused.lock().unwrap_or_else(PoisonError::into_inner);
    refused.insert(room, Refused { through, too_fast });
    drop(refused);
    session.connection.begin_anew(room);
}

/// Why the event with this number is refused for what was refused before it, if it is: for the same reason, as far as the client
/// can act on it.
fn refused_with(session: &Session, room: RoomId, number: u64) -> Option<Error> {
    let mut refused = session.refused.lock().unwrap_or_else(PoisonError::into_inner);
    let Refused { through, too_fast } = *refused.get(&room)?;
    if number > through {
        refused.remove(&room);
        return None;
    }
    Some(match too_fast {
        Some((detail, retry_after)) => Error::RateLimited { detail, retry_after },
        None => Error::Overloaded,
    })
}

async fn chat(
    session: &Arc<Session>,
    incoming: Incoming,
    room: Option<RoomId>,
    message: NewMessage,
    file: Option<InlineFile>,
) {
    let Incoming { number, ack, .. } = incoming;
    session.sockets.app.metrics.messages.received.of(Entrance::Socket).inc();
    let room = match room_of(session, room) {
        Ok(room) => room,
        Err(error) => return tell_refusal(session, &ack, None, &error),
    };
    let place = place(session, &message).await;
    let lane = session.connection.lane(room);
    if let Some(error) = refused_with(session, room, number) {
        return tell_refusal(session, &ack, Some(room), &error);
    }
    let app = &session.sockets.app;
    let mut step = app.telemetry.begin("chat");
    step.note("natter.room", || room.to_string());
    let file = file.as_ref().map(|file| messages::InlineFile {
        name: file.name.as_deref().unwrap_or_default(),
        bytes: &file.bytes,
    });
    let command = match messages::prepare(app, &session.user, room, message, file).await {
        Ok(command) => command,
        Err(error) => {
            step.note("natter.outcome", || counted::refusal(&error));
            return refuse_chat(session, &ack, room, &error);
        }
    };
    let trace = step.place();
    let held = Held::of(&command);
    let answering = Arc::clone(session);
    let reply = Box::new(move |outcome: Result<Committed, room::Refused>| {
        messages::settle(&answering.sockets.app, held, &outcome);
        step.note("natter.outcome", || counted::outcome(&outcome));
        answer_chat(answering, ack, room, outcome);
        drop(step);
        drop(place);
    });
    app.rooms.submit_traced(room, Some(lane), command, trace, reply).await;
}

/// Waits until the client has taken enough of what it was told to be told of this message as well.
async fn place(session: &Session, message: &NewMessage) -> OwnedSemaphorePermit {
    session.connection.outbox.has_drained().await;
    let weight = UNDER_WAY.min(ANSWER_OVERHEAD + 2 * message.content.len());
    let weight = u32::try_from(weight).expect("UNDER_WAY fits");
    let places = Arc::clone(&session.under_way);
    places.acquire_many_owned(weight).await.expect("it is never closed")
}

/// Tells the sender what became of a message. The answer to a stranger of the room needs a look at the store, and so a task of its own.
fn answer_chat(
    session: Arc<Session>,
    ack: Ack,
    room: RoomId,
    outcome: Result<Committed, room::Refused>,
) {
    let app = session.sockets.app.clone();
    match outcome {
        Ok(committed) => match messages::view(&app, &committed.event, session.user.id) {
            Ok(message) => {
                counted::answered(&app, Ok(&committed));
                ack.done(&ChatAnswer { message });
            }
            Err(error) => tell_refusal(&session, &ack, Some(room), &error),
        },
        Err(room::Refused::NotFound) => {
            app.tasks.spawn(async move {
                let refusal = memberships::refusal_of_outsider(&session.sockets.app, room).await;
                refuse_chat(&session, &ack, room, &refusal.unwrap_or_else(Error::from));
            });
        }
        Err(refused) => refuse_chat(&session, &ack, room, &refused.into()),
    }
}

fn refuse_chat(session: &Session, ack: &Ack, room: RoomId, error: &Error) {
    if error.retry_after().is_some() {
        refuse_what_follows(session, room, error);
    }
    tell_refusal(session, ack, Some(room), error);
}

/// Tells the sender of a message that it is refused.
fn tell_refusal(session: &Session, ack: &Ack, room: Option<RoomId>, error: &Error) {
    counted::answered(&session.sockets.app, Err(error));
    ack.refuse(error, room);
}

async fn more_messages(
    session: &Session,
    ack: &Ack,
    oldest: MessageId,
    limit: Option<u32>,
) -> Result<(), Error> {
    let room = room_of(session, Some(oldest.room)).map_err(|_| Error::NotFound("Message"))?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=Page::<MessageId>::MAX).contains(&limit) {
        let message = format!("must be 1 to {}", Page::<MessageId>::MAX);
        return Err(Error::invalid("limit", message));
    }
    let (app, reader) = (&session.sockets.app, session.user.id);
    let page = messages::history(app, reader, room, Part::Before(oldest), limit).await?;
    session.connection.tell("more_messages", &page);
    ack.done(&MoreMessagesAnswer { messages: &page });
    Ok(())
}

/// The live room, if the client is a member of it.
async fn served(session: &Session, id: RoomId) -> Result<Arc<LiveRoom>, Error> {
    // Its turn may be to come: then the client has a past in the room, which has to come first.
    if let Err(NotServed::Unavailable(error)) = session.take_turn(id).await {
        session.connection.outbox.end(Ended::Unavailable);
        return Err(error.into());
    }
    if let Some(room) = session.connection.serves(id) {
        return Ok(room);
    }
    let app = &session.sockets.app;
    let room = app.rooms.live_room(id).await?.ok_or(Error::NotFound("Room"))?;
    let tail = room.delivered();
    memberships::require(app, id, session.user.id).await?;
    match room.serve(&session.connection, tail, tail).await {
        Err(NotServed::Unavailable(error)) => Err(error.into()),
        // Gone means served by now, or nobody is left to be told.
        Ok(()) | Err(NotServed::Gone) => Ok(room),
        Err(NotServed::Over) => Err(Error::NotFound("Room")),
    }
}

async fn open_room(session: &Session, ack: &Ack, named: Option<RoomId>) -> Result<(), Error> {
    let id = room_of(session, named)?;
    let room = served(session, id).await?;
    room.attend().await;
    let seq = room.delivered();
    let messages = session.newest_page(id, seq).await?;
    let epoch = session.sockets.app.epoch;
    let is_open = room.open(&session.connection, |online| {
        let online_users = session.names_of_others(online);
        ack.done(&OpenRoomAnswer { messages, online_users, seq, epoch });
    });
    if is_open { Ok(()) } else { Err(Error::NotFound("Room")) }
}

async fn close_room(session: &Session, ack: &Ack, named: Option<RoomId>) -> Result<(), Error> {
    let id = room_of(session, named)?;
    match session.connection.serves(id) {
        Some(room) => room.close(&session.connection),
        // Nothing to close for a member; an outsider hears what every other event tells them.
        None => drop(memberships::require(&session.sockets.app, id, session.user.id).await?),
    }
    ack.done(&PlainAnswer {});
    Ok(())
}

async fn typing(
    session: &Session,
    ack: &Ack,
    named: Option<RoomId>,
    is_typing: bool,
) -> Result<(), Error> {
    let id = room_of(session, named)?;
    messages::typing(&session.sockets.app, &session.user, id, is_typing).await?;
    ack.done(&PlainAnswer {});
    Ok(())
}

async fn mark_read(
    session: &Session,
    ack: &Ack,
    named: Option<RoomId>,
    seq: Seq,
) -> Result<(), Error> {
    let id = room_of(session, named)?;
    let marker = memberships::mark_read(&session.sockets.app, session.user.id, id, seq).await?;
    ack.done(&MarkReadAnswer { seq: marker.seq, unread: marker.unread });
    Ok(())
}
