//! Web origins: scheme, host and port, as browsers send them.

use std::fmt;

/// An origin in the one form in which browsers write it: lower case, no default port, no path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Reads `https://chat.example.com` or `http://localhost:5173`.
    ///
    /// Only exact origins are taken: `*` and `null` would let any page act for its reader.
    ///
    /// # Errors
    ///
    /// What is wrong with `text`, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an exact origin such as https://chat.example.com");
        let lower = text.trim().to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(wrong)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let (host, port) = split_port(authority).ok_or_else(wrong)?;
        let host_is_valid = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c));
        if !scheme_is_valid || !host_is_valid {
            return Err(wrong());
        }
        let is_default = matches!((scheme, port), ("http", Some(80)) | ("https", Some(443)));
        match port {
            Some(port) if !is_default => Ok(Self(format!("{scheme}://{host}:{port}"))),
            _ => Ok(Self(format!("{scheme}://{host}"))),
        }
    }

    /// The origin as it stands in an `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits `host:port`; the colons within `[::1]` separate no port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        inside.parse::<std::net::Ipv6Addr>().ok()?;
        let host = &authority[..inside.len() + 2];
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None if after.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        for (text, kept) in [
            ("https://Chat.Example.com/", "https://chat.example.com"),
            ("https://chat.example.com:443", "https://chat.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:80", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.0), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn what_is_not_exactly_one_origin_is_refused() {
        for text in [
            "*",
            "null",
            "",
            "https://",
            "chat.example.com",
            "https://*.example.com",
            "https://a.example/path",
            "https://a.example?x",
            "https://user@a.example",
            "https://a.example:99999",
            "https://[::1",
            "https://[oops]",
            "1http://a.example",
            "https://a b",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
