//! Taking a person out: their account at once, and then, room by room, what tells of them in the logs.
//!
//! The account and a note of what is to be done go first, in the store. So whatever stops in the middle is taken up by the job
//! `erasures`, of any node, which calls [`finish_all`]; every step states a result and can be done again.

use std::collections::BTreeSet;

use super::{Error, Result, memberships};
use crate::api::ErasureView;
use crate::app::App;
use crate::domain::erasure::{DELETED, erased};
use crate::domain::{
    Body, Event, Page, RoomId, RoomKind, RoomName, Seq, Timestamp, UserId, Username, Words,
};
use crate::store::StoreError;

/// Accounts that are looked at together.
const AT_ONCE: u32 = 100;

/// Rooms that are asked for at once, and events.
const PAGE: u32 = 500;

/// Deletes an account, whose tokens and sockets end at once, and has everything erased that tells of its person. That is done within
/// seconds, for people with a long past within minutes. Also for an account that is deleted already, and again.
///
/// # Errors
///
/// [`Error::NotFound`] if there never was one; `last_admin`; [`Error::Unavailable`].
pub async fn begin(app: &App, user: UserId, words: Words) -> Result<ErasureView> {
    app.store.begin_erasure(user, words).await.map_err(|error| match error {
        StoreError::NotFound => Error::NotFound("User"),
        error => error.into(),
    })?;
    app.rooms.revoke(user, None);
    Ok(ErasureView { id: user, keep_messages: words == Words::Kept })
}

/// Does what is to be done for every account of which it is noted.
///
/// # Errors
///
/// If the store does not answer; what is left is done by the next call, on any node.
pub async fn finish_all(app: &App) -> Result<()> {
    for (user, words) in app.store.erasures(AT_ONCE).await? {
        finish(app, user, words).await?;
        tracing::info!(user.id = %user, "a person was erased");
    }
    Ok(())
}

async fn finish(app: &App, user: UserId, words: Words) -> Result<()> {
    // First, for each end of a stay is an event that names them.
    memberships::end_all(app, user).await?;
    for room in rooms_of(app, user).await? {
        erase_in(app, room, user, words).await?;
    }
    app.store.end_erasure(user).await?;
    app.rooms.forget_told(user);
    Ok(())
}

/// Every room whose log may tell of `user`.
pub(super) async fn rooms_of(app: &App, user: UserId) -> Result<BTreeSet<RoomId>> {
    let mut rooms = BTreeSet::new();
    let mut page = Page::first(PAGE);
    loop {
        let (found, last) = app.store.traces(user, page).await?;
        rooms.extend(found);
        let Some(last) = last else { break };
        page.after = Some(last);
    }
    // Whoever was let in and sent away by somebody else, and has never said a word.
    let mut place = (Timestamp(0), RoomId::from_bytes([0; 12]), Seq::ZERO);
    loop {
        let stays = app.store.stay_changes(place, PAGE).await?;
        let Some(last) = stays.last() else { return Ok(rooms) };
        place = (last.timestamp, last.room, last.seq);
        rooms.extend(stays.iter().filter(|stay| is_of(stay, user)).map(|stay| stay.room));
    }
}

fn is_of(stay: &Event, user: UserId) -> bool {
    match &stay.body {
        Body::MemberAdded(added) => added.user == user,
        Body::MemberRemoved { user: removed, .. } => *removed == user,
        _ => false,
    }
}

async fn erase_in(app: &App, room: RoomId, user: UserId, words: Words) -> Result<()> {
    let mut after = Seq::ZERO;
    loop {
        let events = app.store.events(room, after, Seq(u64::MAX), PAGE).await?;
        let Some(last) = events.last() else { break };
        after = last.seq;
        let rewritten = events.iter().filter_map(|event| {
            let body = erased(event, user, words)?;
            Some(Event { body, ..event.clone() })
        });
        let rewritten: Vec<Event> = rewritten.collect();
        if !rewritten.is_empty() {
            app.store.rewrite(&rewritten).await?;
        }
    }
    rename_private(app, room, user).await
}

/// A private room is called after its two people.
async fn rename_private(app: &App, room: RoomId, user: UserId) -> Result<()> {
    let Some(found) = app.store.room(room).await? else { return Ok(()) };
    if found.kind != RoomKind::Private {
        return Ok(());
    }
    let nobody = Username::stored(DELETED.to_owned());
    let members = app.store.members(room, Page::first(2)).await?;
    let other = members.into_iter().map(|member| member.user).find(|other| other.id != user);
    let other = other.map_or_else(|| nobody.clone(), |other| other.username);
    let name = RoomName::of_pair(&nobody, &other);
    if found.name != name {
        app.store.rename_private(room, &name).await?;
    }
    Ok(())
}
