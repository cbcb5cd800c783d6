//! Who is online: what the live rooms know, here and on other nodes, and what users declare of themselves.
//!
//! Other nodes are asked, and one that does not answer at once is left out: while the bus is down, only who is connected
//! here and who declares to be online is known.

use std::collections::{BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};

use super::{Result, memberships};
use crate::app::App;
use crate::domain::{Membership, Page, RoomId, Timestamp, User, UserId, Username};

/// Accounts that are looked up at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// Whether the user is connected anywhere, or declares to be online.
pub async fn is_online(app: &App, user: &User) -> bool {
    !online_among(app, [user]).await.is_empty()
}

/// Which of the users are connected anywhere, or declare to be online.
pub async fn online_among<'a>(
    app: &App,
    users: impl IntoIterator<Item = &'a User>,
) -> HashSet<UserId> {
    let now = Timestamp::now();
    let (declared, others): (Vec<&User>, Vec<&User>) =
        users.into_iter().partition(|user| declares_online(user, now));
    let others: Vec<UserId> = others.into_iter().map(|user| user.id).collect();
    let mut online = app.rooms.connected_among(&others).await;
    online.extend(declared.into_iter().map(|user| user.id));
    online
}

/// Which of the members of `room` are present in it, or declare to be online.
pub(super) async fn online_members(
    app: &App,
    room: RoomId,
    members: &[Membership],
) -> HashSet<UserId> {
    let now = Timestamp::now();
    let users = members.iter().map(|member| &member.user);
    let declared = users.filter(|user| declares_online(user, now)).map(|user| user.id);
    let present = app.rooms.online_in(room).await.into_iter().map(|user| user.id);
    declared.chain(present).collect()
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
    let present = app.rooms.online_in(room).await.into_iter();
    names.extend(present.filter(|user| user.id != caller).map(|user| user.username));
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
    let ids: Vec<UserId> = peers.iter().map(|(_, peer, _)| *peer).collect();
    let connected = app.rooms.connected_among(&ids).await;
    let (connected, others): (Vec<_>, Vec<_>) =
        peers.into_iter().partition(|(_, peer, _)| connected.contains(peer));
    let now = Timestamp::now();
    let declared: Vec<Option<Username>> = futures::stream::iter(others)
        .map(|(_, peer, username)| async move {
            let user = app.store.user(peer).await?;
            Ok::<_, super::Error>(user.filter(|user| declares_online(user, now)).map(|_| username))
        })
        .buffer_unordered(LOOKUPS_AT_ONCE)
        .try_collect()
        .await?;
    let names = connected.into_iter().map(|(.., username)| username);
    let names: BTreeSet<String> =
        names.chain(declared.into_iter().flatten()).map(|name| name.as_str().to_owned()).collect();
    Ok(names.into_iter().collect())
}
