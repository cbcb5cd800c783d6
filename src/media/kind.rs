//! What a file is, by its bytes; and whether browsers may show it.
//!
//! What its owner claims counts for nothing. A type is shown inline only if it is one of few that
//! run no code, and only if the file is nothing else besides: a picture that is also an archive, a
//! page or a document is a download.

use image::ImageFormat;

/// How many of a file's first bytes are looked at.
pub(super) const HEAD: usize = 4096;

/// How many of its last: the end record of a ZIP archive (22 bytes) and its longest comment. An
/// archive may stand behind anything, for it is read from its end.
pub(super) const TAIL: usize = 22 + u16::MAX as usize;

/// The type of what is none of the known types, or more than one.
pub const UNKNOWN: &str = "application/octet-stream";

/// Types that browsers show in place. None of them can carry code.
const INLINE: [&str; 7] =
    ["image/png", "image/jpeg", "image/gif", "image/webp", "video/mp4", "audio/ogg", "video/ogg"];

/// Whether a browser may show `content_type` in place; all else is a download.
pub fn is_inline(content_type: &str) -> bool {
    INLINE.contains(&content_type)
}

/// The format of a picture that natter reads.
pub(super) fn picture(content_type: &str) -> Option<ImageFormat> {
    match content_type {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/gif" => Some(ImageFormat::Gif),
        "image/webp" => Some(ImageFormat::WebP),
        _ => None,
    }
}

/// The type of a file that begins with `head` and ends with `tail` (at most [`HEAD`] and [`TAIL`]
/// bytes; they overlap in a short file).
pub(super) fn sniff(head: &[u8], tail: &[u8]) -> &'static str {
    let content_type = by_signature(head);
    if is_inline(content_type) && (has_markup(head) || ends_in_archive(tail)) {
        return UNKNOWN;
    }
    content_type
}

fn by_signature(head: &[u8]) -> &'static str {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => return "image/png",
        [0xff, 0xd8, 0xff, ..] => return "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => return "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => return "image/webp",
        [b'O', b'g', b'g', b'S', ..] => return ogg(head),
        _ if infer::video::is_mp4(head) => return "video/mp4",
        _ => {}
    }
    // Any type that infer knows is a download, so its guess is only for show.
    let known = infer::get(head).map(|kind| kind.mime_type()).filter(|known| !is_inline(known));
    match known {
        Some("text/xml") | None if is_svg(head) => "image/svg+xml",
        Some(known) => known,
        None if has_markup(head) => "text/html",
        None if is_text(head) => "text/plain",
        None => UNKNOWN,
    }
}

/// Ogg holds sound or pictures; which one, the first packet behind the page's header tells.
fn ogg(head: &[u8]) -> &'static str {
    match head.get(28..) {
        Some([0x80, b't', b'h', b'e', b'o', b'r', b'a', ..]) => "video/ogg",
        _ => "audio/ogg",
    }
}

/// Whether something in the first bytes reads as a page or a document to a lenient reader: HTML and
/// SVG anywhere, PDF within the first KiB (where readers of PDF look for it).
fn has_markup(head: &[u8]) -> bool {
    const MARKS: [&[u8]; 8] =
        [b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<iframe", b"<svg", b"<?php"];
    MARKS.iter().any(|mark| contains(head, mark))
        || contains(&head[..head.len().min(1024)], b"%pdf-")
}

fn is_svg(head: &[u8]) -> bool {
    contains(head, b"<svg") && is_text(head)
}

/// Whether `mark` (in lower case) occurs in `bytes`, in any case.
fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window.eq_ignore_ascii_case(mark))
}

/// Whether the bytes read as UTF-8 without control characters. The head of a longer text may end
/// within a character.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && head.len() >= HEAD => {
            let whole = &head[..error.valid_up_to()];
            std::str::from_utf8(whole).expect("valid up to there")
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || "\t\n\r\u{c}".contains(c))
}

/// Whether the file ends in the end record of a ZIP archive, followed by nothing but its comment.
fn ends_in_archive(tail: &[u8]) -> bool {
    tail.windows(22).enumerate().any(|(at, record)| {
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        record.starts_with(b"PK\x05\x06") && at + 22 + comment <= tail.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0";
    const EMPTY_ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    fn sniffed(bytes: &[u8]) -> &'static str {
        sniff(&bytes[..bytes.len().min(HEAD)], &bytes[bytes.len().saturating_sub(TAIL)..])
    }

    #[test]
    fn types_follow_from_the_first_bytes() {
        let cases: [(&[u8], &str); 22] = [
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (GIF, "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "video/mp4"),
            (b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1eOpusHead", "audio/ogg"),
            (b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1e\x80theora", "video/ogg"),
            (b"\0\0\0\x18ftypqt  \0\0\0\0", "video/quicktime"),
            (b"BM\x46\0\0\0\0\0\0\0", "image/bmp"),
            (b"%PDF-1.7\n", "application/pdf"),
            (b"PK\x03\x04\x14\0", "application/zip"),
            (b"MZ\x90\0", "application/vnd.microsoft.portable-executable"),
            (b"<!DOCTYPE html><p>", "text/html"),
            (b"\xef\xbb\xbf  <html>", "text/html"),
            (b"  hello <SCRIPT>alert(1)</SCRIPT>", "text/html"),
            (b"<?xml version='1.0'?><a/>", "text/xml"),
            (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
            (b"<svg onload=alert(1)>", "image/svg+xml"),
            ("Grüße\r\n".as_bytes(), "text/plain"),
            (b"\xff\xfe\x00binary", UNKNOWN),
            (b"a\0b", UNKNOWN),
            (b"", UNKNOWN),
        ];
        for (bytes, expected) in cases {
            assert_eq!(sniffed(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_also_something_else_is_nothing_that_is_shown() {
        let cases: [(&str, Vec<u8>); 8] = [
            ("GIF and archive", [GIF, EMPTY_ZIP].concat()),
            ("PNG and archive with a comment", [PNG, &EMPTY_ZIP[..20], b"\x03\0abc"].concat()),
            ("PNG and archive and more", [PNG, EMPTY_ZIP, b"trailing"].concat()),
            ("PNG and page", [PNG, b"tEXt<html><script>alert(1)</script>"].concat()),
            ("GIF and script", b"GIF89a/*<ScRiPt>*/=1;alert(1)".to_vec()),
            ("JPEG and PDF", b"\xff\xd8\xff\xe0\0\x10JFIF\xff\xfe%PDF-1.4".to_vec()),
            ("MP4 and page", b"\0\0\0\x18ftypisom<body onload=alert(1)>".to_vec()),
            ("Ogg and SVG", b"OggS\0\x02<svg onload=alert(1)>".to_vec()),
        ];
        for (case, bytes) in cases {
            assert_eq!(sniffed(&bytes), UNKNOWN, "{case}");
        }
    }

    #[test]
    fn an_archive_behind_a_long_picture_is_found() {
        let mut bytes = PNG.to_vec();
        bytes.resize(1 << 20, 7);
        assert_eq!(sniffed(&bytes), "image/png");
        bytes.extend(&EMPTY_ZIP[..20]);
        bytes.extend(u16::MAX.to_le_bytes());
        bytes.extend(vec![b'c'; usize::from(u16::MAX)]);
        assert_eq!(sniffed(&bytes), UNKNOWN);
    }

    #[test]
    fn a_text_may_be_cut_within_a_character() {
        let text = "aé".repeat(HEAD);
        assert_eq!(sniffed(text.as_bytes()), "text/plain");
        assert_eq!(sniffed(b"a\xc3"), UNKNOWN);
    }

    #[test]
    fn only_few_types_are_shown_in_place() {
        for shown in INLINE {
            assert!(is_inline(shown));
        }
        for not in [
            "image/svg+xml",
            "text/html",
            "text/xml",
            "application/xhtml+xml",
            "application/pdf",
            "text/plain",
            "image/bmp",
            "IMAGE/PNG",
            "image/png; x",
            UNKNOWN,
            "",
        ] {
            assert!(!is_inline(not), "{not}");
        }
    }
}
