//! `bus.*`: who this node is to the servers of its bus, and who they have to be.

use std::path::PathBuf;

use super::nats::NatsUrl;
use super::secret::{self, Secret};
use super::url::BusUrl;

/// `bus.*` but for the URL. At most one kind of credentials is set, here or in the URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BusAccess {
    /// `bus.user`
    pub user: Option<String>,
    /// `NATTER_BUS_PASSWORD`, or the content of `bus.password_file`.
    pub password: Option<Secret>,
    /// `bus.password_file`, which wins over the variable.
    pub password_file: Option<PathBuf>,
    /// `NATTER_BUS_TOKEN`, or the content of `bus.token_file`.
    pub token: Option<Secret>,
    /// `bus.token_file`, which wins over the variable.
    pub token_file: Option<PathBuf>,
    /// `bus.nkey_file`: a seed, as `nk -gen user` makes one.
    pub nkey_file: Option<PathBuf>,
    /// `bus.credentials_file`: a JWT and its seed, as `nsc generate creds` makes them.
    pub credentials_file: Option<PathBuf>,
    /// `bus.ca_file`: PEM of the authorities that servers' certificates are of; those of the system when `None`.
    pub ca_file: Option<PathBuf>,
    /// `bus.certificate_file`: PEM of the certificate that this node shows; goes with `key_file`.
    pub certificate_file: Option<PathBuf>,
    /// `bus.key_file`: PEM of its key.
    pub key_file: Option<PathBuf>,
}

/// Who this node is to a NATS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusCredentials {
    /// Nobody, or whoever its certificate names.
    None,
    /// A user with a password.
    Password(String, Secret),
    /// Whoever knows a token.
    Token(Secret),
    /// Whoever holds the key of this seed.
    Nkey(Secret),
    /// Whoever a JWT names, in a file together with the seed of its key.
    Jwt(Secret),
}

/// A setting, and what is wrong with it.
pub type Wrong = (&'static str, String);

impl BusAccess {
    /// The credentials for `url`, and the setting that holds them.
    ///
    /// # Errors
    ///
    /// If there are several, half ones, or a file cannot be read.
    pub fn credentials(&self, url: &NatsUrl) -> Result<(&'static str, BusCredentials), Wrong> {
        let mut found = Vec::new();
        if let Some((user, password)) = &url.user {
            found.push(("bus.url", BusCredentials::Password(user.clone(), password.clone())));
        }
        if let Some(token) = &url.token {
            found.push(("bus.url", BusCredentials::Token(token.clone())));
        }
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                found.push(("bus.user", BusCredentials::Password(user.clone(), password.clone())));
            }
            (Some(_), None) => {
                return Err(wrong("bus.user", "needs bus.password_file or NATTER_BUS_PASSWORD"));
            }
            (None, Some(_)) => {
                return Err(wrong("bus.user", "is missing, and there is a password for it"));
            }
            (None, None) => {}
        }
        if let Some(token) = &self.token {
            found.push(("bus.token", BusCredentials::Token(token.clone())));
        }
        if let Some(file) = &self.nkey_file {
            let seed = secret::read(file).map_err(|why| ("bus.nkey_file", why))?;
            found.push(("bus.nkey_file", BusCredentials::Nkey(seed)));
        }
        if let Some(file) = &self.credentials_file {
            let both = secret::read(file).map_err(|why| ("bus.credentials_file", why))?;
            found.push(("bus.credentials_file", BusCredentials::Jwt(both)));
        }
        match <[_; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(none) if none.is_empty() => Ok(("bus.url", BusCredentials::None)),
            Err(several) => Err((
                several[1].0,
                format!("is one kind of credentials too many, there is {} already", several[0].0),
            )),
        }
    }

    /// Whether this node shows a certificate.
    pub(super) fn has_certificate(&self) -> bool {
        self.certificate_file.is_some()
    }

    /// Reads the files of secrets whose content takes the place of a variable.
    pub(super) fn read_secret_files(&mut self) -> Result<(), Wrong> {
        for (key, file, place) in [
            ("bus.password_file", &self.password_file, &mut self.password),
            ("bus.token_file", &self.token_file, &mut self.token),
        ] {
            if let Some(file) = file {
                *place = Some(secret::read(file).map_err(|why| (key, why))?);
            }
        }
        Ok(())
    }

    /// Checks what no single setting can know.
    pub(super) fn check(&self, url: &BusUrl) -> Result<(), Wrong> {
        let BusUrl::Nats { url } = url else {
            return match self.is_empty() {
                true => Ok(()),
                false => {
                    Err(wrong("bus.url", "is local:, which takes no credentials or certificates"))
                }
            };
        };
        let url = NatsUrl::parse(url.expose()).map_err(|why| ("bus.url", why))?;
        self.credentials(&url)?;
        let pair = (self.certificate_file.is_some(), self.key_file.is_some());
        match pair {
            (true, false) => {
                return Err(wrong("bus.key_file", "is missing, and there is bus.certificate_file"));
            }
            (false, true) => {
                return Err(wrong("bus.certificate_file", "is missing, and there is bus.key_file"));
            }
            _ => {}
        }
        for (key, file) in [
            ("bus.ca_file", &self.ca_file),
            ("bus.certificate_file", &self.certificate_file),
            ("bus.key_file", &self.key_file),
        ] {
            if let Some(file) = file {
                secret::read(file).map_err(|why| (key, why))?;
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn wrong(key: &'static str, why: &str) -> Wrong {
    (key, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BusUrl {
        BusUrl::parse(text).unwrap()
    }

    #[test]
    fn credentials_are_of_one_kind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "content\n").unwrap();
        let none = BusAccess::default;
        let user =
            || BusAccess { user: Some("ann".into()), password: Some(Secret::new("p")), ..none() };
        let token = || BusAccess { token: Some(Secret::new("t")), ..none() };
        let nkey = || BusAccess { nkey_file: Some(file.clone()), ..none() };
        let jwt = || BusAccess { credentials_file: Some(file.clone()), ..none() };
        for (access, text, setting) in [
            (none(), "nats://u:p@bus", "bus.url"),
            (none(), "nats://t@bus", "bus.url"),
            (user(), "nats://bus", "bus.user"),
            (token(), "nats://bus", "bus.token"),
            (nkey(), "nats://bus", "bus.nkey_file"),
            (jwt(), "nats://bus", "bus.credentials_file"),
        ] {
            assert_eq!(access.check(&url(text)), Ok(()));
            let found = access.credentials(&NatsUrl::parse(text).unwrap()).unwrap();
            assert_eq!(found.0, setting);
            assert_ne!(found.1, BusCredentials::None);
            assert!(!format!("{access:?} {found:?}").contains("content"));
            if access != none() {
                assert_eq!(access.check(&url("nats://u:p@bus")).unwrap_err().0, setting);
                assert_eq!(access.check(&url("local:")).unwrap_err().0, "bus.url");
            }
        }
        let both = BusAccess { token: token().token, ..nkey() };
        assert_eq!(both.check(&url("nats://bus")).unwrap_err().0, "bus.nkey_file");
    }

    #[test]
    fn halves_and_files_that_are_not_there_are_told() {
        let none = BusAccess::default;
        let nowhere = || Some(PathBuf::from("/nowhere/file"));
        for (access, setting) in [
            (BusAccess { user: Some("ann".into()), ..none() }, "bus.user"),
            (BusAccess { password: Some(Secret::new("p")), ..none() }, "bus.user"),
            (BusAccess { nkey_file: nowhere(), ..none() }, "bus.nkey_file"),
            (BusAccess { credentials_file: nowhere(), ..none() }, "bus.credentials_file"),
            (BusAccess { ca_file: nowhere(), ..none() }, "bus.ca_file"),
            (BusAccess { certificate_file: nowhere(), ..none() }, "bus.key_file"),
            (BusAccess { key_file: nowhere(), ..none() }, "bus.certificate_file"),
        ] {
            assert_eq!(access.check(&url("nats://bus")).unwrap_err().0, setting);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let mut access = BusAccess {
            user: Some("ann".into()),
            password: Some(Secret::new("of the variable")),
            password_file: Some(file),
            ..none()
        };
        access.read_secret_files().unwrap();
        assert_eq!(access.password, Some(Secret::new("hunter2")));
        assert!(!format!("{access:?}").contains("hunter2"));
        let mut token = BusAccess { token_file: nowhere(), ..none() };
        assert_eq!(token.read_secret_files().unwrap_err().0, "bus.token_file");
    }
}
