//! How long the messages of a room are kept. That it is so is left to the job `retention`.

use super::rooms::{governed, known};
use super::{Error, Result, memberships};
use crate::api::RetentionView;
use crate::app::App;
use crate::domain::permission::Action;
use crate::domain::{Retention, RoomId, UserId};

/// What holds for `room`, as `caller`, who is in it, may know.
///
/// # Errors
///
/// As [`memberships::require`].
pub async fn of_room(app: &App, caller: UserId, room: RoomId) -> Result<RetentionView> {
    memberships::require(app, room, caller).await?;
    of_any_room(app, room).await
}

/// What holds for `room`, for administration.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Unavailable`].
pub async fn of_any_room(app: &App, room: RoomId) -> Result<RetentionView> {
    known(app, room).await?;
    let own = app.store.retention(room).await?;
    let days = own.map(Retention::days);
    let effective_days = own.unwrap_or(app.config.retention).days();
    Ok(RetentionView { chat_room_id: room, days, effective_days })
}

/// Sets how long messages are kept, in the right of the group's owner: not longer than the server keeps them. `None` is as the
/// server does.
///
/// # Errors
///
/// - As [`governed`].
/// - [`Error::Invalid`] for a time that is none, or longer.
pub async fn set(
    app: &App,
    caller: UserId,
    room: RoomId,
    days: Option<u32>,
) -> Result<RetentionView> {
    governed(app, caller, room, Action::SetRetention).await?;
    let own = days.map(Retention::parse).transpose()?;
    let most = app.config.retention;
    if own.is_some_and(|own| own.is_longer_than(most)) {
        let rule = format!("must be 1 to {}: this server keeps nothing longer", most.days());
        return Err(Error::invalid("days", rule));
    }
    store(app, room, own).await
}

/// Sets how long messages are kept, in the right of administration.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::Invalid`] for a time that is none; [`Error::Unavailable`].
pub async fn set_any(app: &App, room: RoomId, days: Option<u32>) -> Result<RetentionView> {
    known(app, room).await?;
    store(app, room, days.map(Retention::parse).transpose()?).await
}

async fn store(app: &App, room: RoomId, own: Option<Retention>) -> Result<RetentionView> {
    app.store.set_retention(room, own).await?;
    of_any_room(app, room).await
}
