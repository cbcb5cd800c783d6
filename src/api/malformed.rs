//! Reads JSON and forms, and says of what cannot be read which field is wrong and what would be right.
//!
//! serde's own words name types of the program and repeat what the client sent, which may be megabytes; these do neither.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The field that cannot be read, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Its name, or `body` or `payload` for all of it.
    pub(crate) field: Cow<'static, str>,
    /// The rest of the sentence.
    pub(crate) message: Cow<'static, str>,
}

/// The payload of an event, which has to be an object: out of an array serde would make any struct.
#[derive(Debug)]
pub(crate) struct Payload<T>(pub(crate) T);

/// Stands before the field and before the message where an error of [`Payload`] tells a [`Broken`]. No other error holds it.
const TOLD: char = '\u{1}';

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Payload<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                serde_path_to_error::deserialize(MapAccessDeserializer::new(map)).map_err(|error| {
                    let (path, words) = (error.path().to_string(), error.inner().to_string());
                    let Broken { field, message } = describe(&path, &words);
                    A::Error::custom(format_args!("{TOLD}{field}{TOLD}{message}"))
                })
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// What is wrong with a [`Payload`], by the error that came of reading it.
pub(crate) fn of_payload(error: &str) -> Broken {
    let words = error.rsplit_once(" at line ").map_or(error, |(words, _position)| words);
    let told = words.strip_prefix(TOLD).and_then(|told| told.split_once(TOLD));
    let (field, message) = match told {
        // The path to what is no JSON may be of the client's making.
        Some((_, MALFORMED)) => ("payload", MALFORMED),
        Some(told) => told,
        None if words.ends_with("expected an object") || words.contains("element not found") => {
            ("payload", "must be an object")
        }
        None => ("payload", MALFORMED),
    };
    Broken { field: field.to_owned().into(), message: message.to_owned().into() }
}

const MALFORMED: &str = "is malformed";

/// What is said of a text that cannot be an id.
pub(crate) const NOT_AN_ID: &str = "must be an id";

/// Reads a JSON body. An array is none: serde would read it into any struct.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Broken> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        return Err(Broken { field: "body".into(), message: "must be an object".into() });
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() {
            return describe(&error.path().to_string(), &error.inner().to_string());
        }
        Broken { field: "body".into(), message: "must be valid JSON".into() }
    })?;
    let trailing =
        |_why| Broken { field: "body".into(), message: "must be a single JSON value".into() };
    reader.end().map_err(trailing)?;
    Ok(read)
}

/// Reads a form or a query.
pub(crate) fn form<T: DeserializeOwned>(text: &[u8]) -> Result<T, Broken> {
    let fields = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text));
    serde_path_to_error::deserialize(fields)
        .map_err(|error| describe(&error.path().to_string(), &error.inner().to_string()))
}

/// Puts serde's words about the field at `path` into ours.
fn describe(path: &str, words: &str) -> Broken {
    let words = words.rsplit_once(" at line ").map_or(words, |(words, _position)| words);
    let within = |field: &str| match path {
        "." | "" => field.to_owned(),
        path => format!("{path}.{field}"),
    };
    if let Some(field) = quoted(words, "missing field ") {
        return Broken { field: within(field).into(), message: "is missing".into() };
    }
    if let Some(field) = quoted(words, "duplicate field ") {
        return Broken { field: within(field).into(), message: "must be given once".into() };
    }
    let field = if matches!(path, "." | "") { "body".to_owned() } else { path.to_owned() };
    let message = match words.rsplit_once(", expected ") {
        Some((_found, expected)) => wanted(expected),
        None => words_of_parsing(words),
    };
    Broken { field: field.into(), message }
}

fn quoted<'a>(words: &'a str, before: &str) -> Option<&'a str> {
    words.strip_prefix(before)?.strip_prefix('`')?.strip_suffix('`')
}

/// What serde expected, in words for who wrote the request.
fn wanted(expected: &str) -> Cow<'static, str> {
    let first = expected.split([' ', '<']).next().unwrap_or_default();
    let is_integer = first.len() <= 5
        && first.strip_prefix(['u', 'i']).is_some_and(|rest| {
            rest == "size" || rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty()
        });
    match first {
        _ if is_integer => "must be a whole number within bounds".into(),
        "struct" | "map" | "internally" | "adjacently" => "must be an object".into(),
        "a" | "an" | "one" | "true" => format!("must be {expected}").into(),
        _ if expected.starts_with('`') => format!("must be {expected}").into(),
        "f32" | "f64" => "must be a number".into(),
        "borrowed" | "str" | "string" => "must be a text".into(),
        _ => "is of the wrong type".into(),
    }
}

/// The words of `FromStr` and of our own types.
fn words_of_parsing(words: &str) -> Cow<'static, str> {
    match words {
        "not an id" => NOT_AN_ID.into(),
        _ if ["digit", "number too", "integer from empty"]
            .iter()
            .any(|part| words.contains(part)) =>
        {
            "must be a whole number within bounds".into()
        }
        _ if words.contains("provided string was not") => "must be true or false".into(),
        _ if words.starts_with("must ") && words.len() <= 200 => words.to_owned().into(),
        _ => MALFORMED.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::domain::RoomId;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is asked")]
    struct Body {
        name: String,
        count: Option<u32>,
        room: Option<RoomId>,
        inner: Option<Inner>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is asked")]
    struct Inner {
        flag: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        One,
        Two,
    }

    fn broken(body: &str) -> (String, String) {
        let broken = json::<Body>(body.as_bytes()).unwrap_err();
        (broken.field.into_owned(), broken.message.into_owned())
    }

    #[test]
    fn a_broken_body_names_the_field_and_what_would_be_right() {
        for (body, field, message) in [
            ("{}", "name", "is missing"),
            (r#"{"name": 5}"#, "name", "must be a string"),
            (r#"{"name": {"$gt": ""}}"#, "name", "must be a string"),
            (r#"{"name": "a", "name": "b"}"#, "name", "must be given once"),
            (r#"{"name": "a", "count": -1}"#, "count", "must be a whole number within bounds"),
            (r#"{"name": "a", "count": 5.5}"#, "count", "must be a whole number within bounds"),
            (r#"{"name": "a", "count": "5"}"#, "count", "must be a whole number within bounds"),
            (r#"{"name": "a", "room": "x"}"#, "room", "must be an id"),
            (r#"{"name": "a", "inner": {}}"#, "inner.flag", "is missing"),
            (r#"{"name": "a", "inner": {"flag": 1}}"#, "inner.flag", "must be a boolean"),
            (r#"{"name": "a", "kind": "x"}"#, "kind", "must be `one` or `two`"),
            (r#"["a"]"#, "body", "must be an object"),
            ("5", "body", "must be an object"),
            ("", "body", "must be valid JSON"),
            ("{", "body", "must be valid JSON"),
            (r#"{"name": "a"} x"#, "body", "must be a single JSON value"),
        ] {
            assert_eq!(broken(body), (field.to_owned(), message.to_owned()), "{body}");
        }
    }

    fn broken_payload(payload: &str) -> (String, String) {
        let error = serde_json::from_str::<Payload<Body>>(payload).unwrap_err();
        let Broken { field, message } = of_payload(&error.to_string());
        (field.into_owned(), message.into_owned())
    }

    #[test]
    fn a_broken_payload_names_the_field_and_repeats_nothing() {
        let long = "x".repeat(1_000_000);
        for (payload, field, message) in [
            ("{}".to_owned(), "name", "is missing"),
            (
                format!(r#"{{"name": "a", "count": "{long}"}}"#),
                "count",
                "must be a whole number within bounds",
            ),
            (format!(r#"{{"name": "a", "kind": "{long}"}}"#), "kind", "must be `one` or `two`"),
            (
                r#"{"name": "a", "inner": {"flag": 1}}"#.to_owned(),
                "inner.flag",
                "must be a boolean",
            ),
            (format!(r#"{{"{long}": nul}}"#), "payload", "is malformed"),
            (format!(r#"["{long}", 1, null, null, null]"#), "payload", "must be an object"),
            (format!(r#""{long}""#), "payload", "must be an object"),
            ("null".to_owned(), "payload", "must be an object"),
            ("{".to_owned(), "payload", "is malformed"),
        ] {
            assert_eq!(broken_payload(&payload), (field.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn what_the_client_sent_is_not_repeated_and_depth_is_no_danger() {
        let (_, message) = broken(r#"{"name": "a", "count": "hunter2, expected hunter2"}"#);
        assert!(!message.contains("hunter2"), "{message}");
        let deep = format!("{{\"x\":{}", "[".repeat(500_000));
        assert_eq!(broken(&deep).1, "must be valid JSON");
    }

    #[test]
    fn a_broken_form_names_the_field() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only whether it can be read is asked")]
        struct Fields {
            username: String,
            is_group: Option<bool>,
            limit: Option<u32>,
        }
        for (text, field, message) in [
            ("", "username", "is missing"),
            ("username[$gt]=x", "username", "is missing"),
            ("username=a&username=b", "username", "must be given once"),
            ("username=a&is_group=maybe", "is_group", "must be true or false"),
            ("username=a&limit=5.5", "limit", "must be a whole number within bounds"),
            ("username=a&limit=", "limit", "must be a whole number within bounds"),
        ] {
            let found = form::<Fields>(text.as_bytes()).unwrap_err();
            assert_eq!((&*found.field, &*found.message), (field, message), "{text}");
        }
    }
}
