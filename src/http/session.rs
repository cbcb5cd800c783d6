//! Who asks. Only the `Authorization` header says so: a query ends up in logs, and a cookie comes along by itself.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::app::App;
use crate::domain::{Timestamp, User};
use crate::service::{Error, sessions};

/// The caller, by a bearer token that is valid now.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The account, as it is now.
    pub(crate) user: User,
    /// When the token expires.
    pub(crate) expires_at: Timestamp,
}

/// The caller, who administers.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// The account, as it is now.
    pub(crate) user: User,
}

impl FromRequestParts<App> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let token = bearer_token(&parts.headers)
            .ok_or(Error::Unauthorized("A bearer token is needed: sign in."))?;
        let (user, expires_at) = sessions::open(app, token).await?;
        tracing::Span::current().record("user.id", tracing::field::display(user.id));
        Ok(Self { user, expires_at })
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let Session { user, .. } = Session::from_request_parts(parts, app).await?;
        if !user.is_admin {
            return Err(Error::Forbidden("Only an administrator may do this."));
        }
        Ok(Self { user })
    }
}

/// The token of the `Authorization` header, if that is there exactly once.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    sessions::bearer(value.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_header_holds_a_token() {
        let token = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(token(&["Bearer a.b.c"]).as_deref(), Some("a.b.c"));
        assert_eq!(token(&["bearer  a.b.c"]).as_deref(), Some("a.b.c"));
        for none in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Basic a.b.c"],
            &["a.b.c"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(token(none), None, "{none:?}");
        }
    }
}
