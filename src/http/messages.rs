//! Messages: sending them, and paging back.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::{next_page, number};
use super::{Json, Paged, Path, Query, Session};
use crate::api::{ErrorBody, MessageView, NewMessage, TypingChange};
use crate::app::App;
use crate::domain::{MessageId, Page, RoomId};
use crate::service::messages::Part;
use crate::service::{Error, Result, messages};

/// Messages in a page unless a request says otherwise.
const PAGE: u32 = 50;

/// The calls of messages.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(post, history)).routes(routes!(get)).routes(routes!(typing))
}

/// Send a message
///
/// It is stored durably when the answer comes. With a `client_id` it is safe to send again.
#[utoipa::path(
    post, path = "/chat-rooms/{id}/messages", tag = "messages", params(("id" = String, Path)),
    request_body = NewMessage,
    responses(
        (status = 201, body = MessageView),
        (status = 200, description = "This `client_id` was stored before.", body = MessageView),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`: no such room, or no such upload of the caller's in it.", body = ErrorBody),
        (status = 409, description = "`client_id_conflict`; `conflict`: the upload belongs to another message.", body = ErrorBody),
    )
)]
async fn post(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    Json(body): Json<NewMessage>,
) -> Result<(StatusCode, Json<MessageView>)> {
    let committed = messages::post(&app, &session.user, room, body, None).await?;
    let status = if committed.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let message = messages::view(&app, &committed.event, session.user.id)?;
    Ok((status, Json(message)))
}

/// Which part of the history. At most one of `before`, `after` and `around`; the newest page without.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The id of a message: the page precedes it.
    #[param(value_type = Option<String>)]
    before: Option<MessageId>,
    /// The id of a message: the page follows it.
    #[param(value_type = Option<String>)]
    after: Option<MessageId>,
    /// The id of a message: half of the page precedes it, the rest begins with it.
    #[param(value_type = Option<String>)]
    around: Option<MessageId>,
    /// The most messages to answer with.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    limit: Option<String>,
}

const ONE_OF_THREE: &str = "must be the only one of before, after and around";

impl Asked {
    fn part(&self) -> Result<Part> {
        match (self.before, self.after, self.around) {
            (None, None, None) => Ok(Part::Newest),
            (Some(id), None, None) => Ok(Part::Before(id)),
            (None, Some(id), None) => Ok(Part::After(id)),
            (None, None, Some(id)) => Ok(Part::Around(id)),
            (Some(_), Some(_), _) => Err(Error::invalid("after", ONE_OF_THREE)),
            _ => Err(Error::invalid("around", ONE_OF_THREE)),
        }
    }
}

/// Page through the messages of a room, oldest first
///
/// The next page of a full one leads on in the same direction: back, unless `after` was given.
#[utoipa::path(
    get, path = "/chat-rooms/{id}/messages", tag = "messages", params(("id" = String, Path), Asked),
    responses(
        (status = 200, body = [MessageView]),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`: no such room, or no such message in it.", body = ErrorBody),
    )
)]
async fn history(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    Query(asked): Query<Asked>,
    uri: Uri,
) -> Result<Paged<MessageView>> {
    let part = asked.part()?;
    let limit = number("limit", asked.limit, PAGE, (1, Page::<MessageId>::MAX))?;
    let page = messages::history(&app, session.user.id, room, part, limit).await?;
    let is_full = u32::try_from(page.len()) == Ok(limit);
    let (name, edge) = match part {
        Part::After(_) => ("after", page.last()),
        Part::Newest | Part::Before(_) | Part::Around(_) => ("before", page.first()),
    };
    let next = edge
        .filter(|_| is_full)
        .map(|edge| next_page(&uri, &["before", "after", "around"], name, &edge.id.to_string()));
    Ok(Paged::new(page, next))
}

/// One message
#[utoipa::path(
    get, path = "/chat-rooms/{id}/messages/{message_id}", tag = "messages",
    params(("id" = String, Path), ("message_id" = String, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`: no such room, or no such message in it.", body = ErrorBody),
    )
)]
async fn get(
    State(app): State<App>,
    session: Session,
    Path((room, message)): Path<(RoomId, MessageId)>,
) -> Result<Json<MessageView>> {
    messages::get(&app, session.user.id, room, message).await.map(Json)
}

/// Say that one is typing, or has stopped
///
/// It ends by itself after 6 s; those who are present in the room are told, at most every 2 s.
#[utoipa::path(
    post, path = "/chat-rooms/{id}/typing", tag = "presence", params(("id" = String, Path)),
    request_body = TypingChange,
    responses(
        (status = 204),
        (status = 403, description = "`forbidden`: not a member.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    )
)]
async fn typing(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    Json(body): Json<TypingChange>,
) -> Result<StatusCode> {
    messages::typing(&app, &session.user, room, body.is_typing).await?;
    Ok(StatusCode::NO_CONTENT)
}
