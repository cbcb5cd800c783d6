//! `/media/{token}`: the bytes of files, for whoever holds a signed path.

use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_RANGE, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Json, Path};
use crate::api::{ErrorBody, ErrorCode};
use crate::app::App;
use crate::domain::Timestamp;
use crate::media::{UNKNOWN, is_inline};
use crate::service::attachments::{self, File};
use crate::service::{Error, Result};

/// For what is shown in place: nothing of it runs or loads anything. The browsers' own pages around a single
/// picture or film need a style, and the film itself.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox",
);

/// For what is only saved.
const SAVED: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// The calls of media.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(load))
}

/// Load a file
///
/// By the `file_path` or `thumbnail_path` of a message, which is signed for its reader and lives as long as a
/// token; no header is needed. Single ranges are answered.
#[utoipa::path(
    get, path = "/media/{token}", tag = "messages", security(()),
    params(("token" = String, Path, description = "The end of a signed path.")),
    responses(
        (status = 200, description = "The bytes. Only png, jpeg, gif, webp, mp4 and ogg are shown in place.", content_type = "application/octet-stream"),
        (status = 206, description = "The range of them.", content_type = "application/octet-stream"),
        (status = 307, description = "With `media.serve = \"redirect\"`, for what is shown in place: the bytes are at `Location`, for a minute."),
        (status = 404, description = "`not_found`: there is no such file, or it is not the reader's any more, or the path is over.", body = ErrorBody),
        (status = 416, description = "`invalid`: the range is not within the file.", body = ErrorBody),
    )
)]
async fn load(
    State(app): State<App>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let file = attachments::load(&app, &token, Timestamp::now()).await?;
    if method == Method::GET
        && let Some(elsewhere) = elsewhere(&app, &file).await?
    {
        return Ok(elsewhere);
    }
    let size = file.object.size();
    let tag = tag(&file);
    let (status, range) = match asked(&headers, &tag, size) {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Beyond => return Ok(beyond(size)),
    };
    let mut described = describe(&file, &tag)?;
    described.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        described.insert(CONTENT_RANGE, value(part)?);
    }
    let bytes = file.object.read(range).await?;
    Ok((status, described, Body::from_stream(bytes)).into_response())
}

/// Sends a client to the bucket that has the file, if that is wanted and safe.
///
/// A bucket can be told the type and the disposition of an answer, but neither `nosniff` nor a policy. So it
/// answers for what runs nowhere and is shown in place, and the node for whatever somebody may have made up. A
/// thumbnail is smaller than the way round.
async fn elsewhere(app: &App, file: &File) -> Result<Option<Response>> {
    if !is_inline(&file.content_type) || file.object.thumbnail_type().is_some() {
        return Ok(None);
    }
    let (id, name) = (file.attachment.id, &file.attachment.file_name);
    let disposition = disposition(true, name);
    let Some(url) = app.media.redirect(id, &file.content_type, &disposition).await? else {
        return Ok(None);
    };
    let headers = [
        (LOCATION, value(url)?),
        // A kept redirect would outlive its link, and the reader's right to it.
        (CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    Ok(Some((StatusCode::TEMPORARY_REDIRECT, headers).into_response()))
}

/// Names these bytes: they never change under an id.
fn tag(file: &File) -> String {
    let id = file.attachment.id;
    let is_original = file.object.thumbnail_type().is_none();
    if is_original { format!("\"{id}\"") } else { format!("\"{id}-thumbnail\"") }
}

fn describe(file: &File, tag: &str) -> Result<HeaderMap> {
    let inline = is_inline(&file.content_type);
    // What is only saved needs no type, and a type is what misleads.
    let content_type = if inline { &file.content_type } else { UNKNOWN };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value(content_type.to_owned())?);
    headers.insert(CONTENT_DISPOSITION, value(disposition(inline, &file.attachment.file_name))?);
    headers.insert(CONTENT_SECURITY_POLICY, if inline { SHOWN } else { SAVED });
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, value(tag.to_owned())?);
    Ok(headers)
}

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(Error::internal)
}

fn beyond(size: u64) -> Response {
    let headers = [(CONTENT_RANGE, format!("bytes */{size}")), (ACCEPT_RANGES, "bytes".to_owned())];
    let detail = format!("The range is not within the {size} bytes of the file.");
    let body = ErrorBody { detail, code: ErrorCode::Invalid, errors: Vec::new() };
    (StatusCode::RANGE_NOT_SATISFIABLE, headers, Json(body)).into_response()
}

/// `Content-Disposition` by RFC 6266: the name twice if need be, once in ASCII for old clients and once as RFC 8187
/// encodes it.
fn disposition(inline: bool, name: &str) -> String {
    let kind = if inline { "inline" } else { "attachment" };
    let plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if ascii == name {
        return format!("{kind}; filename=\"{ascii}\"");
    }
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// Which bytes a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    /// None that there are.
    Beyond,
}

/// Which bytes of `size` are asked for. Several ranges, other units and what cannot be read are answered with
/// the whole, as RFC 9110, 14.2 allows; so is a range of another version (`If-Range`).
fn asked(headers: &HeaderMap, tag: &str, size: u64) -> Asked {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else {
        return Asked::Whole;
    };
    if headers.get(IF_RANGE).is_some_and(|version| version != tag) {
        return Asked::Whole;
    }
    let Some((first, last)) = range_of(range) else { return Asked::Whole };
    let range = match (first, last) {
        (Some(first), None) => first..size,
        (Some(first), Some(last)) if last < first => return Asked::Whole,
        (Some(first), Some(last)) => first..last.saturating_add(1).min(size),
        (None, Some(length)) => size.saturating_sub(length)..size,
        (None, None) => return Asked::Whole,
    };
    if range.is_empty() { Asked::Beyond } else { Asked::Part(range) }
}

/// The ends of `bytes=first-last`, of which either may be missing.
fn range_of(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !unit.trim().eq_ignore_ascii_case("bytes") || !is_number(first) || !is_number(last) {
        return None;
    }
    // Beyond all numbers is beyond every file.
    let number = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX));
    Some((number(first), number(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_with(range: &str, version: Option<&str>, size: u64) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(version) = version {
            headers.insert(IF_RANGE, HeaderValue::from_str(version).unwrap());
        }
        asked(&headers, "\"tag\"", size)
    }

    #[test]
    fn a_single_range_is_understood_and_all_else_is_the_whole() {
        use Asked::{Beyond, Part, Whole};
        for (range, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=0-9", Part(0..10)),
            ("bytes=2-", Part(2..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-30", Part(0..10)),
            ("bytes=9-100", Part(9..10)),
            ("bytes=9-99999999999999999999999", Part(9..10)),
            ("Bytes = 1-2", Part(1..3)),
            ("bytes=10-", Beyond),
            ("bytes=10-20", Beyond),
            ("bytes=-0", Beyond),
            ("bytes=99999999999999999999999-", Beyond),
            ("bytes=5-2", Whole),
            ("bytes=-", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1", Whole),
            ("lines=1-2", Whole),
            ("", Whole),
        ] {
            assert_eq!(asked_with(range, None, 10), expected, "{range}");
        }
        assert_eq!(asked_with("bytes=0-", None, 0), Beyond);
        assert_eq!(asked(&HeaderMap::new(), "\"tag\"", 10), Whole);
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        assert_eq!(asked_with("bytes=0-1", Some("\"tag\""), 10), Asked::Part(0..2));
        for other in ["\"other\"", "W/\"tag\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(asked_with("bytes=0-1", Some(other), 10), Asked::Whole, "{other}");
        }
    }

    #[test]
    fn names_are_told_in_ascii_and_as_they_are() {
        for (inline, name, expected) in [
            (true, "a b.png", r#"inline; filename="a b.png""#),
            (false, "é.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
            (false, "100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
            (
                false,
                "a\"\\\r\nb",
                "attachment; filename=\"a____b\"; filename*=UTF-8''a%22%5C%0D%0Ab",
            ),
            (false, "it's; x", r#"attachment; filename="it's; x""#),
        ] {
            assert_eq!(disposition(inline, name), expected);
        }
    }
}
