//! Reads JSON and forms, and says of what cannot be read which field is wrong and what would be right.
//!
//! serde's own words name types of the program and repeat what the client sent; these do neither.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::domain::Invalid;
use crate::service::Error;

/// The field that cannot be read, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    field: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl Broken {
    /// As the refusal of a body.
    pub(crate) fn in_body(self) -> Error {
        Error::Invalid(vec![Invalid::new(self.field, self.message)])
    }

    /// As the refusal of a query.
    pub(crate) fn in_query(self) -> Error {
        Error::MalformedParameter(format!("{} {}.", self.field, self.message))
    }
}

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
        "not an id" => "must be an id".into(),
        _ if ["digit", "number too", "integer from empty"]
            .iter()
            .any(|part| words.contains(part)) =>
        {
            "must be a whole number within bounds".into()
        }
        _ if words.contains("provided string was not") => "must be true or false".into(),
        _ if words.starts_with("must ") && words.len() <= 200 => words.to_owned().into(),
        _ => "is malformed".into(),
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
