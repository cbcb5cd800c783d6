//! Who is online: what the live rooms know, and what users declare of themselves.

use std::collections::BTreeSet;

use futures::StreamExt;

use super::{Result, memberships};
use crate::app::App;
use crate::domain::{Membership, Page, RoomId, Timestamp, User, UserId};

/// Accounts that are looked up at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// Whether the user is connected anywhere, or declares to be online.
pub fn is_online(app: &App, user: &User) -> bool {
    app.rooms.is_connected(user.id) || declares_online(user, Timestamp::now())
}

/// Whether the member is present in the room, or declares to be online.
pub fn is_online_in(app: &App, membership: &Membership) -> bool {
    let room = app.rooms.known(membership.room);
    room.is_some_and(|room| room.is_present(membership.user.id))
        || declares_online(&membership.user, Timestamp::now())
}

/// Whether the user has declared to be online, and not too long ago for it to hold.
fn declares_online(user: &User, now: Timestamp) -> bool {
    !user.is_disabled && user.online_until.is_some_and(|until| until > now)
}

/// The names of those present in `room` and of its members who declare to be online, without the caller,
/// in the order of the names.
///
/// # Errors
///
/// As [`memberships::require`].
pub async fn online_in_room(app: &App, caller: UserId, room: RoomId) -> Result<Vec<String>> {
    memberships::require(app, room, caller).await?;
    let mut names = BTreeSet::new();
    if let Some(live) = app.rooms.known(room) {
        let others = live.online().into_iter().filter(|user| user.id != caller);
        names.extend(others.map(|user| user.username));
    }
    let now = Timestamp::now();
    let mut page = Page::first(Page::<UserId>::MAX);
    loop {
        let members = app.store.members(room, page).await?;
        let Some(last) = members.last() else { break };
        page.after = Some(last.user.id);
        let declared = members.iter().map(|member| &member.user);
        let declared = declared.filter(|user| user.id != caller && declares_online(user, now));
        names.extend(declared.map(|user| user.username.as_str().to_owned()));
    }
    Ok(names.into_iter().collect())
}

/// The names of those who are online among the people with whom the caller has a private room, in the order
/// of the names.
///
/// # Errors
///
/// If the store does not answer.
pub async fn online_peers(app: &App, caller: UserId) -> Result<Vec<String>> {
    let peers = app.store.peers_of(caller).await?;
    let online = futures::stream::iter(peers)
        .map(|(_, peer, username)| async move {
            if app.rooms.is_connected(peer) {
                return Ok(Some(username));
            }
            let user = app.store.user(peer).await?;
            Ok(user.filter(|user| is_online(app, user)).map(|user| user.username))
        })
        .buffer_unordered(LOOKUPS_AT_ONCE);
    let found: Vec<Result<_>> = online.collect().await;
    let mut names = BTreeSet::new();
    for name in found {
        names.extend(name?.map(|name| name.as_str().to_owned()));
    }
    Ok(names.into_iter().collect())
}
