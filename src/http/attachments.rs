//! Uploads: `/chat-rooms/{id}/attachments`.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::upload::{Form, discard};
use super::{Json, Path, Refusal, Session};
use crate::api::{AttachmentView, ErrorBody, Variant};
use crate::app::App;
use crate::domain::attachment::Upload;
use crate::domain::{RoomId, Timestamp, UserId};
use crate::service::{Error, Result, attachments};

/// What a form may hold beside its file: boundaries and the headers of the part.
const FORM_BYTES: u64 = 64 * 1024;

/// The calls of uploads.
pub(super) fn routes() -> OpenApiRouter<App> {
    // The file's own limit is the setting's, told as the bytes come in.
    OpenApiRouter::new().routes(routes!(upload)).layer(DefaultBodyLimit::disable())
}

/// A form with one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the form, which is read as it streams in")]
struct UploadForm {
    /// The file, with the name to show for it.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Upload a file for a room
///
/// The form has exactly one part, `file`. What the file is, its bytes tell. A message takes it by its id
/// (`attachment_id`); one that no message takes is gone after a day.
#[utoipa::path(
    post, path = "/chat-rooms/{id}/attachments", tag = "messages",
    params(("id" = String, Path, description = "The room.")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = AttachmentView),
        (status = 403, description = "`forbidden`: not a member of the group.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 507, description = "`storage_full`: text goes on.", body = ErrorBody),
    )
)]
async fn upload(
    State(app): State<App>,
    session: Session,
    Path(room): Path<RoomId>,
    request: Request,
) -> std::result::Result<(StatusCode, Json<AttachmentView>), Refusal> {
    let user = session.user.id;
    let receiving = attachments::begin(&app, user, room).await?;
    if let Err(error) = check_length(&app, request.headers()) {
        discard(request.into_body());
        return Err(error.into());
    }
    let mut form = Form::open(request).await?;
    match receive(&mut form, receiving).await {
        Ok(upload) => Ok((StatusCode::CREATED, Json(view(&app, user, &upload)))),
        Err(error) => {
            form.discard();
            Err(error.into())
        }
    }
}

/// Refuses at once what says that it is too large. Who says nothing is refused when it is.
fn check_length(app: &App, headers: &HeaderMap) -> Result<()> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let limit = app.config.upload_limit;
    match length {
        Some(length) if length > limit.bytes().saturating_add(FORM_BYTES) => {
            Err(Error::TooLarge(format!("The file is larger than {limit}.")))
        }
        Some::<u64>(_) | None => Ok(()),
    }
}

async fn receive(form: &mut Form, mut receiving: attachments::Receiving) -> Result<Upload> {
    let mut file = form.file().await?;
    let name = file.name().to_owned();
    while let Some(bytes) = file.next().await? {
        receiving.write(&bytes).await?;
    }
    // The form goes on only when it has its part back.
    drop(file);
    // Only what came whole counts: the end of the form is the proof.
    form.end().await?;
    receiving.finish(&name).await
}

/// The upload as its owner sees it, with a link to its thumbnail.
fn view(app: &App, owner: UserId, upload: &Upload) -> AttachmentView {
    let file = &upload.attachment;
    let has_thumbnail = file.image.is_some_and(|image| image.has_thumbnail);
    let thumbnail = has_thumbnail
        .then(|| app.media_links.sign(file.id, owner, Variant::Thumbnail, Timestamp::now()));
    AttachmentView::new(file, thumbnail)
}
