//! Accounts.

use std::fmt;

use serde::Serialize;

use super::text::{Invalid, check_name, fold, mixes_alphabets};
use super::{Timestamp, UserId};

/// Counts the revocations of an account. A token carries the generation of its issue and is refused once
/// the account's is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u32);

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its address, unique without regard to case.
    pub email: Email,
    /// The name that others see, unique without regard to case and to ways of writing the same letters.
    pub username: Username,
    /// Whether it may use the calls of administration.
    pub is_admin: bool,
    /// Whether it is shut: it can neither sign in nor use a token.
    pub is_disabled: bool,
    /// Tokens of a lower one are refused.
    pub generation: Generation,
    /// Until when the user has declared to be online; `None` when not.
    pub online_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An e-mail address: one `@`, a dot in its domain, no blanks, at most 254 bytes (RFC 5321's path limit).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Email(String);

impl Email {
    /// The longest address, in bytes: RFC 5321, 4.5.3.1.3, less the angle brackets.
    pub const MAX_BYTES: usize = 254;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.len() > Self::MAX_BYTES {
            return Err(Invalid::new(
                "email",
                format!("must be at most {} bytes", Self::MAX_BYTES),
            ));
        }
        check_name("email", &text)?;
        let well_formed = text
            .split_once('@')
            .is_some_and(|(local, domain)| is_local_part(local) && is_domain(domain));
        if !well_formed {
            return Err(Invalid::new("email", "must be an e-mail address, like ann@example.org"));
        }
        Ok(Self(text))
    }

    /// Takes back what was checked when it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which addresses are the same.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

fn is_local_part(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    (1..=64).contains(&text.len())
        && text.chars().all(allowed)
        && text.split('.').all(|atom| !atom.is_empty())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(label)
}

/// A name that others see: 1 to 64 characters, letters, digits, single blanks and `. _ - '` between them.
/// It holds no `@`, so that a sign-in name is never mistaken for an address, and no word of Latin and Cyrillic letters, say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Username(String);

impl Username {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Names that would be mistaken for the service itself or for everybody.
    const RESERVED: &'static [&'static str] = &[
        "admin",
        "administrator",
        "all",
        "anonymous",
        "api",
        "bot",
        "channel",
        "everyone",
        "everybody",
        "here",
        "me",
        "moderator",
        "natter",
        "nobody",
        "null",
        "root",
        "server",
        "support",
        "system",
        "undefined",
        "webhook",
    ];

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        use unicode_normalization::char::is_combining_mark;
        let text = text.into();
        check_name("username", &text)?;
        if text.chars().count() > Self::MAX_CHARS {
            let message = format!("must be at most {} characters", Self::MAX_CHARS);
            return Err(Invalid::new("username", message));
        }
        let allowed = |c: char| c.is_alphanumeric() || is_combining_mark(c) || " ._-'".contains(c);
        if !text.chars().all(allowed) || text.contains("  ") {
            let message = "must be letters, digits, single blanks and . _ - ' only";
            return Err(Invalid::new("username", message));
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err(Invalid::new("username", "must hold a letter or a digit"));
        }
        if mixes_alphabets(&text) {
            let message = "must not mix letters of several alphabets in one word";
            return Err(Invalid::new("username", message));
        }
        if Self::RESERVED.contains(&fold(&text).as_str()) {
            return Err(Invalid::new("username", "is reserved, choose another"));
        }
        Ok(Self(text))
    }

    /// Takes back what was checked when it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which names are the same.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password as it came in, at most 72 bytes and without a NUL: what bcrypt would cut or stop at is
/// refused, never truncated. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// bcrypt looks at 72 bytes and no further.
    pub const MAX_BYTES: usize = 72;

    /// Checks `text` for use as a new password. `field` is the name the client gave it under, `min_bytes`
    /// the operator's `auth.password_min_bytes`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken, never the password.
    pub fn parse(field: &'static str, text: String, min_bytes: usize) -> Result<Self, Invalid> {
        if text.len() < min_bytes.max(1) {
            let message = format!("must be at least {} bytes", min_bytes.max(1));
            return Err(Invalid::new(field, message));
        }
        if text.len() > Self::MAX_BYTES {
            let message = format!("must be at most {} bytes of UTF-8", Self::MAX_BYTES);
            return Err(Invalid::new(field, message));
        }
        if text.contains('\0') {
            return Err(Invalid::new(field, "must not contain a NUL"));
        }
        Ok(Self(text))
    }

    /// The password itself, for the hash.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for right in ["ann@example.org", "a.b+c@x-y.example.org", "zoë@exämple.org"] {
            assert!(Email::parse(right).is_ok(), "{right}");
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for wrong in [
            "",
            "ann",
            "ann@",
            "@example.org",
            "ann@example",
            "a b@example.org",
            "a@b@example.org",
            "ann@-x.org",
            "ann@x..org",
            ".a@example.org",
            "a\0@example.org",
            "ann@example.org\n",
            &long,
        ] {
            assert!(Email::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_checked() {
        for right in ["a", "ann", "Zoë Müller", "o'brien", "x_y-z.1", "李雷", "नमस्ते"]
        {
            assert!(Username::parse(right).is_ok(), "{right}");
        }
        let long = "a".repeat(65);
        for wrong in [
            "",
            " ann",
            "ann ",
            "a  b",
            "a@b",
            "<b>",
            "a\u{200b}",
            "a\u{202e}b",
            "Admin",
            "SYSTEM",
            "ａll",
            "...",
            "a\nb",
            &long,
            "a/b",
            "$gt",
        ] {
            assert!(Username::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn passwords_that_bcrypt_would_cut_are_refused() {
        let parse = |text: &str| Password::parse("password", text.to_owned(), 1);
        assert!(parse(&"a".repeat(72)).is_ok());
        assert!(parse(&"a".repeat(73)).is_err());
        assert!(parse(&"€".repeat(25)).is_err());
        assert!(parse("a\0b").is_err());
        assert!(parse("").is_err());
        assert!(!format!("{:?}", parse("hunter2")).contains("hunter2"));
    }
}
