//! The configuration of a node: what can be set, its defaults, and where each value comes from.
//!
//! The defaults run one complete node with nothing else on the machine. On top of them come, each
//! overriding the one before, a TOML file, the environment, and flags; every setting has one name
//! in these three spellings (`store.url`, `NATTER_STORE_URL`, `--store`). What is wrong is told in
//! one sentence that names the setting and where its value came from ([`ConfigError`]).
//!
//! This module only reads and checks. Opening what the URLs name is left to `store`, `bus` and
//! `media`, and what `first_admin` asks for to the accounts service.

mod bucket;
mod bus;
mod exposed;
mod limit;
mod load;
mod media;
mod nats;
mod origin;
mod secret;
mod setting;
mod store;
mod units;
mod url;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::Retention;

pub use self::bucket::Bucket;
pub use self::bus::{BusAccess, BusCredentials, Wrong};
pub use self::limit::{Limit, Limits};
pub use self::load::{ConfigError, Provenance, Sources};
pub use self::media::{Addressing, MediaConfig, MediaServe};
pub use self::nats::{NatsServer, NatsUrl};
pub use self::origin::Origin;
pub use self::secret::Secret;
#[cfg(test)]
pub(crate) use self::setting::flags;
pub use self::store::StoreLogin;
pub use self::units::ByteSize;
pub use self::url::{BusUrl, MediaUrl, StoreUrl};

/// The shipped file with every setting at its default, commented out. A test keeps it true.
pub const DEFAULT_FILE: &str = include_str!("../config.default.toml");

/// All settings of a node. [`Config::default`] is a whole chat server on one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `listen`: where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `internal_listen`: where other nodes of the cluster hand requests on to this one; `None` is `off`.
    pub internal_listen: Option<SocketAddr>,
    /// `advertise_url`: where other nodes reach `internal_listen`; the address itself when `None`.
    pub advertise_url: Option<Origin>,
    /// `metrics.*`: the port for the operator's eyes.
    pub metrics: MetricsConfig,
    /// `data_dir`: the folder of the embedded store, the files and the generated secret.
    pub data_dir: PathBuf,
    /// `store.url`: where users, rooms and messages are kept.
    pub store: StoreUrl,
    /// `store.user`, `store.password`: who signs in there. [`Config::load`] has made it part of the URL.
    pub store_login: StoreLogin,
    /// `bus.url`: how nodes tell each other that something happened.
    pub bus: BusUrl,
    /// `bus.*` beside the URL: who the node is to its bus.
    pub bus_access: BusAccess,
    /// `insecure`: a bus or a database elsewhere may be one without credentials.
    pub insecure: bool,
    /// `media.*`: where uploaded files are kept, and who hands them out.
    pub media: MediaConfig,
    /// `auth.*`: tokens, passwords, the first administrator.
    pub auth: AuthConfig,
    /// `signup`: whether anybody may make an account.
    pub signup: Signup,
    /// `cors_origins`: foreign web origins whose pages may use the service; the own one always may.
    pub cors_origins: Vec<Origin>,
    /// `public_url`: the origin under which clients know the service; from the request when `None`.
    pub public_url: Option<Origin>,
    /// `trusted_proxies`: peers whose `X-Forwarded-*` and `X-Request-Id` count.
    pub trusted_proxies: Vec<IpNet>,
    /// `inline_file_limit`: the largest file inside a `chat` event. Packet limits follow from it.
    pub inline_file_limit: ByteSize,
    /// `upload_limit`: the largest file uploaded over HTTP.
    pub upload_limit: ByteSize,
    /// `retention`: how long messages of a room are kept for which nothing else is set.
    pub retention: Retention,
    /// `drain_grace`: how long after SIGTERM the platform waits before it kills. Draining takes at
    /// most 0.7 of it.
    pub drain_grace: Duration,
    /// `limits.*`: how much one user or one address may ask for.
    pub limits: Limits,
    /// `log.*`: what is logged, and in which form.
    pub log: LogConfig,
    /// `socket.*`: the heartbeat of live connections.
    pub socket: SocketConfig,
    /// `presence.*`: who is shown as online.
    pub presence: PresenceConfig,
    /// `telemetry.*`: where traces go.
    pub telemetry: TelemetryConfig,
}

/// `telemetry.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// `telemetry.otlp_url`: the collector, which takes OTLP over HTTP at `/v1/traces`; no traces when `None`.
    pub otlp_url: Option<Origin>,
    /// `telemetry.one_in`: one of so many messages is traced.
    pub one_in: u32,
}

/// `metrics.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// `metrics.listen`: where `/metrics` is served, never on the public port; `None` is `off`.
    pub listen: Option<SocketAddr>,
}

/// `auth.*` and the secret key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// `SECRET_KEY`: what tokens and media links are signed with. `None` in embedded mode means
    /// the generated one, see [`Config::secret_key`]. Never in a file of settings, never a flag.
    pub secret_key: Option<Secret>,
    /// `secret_key_file`, `SECRET_KEY_FILE`: the file with the secret; it wins over `SECRET_KEY`.
    pub secret_key_file: Option<PathBuf>,
    /// `SECRET_KEY_PREVIOUS`: another secret whose signatures count, while nodes go over from one to another.
    pub secret_key_previous: Option<Secret>,
    /// `secret_key_previous_file`, `SECRET_KEY_PREVIOUS_FILE`: the file with that; it wins over the variable.
    pub secret_key_previous_file: Option<PathBuf>,
    /// `auth.bcrypt_cost`: 4 to 16; each step doubles the time of a login.
    pub bcrypt_cost: u32,
    /// `auth.token_lifetime`: how long an access token is accepted after it was issued.
    pub token_lifetime: Duration,
    /// `auth.issuer`: the `iss` claim of tokens, both written and required.
    pub issuer: String,
    /// `auth.audience`: the `aud` claim of tokens, both written and required.
    pub audience: String,
    /// `auth.password_min_bytes`: 1 to 72, the most that bcrypt reads.
    pub password_min_bytes: usize,
    /// `auth.admin_*`: the account that is the administrator from the first start on; without it,
    /// whoever signs up first is.
    pub first_admin: Option<FirstAdmin>,
}

/// The first administrator, fixed in advance. All three or none are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirstAdmin {
    /// `auth.admin_email`
    pub email: String,
    /// `auth.admin_username`
    pub username: String,
    /// `NATTER_AUTH_ADMIN_PASSWORD`, or the content of `auth.admin_password_file`.
    pub password: Secret,
    /// `auth.admin_password_file`, which wins over the variable.
    pub password_file: Option<PathBuf>,
}

/// `signup`: who may make accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signup {
    /// Anybody who reaches the server.
    Open,
    /// Administrators only.
    Closed,
}

/// `log.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `log.format`
    pub format: LogFormat,
    /// `log.filter`: directives of `tracing`, such as `info,natter::room=debug`.
    pub filter: String,
}

/// `log.format`: the form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `socket.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketConfig {
    /// `socket.ping_interval`: how often a connection is asked whether it still lives.
    pub ping_interval: Duration,
    /// `socket.ping_timeout`: how long the answer may take before the connection is closed.
    pub ping_timeout: Duration,
}

/// `presence.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceConfig {
    /// `presence.leave_grace`: how long a user may be gone before `leave` is told.
    pub leave_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            internal_listen: None,
            advertise_url: None,
            metrics: MetricsConfig { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))) },
            data_dir: PathBuf::from("./natter-data"),
            store: StoreUrl::Sqlite { path: None },
            store_login: StoreLogin::default(),
            bus: BusUrl::Local,
            bus_access: BusAccess::default(),
            insecure: false,
            media: MediaConfig::default(),
            auth: AuthConfig::default(),
            signup: Signup::Open,
            cors_origins: Vec::new(),
            public_url: None,
            trusted_proxies: Vec::new(),
            inline_file_limit: ByteSize::mib(5),
            upload_limit: ByteSize::mib(100),
            retention: Retention::Forever,
            drain_grace: Duration::from_secs(30),
            limits: Limits::default(),
            log: LogConfig { format: LogFormat::Auto, filter: "info".to_owned() },
            socket: SocketConfig {
                ping_interval: Duration::from_secs(15),
                ping_timeout: Duration::from_secs(10),
            },
            presence: PresenceConfig { leave_grace: Duration::from_secs(11) },
            telemetry: TelemetryConfig { otlp_url: None, one_in: 1 },
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            secret_key: None,
            secret_key_file: None,
            secret_key_previous: None,
            secret_key_previous_file: None,
            bcrypt_cost: 12,
            token_lifetime: Duration::from_secs(30 * 60),
            issuer: "natter".to_owned(),
            audience: "natter".to_owned(),
            password_min_bytes: 1,
            first_admin: None,
        }
    }
}

impl Config {
    /// Whether this node is complete in itself: its truth is a file of its own.
    pub fn is_embedded(&self) -> bool {
        matches!(self.store, StoreUrl::Sqlite { .. })
    }

    /// The names of all settings that a file may hold.
    pub fn settings_of_files() -> impl Iterator<Item = &'static str> {
        setting::SETTINGS.iter().filter(|one| !one.environment_only).map(|one| one.key)
    }

    /// The secret that tokens and links are signed with.
    ///
    /// In embedded mode without a configured one it is read from `secret.key` in the data folder,
    /// which is made at the first call: 32 random bytes in hex, mode 0600, the same ever after.
    ///
    /// # Errors
    ///
    /// If the data folder cannot be written, or what it holds is too weak.
    pub fn secret_key(&self) -> Result<Secret, ConfigError> {
        match &self.auth.secret_key {
            Some(configured) => Ok(configured.clone()),
            None => secret::load_or_create(&self.data_dir)
                .map_err(|why| ConfigError::new("data_dir", Provenance::Unknown, why)),
        }
    }

    /// Checks the secret that [`Config::secret_key`] would answer, without making one.
    ///
    /// # Errors
    ///
    /// If the data folder holds one that cannot be read or is too weak.
    pub fn check_secret(&self) -> Result<(), ConfigError> {
        match &self.auth.secret_key {
            Some(_checked_when_read) => Ok(()),
            None => secret::check(&self.data_dir)
                .map_err(|why| ConfigError::new("data_dir", Provenance::Unknown, why)),
        }
    }

    /// Checks what a node needs to serve, and a command to administer one does not.
    ///
    /// # Errors
    ///
    /// `internal_listen` is missing in a cluster.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        if self.internal_listen.is_some() || self.bus == BusUrl::Local {
            return Ok(());
        }
        let why = "nodes of a cluster hand requests on to each other: it needs an address, such as 0.0.0.0:9465";
        Err(ConfigError::new("internal_listen", Provenance::Default, why.to_owned()))
    }

    /// Checks what no single setting can know: combinations, and what this build can serve.
    ///
    /// # Errors
    ///
    /// The first setting that does not fit with the others, without its source; [`Config::load`]
    /// adds that.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_parts().map_err(|(key, why)| ConfigError::new(key, Provenance::Unknown, why))
    }

    fn check_parts(&self) -> Result<(), (&'static str, String)> {
        self.media.check()?;
        self.bus_access.check(&self.bus)?;
        self.check_mode()?;
        self.check_exposure()?;
        self.check_addresses()?;
        if self.inline_file_limit > self.upload_limit {
            return Err(("inline_file_limit", "must not be above upload_limit".to_owned()));
        }
        self.check_first_admin()
    }

    /// Three addresses that differ, and nodes of a cluster that reach each other.
    fn check_addresses(&self) -> Result<(), (&'static str, String)> {
        let is_taken = |own: Option<SocketAddr>, by: SocketAddr| {
            own.is_some_and(|own| own == by && own.port() != 0)
        };
        let (internal, metrics) = (self.internal_listen, self.metrics.listen);
        if is_taken(metrics, self.listen) {
            return Err(("metrics.listen", "must not be the public address".to_owned()));
        }
        if is_taken(internal, self.listen) || metrics.is_some_and(|by| is_taken(internal, by)) {
            let why = "must be neither the public address nor that of the metrics";
            return Err(("internal_listen", why.to_owned()));
        }
        let Some(internal) = internal else {
            let leads_nowhere =
                ("advertise_url", "leads nowhere without internal_listen".to_owned());
            return self.advertise_url.as_ref().map_or(Ok(()), |_url| Err(leads_nowhere));
        };
        if internal.ip().is_unspecified() && self.advertise_url.is_none() {
            let why = format!(
                "other nodes cannot reach {internal}: it needs the URL under which they do, such as http://10.0.0.7:9465"
            );
            return Err(("advertise_url", why));
        }
        Ok(())
    }

    /// A store for one node only cannot go with a bus for many, and the reverse.
    fn check_mode(&self) -> Result<(), (&'static str, String)> {
        let embedded = self.is_embedded();
        if embedded != matches!(self.bus, BusUrl::Local) {
            let why = "local: belongs to a sqlite: store, and a cluster's bus to a cluster's store";
            return Err(("bus.url", why.to_owned()));
        }
        if !embedded && matches!(self.media.url, MediaUrl::Folder { .. }) {
            let why = "a folder cannot be shared by the nodes of a cluster, it needs s3://";
            return Err(("media.url", why.to_owned()));
        }
        if !embedded && self.auth.secret_key.is_none() {
            let why = "all nodes of a cluster share one secret: set SECRET_KEY_FILE or SECRET_KEY";
            return Err(("secret_key", why.to_owned()));
        }
        if self.auth.secret_key.is_some() && self.auth.secret_key == self.auth.secret_key_previous {
            let why = "is the same as secret_key: there is nothing to go over from";
            return Err(("secret_key_previous", why.to_owned()));
        }
        Ok(())
    }

    fn check_first_admin(&self) -> Result<(), (&'static str, String)> {
        let Some(admin) = &self.auth.first_admin else {
            return Ok(());
        };
        let missing = [
            ("auth.admin_email", admin.email.is_empty()),
            ("auth.admin_username", admin.username.is_empty()),
            ("auth.admin_password", admin.password.expose().is_empty()),
        ];
        match missing.into_iter().find(|(_, empty)| *empty) {
            Some((key, _)) => {
                Err((key, "is missing: the first administrator needs all three".to_owned()))
            }
            None => Ok(()),
        }
    }
}
