//! Lists in pages.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::extract::{Json, Query};
use crate::domain::Page;
use crate::service::Error;

/// The parameters of every list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Paging` reads")]
pub(crate) struct PageParams {
    /// The most items to answer with.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
    /// The last id that was seen; the page begins behind it.
    after: Option<String>,
    /// Items to pass over.
    #[param(default = 0)]
    skip: Option<u32>,
}

#[derive(Deserialize)]
struct Asked {
    limit: Option<String>,
    after: Option<String>,
    skip: Option<String>,
}

/// The page that a request asks for, and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Paging<Id> {
    limit: u32,
    skip: u32,
    after: Option<Id>,
    uri: Uri,
}

impl<Id: FromStr + Send, S: Send + Sync> FromRequestParts<S> for Paging<Id> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(asked) = Query::<Asked>::from_request_parts(parts, state).await?;
        let after = asked.after.map(|after| after.parse());
        let after = after.transpose().map_err(|_not_an_id| {
            Error::Malformed("after must be the id of the last item seen.".to_owned())
        })?;
        Ok(Self {
            limit: number("limit", asked.limit, Page::<Id>::DEFAULT, (1, Page::<Id>::MAX))?,
            skip: number("skip", asked.skip, 0, (0, u32::MAX))?,
            after,
            uri: parts.uri.clone(),
        })
    }
}

/// A number of a query.
pub(super) fn number(
    name: &'static str,
    text: Option<String>,
    default: u32,
    (min, max): (u32, u32),
) -> Result<u32, Error> {
    let Some(text) = text else { return Ok(default) };
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid(name, "must be a whole number"));
    }
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| Error::invalid(name, format!("must be from {min} to {max}")))
}

impl<Id: Copy> Paging<Id> {
    /// What to ask a use case for: one item more than goes out, which tells whether there is a next page.
    pub(crate) fn page(&self) -> Page<Id> {
        Page { after: self.after, skip: self.skip, limit: self.limit + 1 }
    }
}

impl<Id: std::fmt::Display> Paging<Id> {
    /// Answers with the items that [`Paging::page`] gave, each as `show` shows it.
    pub(crate) fn answer<T, V: Serialize>(
        &self,
        mut items: Vec<T>,
        id: impl Fn(&T) -> Id,
        show: impl FnMut(&T) -> V,
    ) -> Paged<V> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_next = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_next).map(|last| self.next(&id(last)));
        Paged { items: items.iter().map(show).collect(), next }
    }

    /// This request's path and query, from behind `last` on.
    fn next(&self, last: &Id) -> String {
        next_page(&self.uri, &["after", "skip"], "after", &last.to_string())
    }
}

/// The path and query of `uri`, without the parameters `replaced` and with `name` instead.
pub(super) fn next_page(uri: &Uri, replaced: &[&str], name: &str, value: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let kept = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !replaced.contains(&name.as_ref()));
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(kept).append_pair(name, value);
    format!("{}?{}", uri.path(), next.finish())
}

/// A page of a list: an array, with a `Link` to the next one if there is one.
#[derive(Debug)]
pub(crate) struct Paged<V> {
    items: Vec<V>,
    next: Option<String>,
}

impl<V: Serialize> Paged<V> {
    /// These items, and the path of the next page if there is one.
    pub(super) fn new(items: Vec<V>, next: Option<String>) -> Self {
        Self { items, next }
    }

    /// Answers with an object that holds the items, for the list that is part of something.
    pub(super) fn within<W: Serialize>(self, wrap: impl FnOnce(Vec<V>) -> W) -> Response {
        let mut response = Json(wrap(self.items)).into_response();
        let link = self.next.map(|next| format!("<{next}>; rel=\"next\""));
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}

impl<V: Serialize> IntoResponse for Paged<V> {
    fn into_response(self) -> Response {
        self.within(|items| items)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::domain::UserId;

    async fn paging(uri: &str) -> Result<Paging<UserId>, Error> {
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        Paging::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn only_a_list_that_goes_on_names_its_next_page() {
        let id = |number| UserId::new(number, 0);
        let paging = paging("/users?name=a%26b&limit=2&skip=1").await.unwrap();
        assert_eq!(paging.page(), Page { after: None, skip: 1, limit: 3 });
        let answer = paging.answer(vec![1, 2, 3], |item| id(*item), |item| *item);
        assert_eq!(answer.items, [1, 2]);
        let next = answer.next.unwrap();
        assert_eq!(next, format!("/users?name=a%26b&limit=2&after={}", id(2)));
        assert_eq!(paging.answer(vec![1, 2], |item| id(*item), |item| *item).next, None);
        assert_eq!(paging.answer(vec![], |item| id(*item), |item: &u64| *item).next, None);
    }

    #[tokio::test]
    async fn what_is_no_page_is_refused() {
        let refused = paging("/users?after=x").await.unwrap_err();
        assert!(matches!(refused, Error::Malformed(_)), "{refused:?}");
        for wrong in [
            "limit=x",
            "limit=5.5",
            "limit=",
            "limit=1e3",
            "skip=x",
            "limit=1&limit=2",
            "limit=0",
            "limit=501",
            "limit=-1",
            "limit=18446744073709551616",
            "skip=-1",
        ] {
            let refused = paging(&format!("/users?{wrong}")).await.unwrap_err();
            assert!(matches!(refused, Error::Invalid(_)), "{wrong}: {refused:?}");
        }
    }
}
