//! The id of a session as clients know it: the library's, a dot, and the node that holds the session.
//!
//! The library makes ids of its own and takes no others (16 characters, none a dot), so the node's part is appended
//! to what leaves and taken off what comes in. To clients an id is opaque.

use std::borrow::Cow;

use axum::http::Uri;

use crate::domain::BootId;

/// A session, as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionName<'a> {
    /// The library's part.
    pub(super) id: &'a str,
    /// The node that holds it; `None` where none is named: then only this one can be meant.
    pub(super) node: Option<BootId>,
}

impl<'a> SessionName<'a> {
    /// Reads the parameter `sid`; `None` if no node has made it.
    pub(super) fn parse(sid: &'a str) -> Option<Self> {
        match sid.rsplit_once('.') {
            None => Some(Self { id: sid, node: None }),
            Some((id, node)) => Some(Self { id, node: Some(node.parse().ok()?) }),
        }
    }
}

/// What the library makes of a parameter of the query: the first one counts, as it is written. Whoever
/// reads it otherwise (decoded, or the last one) takes a request for another than the library does, and
/// the bounds on strangers hold for the wrong one.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Whether the library takes a request for one to a WebSocket.
pub(super) fn is_to_websocket(query: &str) -> bool {
    let transport = parameter(query, "transport").and_then(|value| value.split('=').next());
    transport == Some("websocket")
}

/// `uri` with `id` as the session that the library reads from it.
pub(super) fn with_sid(uri: &Uri, id: &str) -> Option<Uri> {
    let mut is_found = false;
    let pairs = uri.query()?.split('&').map(|pair| {
        if is_found || !pair.starts_with("sid=") {
            return Cow::Borrowed(pair);
        }
        is_found = true;
        Cow::Owned(format!("sid={id}"))
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    format!("{}?{query}", uri.path()).parse().ok()
}

/// The library's answer to a handshake by polling with `node` appended to the id; and the library's id.
///
/// Version 3 of the protocol puts the number of characters in front.
pub(super) fn name_node(answer: &str, node: BootId) -> Option<(&str, String)> {
    let (length, packet) = match answer.split_once(':') {
        Some((length, packet)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            (Some(length), packet)
        }
        _ => (None, answer),
    };
    let (before, rest) = packet.split_once(r#""sid":""#)?;
    let (id, after) = rest.split_once('"')?;
    let packet = format!(r#"{before}"sid":"{id}.{node}"{after}"#);
    let answer = match length {
        Some(_) => format!("{}:{packet}", packet.chars().count()),
        None => packet,
    };
    Some((id, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> BootId {
        "0123456789abcdef01234567".parse().unwrap()
    }

    #[test]
    fn the_query_is_read_as_the_library_reads_it() {
        for (query, sid, is_websocket) in [
            ("EIO=4&transport=polling&sid=A", Some("A"), false),
            ("EIO=4&transport=websocket", None, true),
            ("sid=A&sid=B&transport=websocket&transport=polling", Some("A"), true),
            ("transport=polling&transport=websocket", None, false),
            ("s%69d=A&transport=w%65bsocket", None, false),
            ("transport=websocket&x=%ff", None, true),
            ("transport=websocket=polling&sid=A=B", Some("A=B"), true),
            ("sid&transport&sid=&xsid=A", Some(""), false),
            ("", None, false),
        ] {
            assert_eq!(parameter(query, "sid"), sid, "{query}");
            assert_eq!(is_to_websocket(query), is_websocket, "{query}");
        }
    }

    #[test]
    fn a_session_is_named_by_the_library_s_id_and_a_node() {
        for (sid, expected) in [
            ("A", Some(("A", None))),
            ("", Some(("", None))),
            ("A.0123456789abcdef01234567", Some(("A", Some(node())))),
            ("A.B.0123456789abcdef01234567", Some(("A.B", Some(node())))),
            (".0123456789abcdef01234567", Some(("", Some(node())))),
            ("A.", None),
            ("A.0123456789ABCDEF01234567", None),
            ("A.0123456789abcdef0123456", None),
            ("A.0123456789abcdef012345678", None),
            ("A.10.0.0.7:9465", None),
            ("A.0123456789abcdef01234567=", None),
        ] {
            let expected = expected.map(|(id, node)| SessionName { id, node });
            assert_eq!(SessionName::parse(sid), expected, "{sid}");
        }
    }

    #[test]
    fn the_node_is_taken_off_the_parameter_that_counts_and_nothing_else_changes() {
        for (uri, expected) in [
            ("/socket.io/?EIO=4&sid=A.x&t=1", "/socket.io/?EIO=4&sid=B&t=1"),
            ("/socket.io?sid=A.x&sid=A.y&xsid=A.x", "/socket.io?sid=B&sid=A.y&xsid=A.x"),
            ("/socket.io/?s%69d=A.x&sid=", "/socket.io/?s%69d=A.x&sid=B"),
            ("/socket.io/?sid&&sid=A.x&%ff", "/socket.io/?sid&&sid=B&%ff"),
        ] {
            let changed = with_sid(&uri.parse().unwrap(), "B").unwrap();
            assert_eq!(changed.to_string(), expected);
        }
        assert_eq!(with_sid(&"/socket.io/".parse().unwrap(), "B"), None);
    }

    #[test]
    fn the_node_is_appended_to_the_id_of_a_handshake_in_both_versions() {
        let four = r#"0{"sid":"AAAA","upgrades":["websocket"],"pingInterval":15000}"#;
        let (id, named) = name_node(four, node()).unwrap();
        assert_eq!(id, "AAAA");
        assert_eq!(named, four.replace("AAAA", "AAAA.0123456789abcdef01234567"));
        let three = format!("{}:{four}", four.len());
        let (id, named) = name_node(&three, node()).unwrap();
        assert_eq!(id, "AAAA");
        let (length, packet) = named.split_once(':').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), packet.len());
        assert_eq!(packet, four.replace("AAAA", "AAAA.0123456789abcdef01234567"));
        assert_eq!(name_node("0{}", node()), None);
    }
}
