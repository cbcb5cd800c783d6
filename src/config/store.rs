//! `store.*` beside the URL: who signs in to MongoDB.
//!
//! A URI may hold a user and a password, but lies in places that others read. So both can come from elsewhere, and win
//! over what the URI says; what is configured becomes part of it here, so that nobody above has to know.

use std::path::PathBuf;

use super::secret::Secret;
use super::url::StoreUrl;

/// `store.user`, `store.password` and the files that hold them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreLogin {
    /// `MONGO_USER`
    pub user: Option<Secret>,
    /// `MONGO_USER_FILE`, which wins over the variable.
    pub user_file: Option<PathBuf>,
    /// `MONGO_PASSWORD`
    pub password: Option<Secret>,
    /// `MONGO_PASSWORD_FILE`, which wins over the variable.
    pub password_file: Option<PathBuf>,
}

/// The parts of a URI around the login.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    /// The hosts and what follows them.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let Some((login, _hosts)) = authority.rsplit_once('@') else {
            return Some(Self { scheme, user: None, password: None, rest });
        };
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        Some(Self { scheme, user: Some(user), password, rest: &rest[login.len() + 1..] })
    }
}

impl StoreUrl {
    /// The URL with what `login` names in place of its own.
    ///
    /// # Errors
    ///
    /// A password without a user, as the end of a sentence.
    pub(super) fn with_login(self, login: &StoreLogin) -> Result<Self, String> {
        let Self::Mongodb { uri } = &self else { return Ok(self) };
        if login.user.is_none() && login.password.is_none() {
            return Ok(self);
        }
        let Some(parts) = Parts::of(uri.expose()) else { return Ok(self) };
        let own = |own: &Option<Secret>, there: Option<&str>| match own {
            Some(own) => Some(percent_encoded(own.expose())),
            None => there.map(str::to_owned),
        };
        let Some(user) = own(&login.user, parts.user) else {
            return Err("is given, but no user: set MONGO_USER as well".to_owned());
        };
        let password = own(&login.password, parts.password);
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        let uri = format!("{}://{user}{password}@{}", parts.scheme, parts.rest);
        Ok(Self::Mongodb { uri: Secret::new(uri) })
    }
}

/// As a URI holds what may be any text.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(uri: &str, user: Option<&str>, password: Option<&str>) -> Result<String, String> {
        let url = StoreUrl::Mongodb { uri: Secret::new(uri) };
        let login = StoreLogin {
            user: user.map(Secret::new),
            password: password.map(Secret::new),
            ..StoreLogin::default()
        };
        match url.with_login(&login)? {
            StoreUrl::Mongodb { uri } => Ok(uri.expose().to_owned()),
            StoreUrl::Sqlite { .. } => unreachable!(),
        }
    }

    #[test]
    fn a_login_from_elsewhere_wins_over_that_of_the_uri() {
        let plain = "mongodb://a:1,b:2/natter?replicaSet=rs";
        for (uri, user, password, whole) in [
            (plain, None, None, plain),
            (
                plain,
                Some("u"),
                Some("p@:/ %"),
                "mongodb://u:p%40%3A%2F%20%25@a:1,b:2/natter?replicaSet=rs",
            ),
            ("mongodb://old:x@a/?y=@", Some("u"), Some("p"), "mongodb://u:p@a/?y=@"),
            ("mongodb://old:x@a", None, Some("p"), "mongodb://old:p@a"),
            ("mongodb://old:x@a", Some("u"), None, "mongodb://u:x@a"),
            ("mongodb+srv://a", Some("ü"), Some("p"), "mongodb+srv://%C3%BC:p@a"),
        ] {
            assert_eq!(joined(uri, user, password).as_deref(), Ok(whole), "{uri}");
        }
        assert!(joined(plain, None, Some("hunter2")).is_err_and(|why| !why.contains("hunter2")));
    }
}
