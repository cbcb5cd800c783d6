//! What any text from a client has to satisfy.

use std::borrow::Cow;

/// A value that breaks a rule: which field, and the rule in words fit for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field as the client names it.
    pub field: Cow<'static, str>,
    /// What is wrong and what would be right, as a clause: `must be ...`.
    pub message: String,
}

impl Invalid {
    /// `field` breaks the rule that `message` tells.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Marks on one base character beyond which a text is a defacement rather than writing. The longest stacks
/// of real scripts (Vietnamese, Hebrew with cantillation, Tibetan) stay below it.
pub(crate) const MAX_MARKS: usize = 10;

/// Whether `c` cannot be seen, or changes how the text around it is shown: what names must not hold, since
/// two names that look alike would be different.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Checks a text of several lines: no control characters but tab and line ends, no stacks of marks.
pub(crate) fn check_prose(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    check_marks(field, text)
}

/// Checks a name of one line: nothing invisible, no control characters, no blank at either end, no stacks
/// of marks.
pub(crate) fn check_name(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(Invalid::new(field, "must not contain control or invisible characters"));
    }
    if text.trim() != text || text.is_empty() {
        return Err(Invalid::new(field, "must not be empty, nor begin or end with a blank"));
    }
    check_marks(field, text)
}

fn check_marks(field: &'static str, text: &str) -> Result<(), Invalid> {
    let mut marks = 0;
    for c in text.chars() {
        marks = if unicode_normalization::char::is_combining_mark(c) { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            return Err(Invalid::new(
                field,
                format!("must not put more than {MAX_MARKS} marks on one letter"),
            ));
        }
    }
    Ok(())
}

/// Whether a word of `text` mixes letters of alphabets that share their looks, as the `а` of `аdmin` may be Cyrillic: nobody
/// writes so, but to be taken for somebody else.
pub(crate) fn mixes_alphabets(text: &str) -> bool {
    let folded = fold(text);
    folded.split([' ', '.', '_', '-', '\'']).any(|word| {
        let mut alphabets = word.chars().filter_map(alphabet);
        let first = alphabets.next();
        alphabets.any(|other| Some(other) != first)
    })
}

/// Which of the alphabets that share their looks a folded letter is of.
fn alphabet(c: char) -> Option<&'static str> {
    match c {
        'a'..='z' | '\u{df}'..='\u{2af}' | '\u{1e00}'..='\u{1eff}' => Some("Latin"),
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some("Greek"),
        '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' => Some("Cyrillic"),
        '\u{530}'..='\u{58f}' => Some("Armenian"),
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => Some("Cherokee"),
        '\u{2c80}'..='\u{2cff}' => Some("Coptic"),
        _ => None,
    }
}

/// The form under which two names are the same: compatibility-normalised and case-folded.
pub(crate) fn fold(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_keeps_line_ends_and_refuses_control_characters() {
        assert!(check_prose("content", "one\n\ttwo\r\n").is_ok());
        for wrong in ["\0", "a\u{1b}[0m", "\u{7f}", "\u{9b}"] {
            assert!(check_prose("content", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_refuse_what_cannot_be_seen() {
        for wrong in [
            "",
            " ",
            "a ",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{ad}b",
            "\u{202e}ab",
            "a\nb",
            "\u{feff}a",
        ] {
            assert!(check_name("name", wrong).is_err(), "{wrong:?}");
        }
        assert!(check_name("name", "Zoë Müller").is_ok());
    }

    #[test]
    fn stacks_of_marks_are_refused_and_writing_is_not() {
        assert!(check_prose("content", &format!("a{}", "\u{301}".repeat(11))).is_err());
        assert!(check_prose("content", &"e\u{301}".repeat(1000)).is_ok());
    }

    #[test]
    fn a_word_in_two_alphabets_that_look_alike_is_told_from_writing() {
        for wrong in ["\u{430}dmin", "alic\u{435}", "Ann.B\u{3bf}b", "\u{3b1}\u{430}", "x\u{561}"] {
            assert!(mixes_alphabets(wrong), "{wrong}");
        }
        for right in [
            "Zoë Müller",
            "Ærøskøbing",
            "Анна Петрова",
            "Anna-Петрова",
            "Ελένη7",
            "ann_b",
            "محمد2",
            "田中ken",
            "Nguyễn",
            "Ａｎｎ",
        ] {
            assert!(!mixes_alphabets(right), "{right}");
        }
    }

    #[test]
    fn folding_makes_names_that_look_alike_the_same() {
        assert_eq!(fold("Ａlice"), fold("aLICE"));
        assert_eq!(fold("ﬁ"), fold("FI"));
    }
}
