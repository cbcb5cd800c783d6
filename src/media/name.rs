//! The names of files, for show only.
//!
//! Where bytes are kept never depends on a name. But people see it, save under it and are misled by
//! it: so it is one plain, visible file name that every system can hold, whatever a client sent.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use crate::domain::text;

/// The longest name: what the common file systems hold. Bytes of UTF-8.
const MAX_BYTES: usize = 255;

/// The longest ending that survives cutting, its dot included.
const MAX_EXTENSION_BYTES: usize = 32;

/// What is looked at of a longer input: its end, where the last part of a path is.
const MAX_INPUT_BYTES: usize = 4096;

/// The name of a file that is left with none.
const FALLBACK: &str = "file";

/// How often what was decoded is decoded again. What is behind more layers is taken literally.
const DECODINGS: usize = 4;

/// The name to show for a file that its owner calls `given`: the last part of a path, without what
/// cannot be seen or misleads, at most 255 bytes with its extension kept, and never empty.
pub fn clean(given: &str) -> String {
    let mut name = end_of(given, MAX_INPUT_BYTES).to_owned();
    for _ in 0..DECODINGS {
        name = decode(&name);
    }
    let name = last_part(&name);
    let visible: String = without_stacks(name).nfc().filter_map(shown).collect();
    let trimmed = visible.trim_matches(|c: char| c.is_whitespace() || c == '.');
    let named = if trimmed.is_empty() { FALLBACK } else { trimmed };
    let safe = if is_reserved(named) { format!("_{named}") } else { named.to_owned() };
    shorten(&safe)
}

/// The end of `text`, at most `max` bytes of it.
fn end_of(text: &str, max: usize) -> &str {
    let mut from = text.len().saturating_sub(max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Decodes what browsers encode in a form's file names, and what would be a path once decoded
/// further on: control characters, quotes, dots, slashes and the percent sign itself.
fn decode(name: &str) -> String {
    let mut decoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let code =
            rest.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_control() || br#""%./\"#.contains(&byte) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            _ => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

/// The last part of a path of any system that is more than dots.
fn last_part(path: &str) -> &str {
    let mut parts = path.rsplit(['/', '\\']);
    parts.find(|part| !part.trim_matches(['.', ' ']).is_empty()).unwrap_or_default()
}

/// `name` with no letter carrying more marks than writing needs.
fn without_stacks(name: &str) -> impl Iterator<Item = char> {
    let mut marks = 0;
    name.chars().filter(move |&c| {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        marks <= text::MAX_MARKS
    })
}

/// How a character is shown: not at all if it cannot be seen, as `_` if some system reserves it.
fn shown(c: char) -> Option<char> {
    match c {
        '<' | '>' | ':' | '"' | '|' | '?' | '*' | '/' | '\\' => Some('_'),
        c if c.is_control() || text::is_invisible(c) => None,
        c if c.is_whitespace() => Some(' '),
        c => Some(c),
    }
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        _ => stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"))
            .is_some_and(|port| matches!(port, "¹" | "²" | "³") || is_digit(port)),
    }
}

fn is_digit(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9'])
}

/// Cuts the stem so that the whole is at most [`MAX_BYTES`] long, between what people see as letters.
fn shorten(name: &str) -> String {
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    let dot = name.rfind('.').filter(|&dot| dot > 0 && name.len() - dot <= MAX_EXTENSION_BYTES);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let room = MAX_BYTES - extension.len();
    let mut end = 0;
    for (at, grapheme) in stem.grapheme_indices(true) {
        if at + grapheme.len() > room {
            break;
        }
        end = at + grapheme.len();
    }
    format!("{}{extension}", stem[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain_visible_file_names() {
        let cases = [
            ("report.pdf", "report.pdf"),
            ("../../x", "x"),
            ("..\\x", "x"),
            ("..\\..\\windows\\x.dll", "x.dll"),
            ("/etc/passwd", "passwd"),
            ("C:\\fake path\\me.png", "me.png"),
            ("%2e%2e%2f", "file"),
            ("%2e%2e%2fsecret.txt", "secret.txt"),
            ("%252e%252e%252fsecret.txt", "secret.txt"),
            ("..%5c..%5Cx", "x"),
            ("a\0.png", "a.png"),
            ("a%00.png", "a.png"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie_ x"),
            ("100%25 sure.txt", "100% sure.txt"),
            ("50% é.txt", "50% é.txt"),
            ("%", "%"),
            ("%é", "%é"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("Lpt1 .x", "_Lpt1 .x"),
            ("COM10", "COM10"),
            ("COM¹", "_COM¹"),
            ("console", "console"),
            ("", "file"),
            (".", "file"),
            ("..", "file"),
            (" . . ", "file"),
            ("///", "file"),
            ("a/b/", "b"),
            ("\u{202e}gnp.exe", "gnp.exe"),
            ("photo\u{202e}gnp.exe", "photognp.exe"),
            ("a\u{200b}\u{feff}\u{ad}b", "ab"),
            ("tab\there", "tabhere"),
            ("wide\u{3000}blank", "wide blank"),
            ("a\"b<c>|d?*e", "a_b_c__d__e"),
            (".bashrc", "bashrc"),
            ("name. . .", "name"),
            ("e\u{301}.txt", "é.txt"),
            ("写真.jpg", "写真.jpg"),
        ];
        for (given, expected) in cases {
            assert_eq!(clean(given), expected, "{given:?}");
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        let long = clean(&format!("{}.png", "a".repeat(300)));
        assert_eq!(long, format!("{}.png", "a".repeat(251)));
        let wide = clean(&format!("{}.jpeg", "写".repeat(300)));
        assert!(wide.ends_with("写.jpeg") && wide.len() <= 255, "{wide}");
        let no_extension = clean(&format!("a.{}", "b".repeat(300)));
        assert_eq!(no_extension.len(), 255);
        let marks = clean(&format!("a{}", "\u{301}\u{302}".repeat(500)));
        assert!(marks.chars().count() <= 12, "{marks}");
    }

    proptest! {
        #[test]
        fn whatever_is_given_the_name_is_safe_and_stays_as_it_is(given in "\\PC*|[a-c./\\\\% 0-9\u{202e}\u{0}-\u{20}]{0,400}") {
            let name = clean(&given);
            prop_assert!(!name.is_empty() && name.len() <= 255);
            prop_assert!(!name.contains(['/', '\\', '"', '\0', '\n', '\r', ':']));
            prop_assert!(!name.chars().any(|c| c.is_control() || text::is_invisible(c)));
            prop_assert!(!name.starts_with('.') && !name.ends_with('.') && name.trim() == name);
        }
    }
}
