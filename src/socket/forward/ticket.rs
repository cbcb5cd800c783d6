//! What a node says of a request that it hands on to another, and how that one knows it for true.
//!
//! One header, its fields apart by blanks: the version, to which node, from which, a number that this one uses once,
//! the time (milliseconds since 1970), the length of the body (`-` if the client has not said), the client's address,
//! the request's id; and, over all of that, the method, the path and query, and every header that counts, the first
//! 16 bytes or more of HMAC-SHA256 with the cluster's key for it, in base64url.
//!
//! The bytes of the body are not under it: they are the client's, and no more is taken of them than was said.

use std::collections::HashSet;
use std::net::IpAddr;

use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::bus::seal::MAX_AGE;
use crate::client::RequestId;
use crate::domain::{BootId, Timestamp};
use crate::keys::KeyRing;
use crate::metrics::InternalRefusal;

/// The header.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-natter-forwarded");

/// What a client's request keeps of its headers on the way; of each the first value, as the library reads it.
const KEPT: [HeaderName; 8] = [
    ORIGIN,
    AUTHORIZATION,
    CONTENT_TYPE,
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    SEC_WEBSOCKET_PROTOCOL,
];

/// The form of the header; another is not understood.
const VERSION: &str = "1";

/// Numbers of requests that are remembered at least for as long as the requests could come again. More within a
/// minute, some 17,000 a second, and further ones are refused.
const MAX_REMEMBERED: usize = 1 << 20;

/// What is said of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::socket) struct Ticket {
    /// For whom it is.
    pub(in crate::socket) to: BootId,
    /// Who says so.
    pub(in crate::socket) from: BootId,
    /// Which of its requests it is.
    pub(in crate::socket) number: u64,
    /// When, by its clock.
    pub(in crate::socket) at: Timestamp,
    /// The bytes of the body, if the client has said how many.
    pub(in crate::socket) length: Option<u64>,
    /// Where the client is.
    pub(in crate::socket) address: IpAddr,
    /// What the request is called in the log.
    pub(in crate::socket) request: RequestId,
}

/// Why a request is not taken from another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::socket) enum Refusal {
    /// Nobody says anything of it.
    #[error("not signed")]
    Unsigned,
    /// What is said is of no form that this node knows, or does not fit the request.
    #[error("not as it is said to be")]
    Malformed,
    /// It was not signed by a node of this cluster, or was changed on the way.
    #[error("not signed by a node of this cluster as it is")]
    Forged,
    /// It is older than [`MAX_AGE`], or from the future.
    #[error("too old, or clocks of nodes are apart")]
    Stale,
    /// It was here before.
    #[error("here before")]
    Repeated,
    /// More come than can be told apart from those that were here before.
    #[error("too many")]
    Crowded,
}

impl Refusal {
    /// As what it is counted.
    pub(in crate::socket) fn counted(self) -> InternalRefusal {
        match self {
            Self::Unsigned => InternalRefusal::Unsigned,
            Self::Malformed => InternalRefusal::Malformed,
            Self::Forged => InternalRefusal::Forged,
            Self::Stale => InternalRefusal::Stale,
            Self::Repeated => InternalRefusal::Repeated,
            Self::Crowded => InternalRefusal::Crowded,
        }
    }
}

impl Ticket {
    /// The header that says this of the request with this head.
    pub(super) fn sign(&self, keys: &KeyRing, head: &Parts) -> HeaderValue {
        let Self { to, from, number, at, length, address, request } = self;
        let length = length.map_or("-".to_owned(), |length| length.to_string());
        let said =
            format!("{VERSION} {to} {from} {number} {} {length} {address} {}", at.0, request.0);
        let mac = URL_SAFE_NO_PAD.encode(keys.sign(&parts(&said, head)));
        let text = format!("{said} {mac}");
        HeaderValue::from_str(&text).expect("ids, numbers and addresses are plain ASCII")
    }

    /// What is said of the request with this head.
    pub(in crate::socket) fn open(keys: &KeyRing, head: &Parts) -> Result<Self, Refusal> {
        let mut said = head.headers.get_all(HEADER).iter();
        let value = said.next().ok_or(Refusal::Unsigned)?;
        let is_plain = said.next().is_none() && KEPT.iter().all(|name| is_single(head, name));
        let text = value.to_str().ok().filter(|_| is_plain).ok_or(Refusal::Malformed)?;
        let (said, mac) = text.rsplit_once(' ').ok_or(Refusal::Malformed)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_base64| Refusal::Malformed)?;
        if !keys.verify(&parts(said, head), &mac) {
            return Err(Refusal::Forged);
        }
        Self::parse(said).ok_or(Refusal::Malformed)
    }

    fn parse(said: &str) -> Option<Self> {
        let fields: Vec<&str> = said.split(' ').collect();
        let [VERSION, to, from, number, at, length, address, request] = fields[..] else {
            return None;
        };
        Some(Self {
            to: to.parse().ok()?,
            from: from.parse().ok()?,
            number: number.parse().ok()?,
            at: Timestamp(at.parse().ok()?),
            length: match length {
                "-" => None,
                bytes => Some(bytes.parse().ok()?),
            },
            address: address.parse().ok()?,
            request: RequestId(request.into()),
        })
    }
}

fn is_single(head: &Parts, name: &HeaderName) -> bool {
    head.headers.get_all(name).iter().nth(1).is_none()
}

/// What a signature is over. The label tells this form from any other that the key may ever sign.
fn parts(said: &str, head: &Parts) -> Vec<Vec<u8>> {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let mut parts = vec![
        b"natter forward".to_vec(),
        said.as_bytes().to_vec(),
        head.method.as_str().as_bytes().to_vec(),
        target.as_bytes().to_vec(),
    ];
    // A header that is not there is another thing than an empty one.
    let values = KEPT.iter().map(|name| {
        head.headers.get(name).map_or_else(Vec::new, |value| [b"=", value.as_bytes()].concat())
    });
    parts.extend(values);
    parts
}

/// Of `headers` what a request keeps on its way.
pub(in crate::socket) fn kept(headers: &HeaderMap) -> HeaderMap {
    let kept = KEPT.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
    kept.collect()
}

/// Which requests of other nodes were here, as long as they could come again.
#[derive(Debug, Default)]
pub(in crate::socket) struct Seen {
    recent: HashSet<(BootId, u64)>,
    older: HashSet<(BootId, u64)>,
    since: Option<Timestamp>,
}

impl Seen {
    /// Takes the request in, at most once.
    pub(in crate::socket) fn admit(
        &mut self,
        ticket: &Ticket,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let max_age = i64::try_from(MAX_AGE.as_millis()).unwrap_or(i64::MAX);
        if now.0.abs_diff(ticket.at.0) > max_age.unsigned_abs() {
            return Err(Refusal::Stale);
        }
        // One from the future may come again for twice as long.
        let is_full_time = |since: Timestamp| now.0.saturating_sub(since.0) > 2 * max_age;
        if self.since.is_none_or(is_full_time) {
            self.older = std::mem::take(&mut self.recent);
            self.since = Some(now);
        }
        let name = (ticket.from, ticket.number);
        if self.older.contains(&name) || self.recent.contains(&name) {
            return Err(Refusal::Repeated);
        }
        if self.recent.len() >= MAX_REMEMBERED {
            return Err(Refusal::Crowded);
        }
        self.recent.insert(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};

    use super::*;
    use crate::keys::Keys;

    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

    fn keys(secret: &[u8], previous: Option<&[u8]>) -> KeyRing {
        Keys::derive(secret, previous).forward
    }

    fn ticket() -> Ticket {
        Ticket {
            to: BootId::new(1, 1),
            from: BootId::new(1, 2),
            number: 7,
            at: Timestamp(1_700_000_000_000),
            length: Some(12),
            address: "2001:db8::1".parse().unwrap(),
            request: RequestId("an-id-of-a-request".into()),
        }
    }

    fn head() -> Parts {
        let request = Request::post("/socket.io/?EIO=4&transport=polling&sid=A.b")
            .header("content-type", "text/plain")
            .header("host", "10.0.0.7:9465");
        request.body(()).unwrap().into_parts().0
    }

    fn signed(ticket: &Ticket, mut head: Parts) -> Parts {
        let value = ticket.sign(&keys(SECRET, None), &head);
        head.headers.insert(HEADER, value);
        head
    }

    #[test]
    fn what_is_said_is_read_whatever_the_headers_that_do_not_count() {
        for ticket in
            [ticket(), Ticket { length: None, address: "192.0.2.1".parse().unwrap(), ..ticket() }]
        {
            let mut head = signed(&ticket, head());
            head.headers.insert("host", HeaderValue::from_static("elsewhere"));
            head.headers.insert("x-more", HeaderValue::from_static("more"));
            assert_eq!(Ticket::open(&keys(SECRET, None), &head), Ok(ticket));
        }
    }

    #[test]
    fn both_secrets_count_while_one_follows_the_other() {
        let head = signed(&ticket(), head());
        let (new, old) = (b"the one that follows, 32 bytes and more", Some(SECRET));
        assert!(Ticket::open(&keys(new, old), &head).is_ok());
        assert_eq!(Ticket::open(&keys(new, None), &head), Err(Refusal::Forged));
    }

    #[test]
    fn whatever_is_changed_about_a_request_is_noticed() {
        let good = signed(&ticket(), head());
        let text = good.headers[HEADER].to_str().unwrap().to_owned();
        let header = |name: &'static str, value: &'static str| {
            move |head: &mut Parts| _ = head.headers.insert(name, HeaderValue::from_static(value))
        };
        let said = |from: &'static str, to: &'static str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            move |head: &mut Parts| _ = head.headers.insert(HEADER, changed.parse().unwrap())
        };
        type Change = Box<dyn Fn(&mut Parts)>;
        let changes: Vec<Change> = vec![
            Box::new(|head| head.method = Method::GET),
            Box::new(|head| {
                head.uri = "/socket.io/?EIO=4&transport=polling&sid=B.b".parse().unwrap()
            }),
            Box::new(|head| {
                head.uri = "/socket.io?EIO=4&transport=polling&sid=A.b".parse().unwrap()
            }),
            Box::new(|head| head.uri = "/signup".parse().unwrap()),
            Box::new(|head| _ = head.headers.remove("content-type")),
            Box::new(header("content-type", "text/html")),
            Box::new(header("origin", "https://evil.example")),
            Box::new(header("authorization", "")),
            Box::new(header("upgrade", "websocket")),
            Box::new(header("connection", "upgrade")),
            Box::new(header("sec-websocket-key", "x")),
            Box::new(said(" 7 ", " 8 ")),
            Box::new(said(" 12 ", " 13 ")),
            Box::new(said("2001:db8::1", "2001:db8::2")),
            Box::new(said("an-id-of", "no-id-of")),
            Box::new(said("1700000000000", "1700000000001")),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut head = good.clone();
            change(&mut head);
            let opened = Ticket::open(&keys(SECRET, None), &head);
            assert_eq!(opened, Err(Refusal::Forged), "change {number}");
        }
    }

    #[test]
    fn what_is_no_ticket_is_refused() {
        let open = |head: &Parts| Ticket::open(&keys(SECRET, None), head).unwrap_err();
        assert_eq!(open(&head()), Refusal::Unsigned);
        let good = signed(&ticket(), head());
        let value = good.headers[HEADER].clone();
        for (name, value) in
            [(HEADER, value), (CONTENT_TYPE, HeaderValue::from_static("text/plain"))]
        {
            let mut twice = good.clone();
            twice.headers.append(name, value);
            assert_eq!(open(&twice), Refusal::Malformed);
        }
        for text in ["", "1", "é", "1 2 3", "x y", "1 \u{a0}"] {
            let mut none = good.clone();
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            none.headers.insert(HEADER, value);
            assert!(matches!(open(&none), Refusal::Malformed | Refusal::Forged), "{text}");
        }
        // Even with the key: a later form of the header, or too many fields.
        for said in ["2 a b", "1", "1 a b c d e f g h i"] {
            let mut head = head();
            let mac = URL_SAFE_NO_PAD.encode(keys(SECRET, None).sign(&parts(said, &head)));
            head.headers.insert(HEADER, format!("{said} {mac}").parse().unwrap());
            assert_eq!(open(&head), Refusal::Malformed, "{said}");
        }
    }

    #[test]
    fn a_request_is_taken_once_and_within_half_a_minute() {
        let mut seen = Seen::default();
        let second = 1_000;
        let start = ticket().at;
        let mut admit = |number: u64, at: i64, now: i64| {
            let ticket = Ticket { number, at: Timestamp(start.0 + at), ..ticket() };
            seen.admit(&ticket, Timestamp(start.0 + now))
        };
        assert_eq!(admit(1, 0, 0), Ok(()));
        assert_eq!(admit(1, 0, 0), Err(Refusal::Repeated));
        assert_eq!(admit(2, 0, 30 * second + 1), Err(Refusal::Stale));
        assert_eq!(admit(2, 30 * second + 1, 0), Err(Refusal::Stale));
        // One from the future, and another again and again until it is over.
        assert_eq!(admit(3, 30 * second, 0), Ok(()));
        for now in [1, 30, 59, 60] {
            assert_eq!(admit(3, 30 * second, now * second), Err(Refusal::Repeated), "{now}");
        }
        assert_eq!(admit(4, 60 * second, 61 * second), Ok(()), "the older ones are kept apart");
        assert_eq!(admit(4, 60 * second, 90 * second), Err(Refusal::Repeated));
        assert_eq!(admit(4, 60 * second, 91 * second), Err(Refusal::Stale));
    }
}
