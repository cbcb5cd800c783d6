//! Somebody who calls a node over HTTP.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody with a token, or without.
#[derive(Clone)]
pub(crate) struct Person {
    base: String,
    http: reqwest::Client,
    /// The access token, if they are signed in.
    pub(crate) token: Option<String>,
    /// The answer of `POST /signup`.
    pub(crate) user: Value,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its JSON; a text if it is none, null if it is empty.
    pub(crate) body: Value,
}

impl Person {
    /// Somebody without a token.
    pub(crate) fn anonymous(base: String) -> Self {
        let http = super::http::builder().redirect(reqwest::redirect::Policy::none());
        Self { base, http: http.build().unwrap(), token: None, user: Value::Null }
    }

    /// Whoever has this token.
    pub(crate) fn with_token(base: String, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::anonymous(base) }
    }

    /// The id of their account.
    pub(crate) fn id(&self) -> &str {
        self.user["id"].as_str().unwrap()
    }

    /// A request, with the token if there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// `GET path`
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// `DELETE path`
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// `POST path` with JSON.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// `PUT path` with JSON.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).json(&body)).await
    }

    /// `PATCH path` with JSON.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    /// `POST /token`
    pub(crate) async fn token(&self, name: &str, password: &str) -> Answer {
        let form = [("username", name), ("password", password)];
        Answer::of(self.request(Method::POST, "/token").form(&form)).await
    }

    /// A new group room of theirs: its id.
    pub(crate) async fn create_room(&self, name: &str) -> String {
        let made = self.post("/chat-rooms", json!({"name": name})).await.is(200);
        made["chat_room"]["id"].as_str().unwrap().to_owned()
    }

    /// Comes into a group room by asking its owner, who agrees: the id of the membership.
    pub(crate) async fn enter(&self, room: &str, owner: &Self) -> String {
        let request = self.post("/join-request", json!({"chat_room_id": room})).await.is(200);
        let answer = json!({"join_request_id": request["id"], "approval_status": true});
        let handled = owner.post("/handle-join-request", answer).await.is(200);
        handled["session"]["id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    /// Sends a request and reads the answer.
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        Self { status, headers, body }
    }

    /// The body of an answer that has to have this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Checks that this is a failure as the contract has them, with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, &self.body["code"]), (status, &code.into()), "{}", self.body);
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        let fields = self.body["errors"].as_array().map(Vec::len);
        assert_eq!(fields.is_some_and(|count| count > 0), status == 422, "{}", self.body);
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401);
        self.body
    }

    /// A header's text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
