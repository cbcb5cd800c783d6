//! Calls over HTTP, which may fail at any time.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What makes HTTP clients.
pub(crate) fn client() -> reqwest::Client {
    // Somebody else may have been first.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(TIMEOUT).build().unwrap()
}

/// What `url` answers with 200; `None` if it does not. A text is told as a JSON text.
pub(crate) async fn json(url: &str) -> Option<Value> {
    let answer = answer(client().get(url)).await?;
    (answer.status == 200).then_some(answer.body)
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its JSON; a text if it is none.
    pub(crate) body: Value,
}

/// Sends a request and reads the answer; `None` if there is none.
pub(crate) async fn answer(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Some(Answer { status, body })
}

/// Somebody with a token.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    http: reqwest::Client,
    /// Their name.
    pub(crate) name: String,
    /// The id of their account.
    pub(crate) id: String,
    /// Their access token.
    pub(crate) token: String,
}

impl Person {
    pub(super) fn new(http: reqwest::Client, name: &str, id: &str, token: &str) -> Self {
        Self { http, name: name.to_owned(), id: id.to_owned(), token: token.to_owned() }
    }

    /// Calls the node at `base`; `None` if it gives no answer.
    pub(crate) async fn call(
        &self,
        base: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let mut request = self.http.request(method, format!("{base}{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request.bearer_auth(&self.token)).await
    }

    /// `GET path`, which has to be answered with 200.
    pub(crate) async fn get(&self, base: &str, path: &str) -> Value {
        let answer = self.call(base, Method::GET, path, None).await.expect("an answer");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.body
    }

    /// `POST path`, which has to be answered with 200 or 201.
    pub(crate) async fn post(&self, base: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(base, Method::POST, path, Some(body)).await.expect("an answer");
        assert!(matches!(answer.status, 200 | 201), "POST {path}: {}", answer.body);
        answer.body
    }
}
