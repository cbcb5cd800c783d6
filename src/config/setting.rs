//! The list of settings: the one name of each, and how its value is read.
//!
//! A value from any source arrives as text, so a setting is checked by the same code wherever it
//! was set.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::units::{byte_size, duration, number};
use super::{
    BusUrl, ByteSize, Config, FirstAdmin, Limit, LogFormat, MediaConfig, MediaUrl, Origin, Secret,
    Signup, StoreUrl,
};
use crate::domain::Retention;

/// What a value is in a file. In the environment everything is text, and a list has commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `"text"`, also with a unit.
    Text,
    /// A whole number.
    Number,
    /// `["text", "text"]`
    List,
    /// `true` or `false`
    Switch,
}

/// One thing that can be set.
pub(super) struct Setting {
    /// The name in a file: `auth.bcrypt_cost`. The variable's name follows from it.
    pub(super) key: &'static str,
    /// The name as a flag without its dashes, for the few that are common enough.
    pub(super) flag: Option<&'static str>,
    /// Whether only the environment may hold it: secrets.
    pub(super) environment_only: bool,
    /// What a file has to hold for it.
    pub(super) form: Form,
    /// Reads the text into its place; the error is the end of a sentence.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    const fn new(key: &'static str, set: fn(&mut Config, &str) -> Result<(), String>) -> Self {
        Self { key, flag: None, environment_only: false, form: Form::Text, set }
    }

    const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    const fn environment_only(self) -> Self {
        Self { environment_only: true, ..self }
    }

    const fn number(self) -> Self {
        Self { form: Form::Number, ..self }
    }

    const fn list(self) -> Self {
        Self { form: Form::List, ..self }
    }

    const fn switch(self) -> Self {
        Self { form: Form::Switch, ..self }
    }

    /// The name in the environment: `NATTER_AUTH_BCRYPT_COST`. The secret key and the login to MongoDB have the
    /// names that deployments of the predecessor already set.
    pub(super) fn variable(&self) -> String {
        let upper = self.key.replace('.', "_").to_ascii_uppercase();
        match upper.strip_prefix("STORE_") {
            Some(login) if login.starts_with("USER") || login.starts_with("PASSWORD") => {
                format!("MONGO_{login}")
            }
            _ if upper.starts_with("SECRET_KEY") => upper,
            _ => format!("NATTER_{upper}"),
        }
    }
}

/// The flags of all settings that have one.
#[cfg(test)]
pub(crate) fn flags() -> Vec<&'static str> {
    SETTINGS.iter().filter_map(|setting| setting.flag).collect()
}

/// Every setting, in the order of `config.default.toml`.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("listen", |c, v| put(&mut c.listen, address(v))).flag("listen"),
    Setting::new("internal_listen", |c, v| put(&mut c.internal_listen, address_or_off(v)))
        .flag("internal-listen"),
    Setting::new("advertise_url", |c, v| put(&mut c.advertise_url, advertise_url(v)))
        .flag("advertise-url"),
    Setting::new("metrics.listen", |c, v| put(&mut c.metrics.listen, address_or_off(v)))
        .flag("metrics-listen"),
    Setting::new("data_dir", |c, v| put(&mut c.data_dir, path(v))).flag("data-dir"),
    Setting::new("store.url", |c, v| put(&mut c.store, StoreUrl::parse(v))).flag("store"),
    Setting::new("store.user", |c, v| put(&mut c.store_login.user, Ok(optional_secret(v)))),
    Setting::new("store.user_file", |c, v| put(&mut c.store_login.user_file, Ok(optional_path(v)))),
    Setting::new("store.password", |c, v| put(&mut c.store_login.password, Ok(optional_secret(v))))
        .environment_only(),
    Setting::new("store.password_file", |c, v| {
        put(&mut c.store_login.password_file, Ok(optional_path(v)))
    }),
    Setting::new("bus.url", |c, v| put(&mut c.bus, BusUrl::parse(v))).flag("bus"),
    Setting::new("bus.user", |c, v| put(&mut c.bus_access.user, Ok(optional_text(v)))),
    Setting::new("bus.password", |c, v| put(&mut c.bus_access.password, Ok(optional_secret(v))))
        .environment_only(),
    Setting::new("bus.password_file", |c, v| {
        put(&mut c.bus_access.password_file, Ok(optional_path(v)))
    }),
    Setting::new("bus.token", |c, v| put(&mut c.bus_access.token, Ok(optional_secret(v))))
        .environment_only(),
    Setting::new("bus.token_file", |c, v| put(&mut c.bus_access.token_file, Ok(optional_path(v)))),
    Setting::new("bus.nkey_file", |c, v| put(&mut c.bus_access.nkey_file, Ok(optional_path(v)))),
    Setting::new("bus.credentials_file", |c, v| {
        put(&mut c.bus_access.credentials_file, Ok(optional_path(v)))
    }),
    Setting::new("bus.ca_file", |c, v| put(&mut c.bus_access.ca_file, Ok(optional_path(v)))),
    Setting::new("bus.certificate_file", |c, v| {
        put(&mut c.bus_access.certificate_file, Ok(optional_path(v)))
    }),
    Setting::new("bus.key_file", |c, v| put(&mut c.bus_access.key_file, Ok(optional_path(v)))),
    Setting::new("insecure", |c, v| put(&mut c.insecure, switch(v))).flag("insecure").switch(),
    Setting::new("media.url", |c, v| put(&mut c.media.url, MediaUrl::parse(v))).flag("media"),
    Setting::new("media.endpoint", |c, v| put(&mut c.media.endpoint, server(v))),
    Setting::new("media.public_endpoint", |c, v| put(&mut c.media.public_endpoint, server(v))),
    Setting::new("media.region", |c, v| put(&mut c.media.region, MediaConfig::region(v))),
    Setting::new("media.addressing", |c, v| {
        put(&mut c.media.addressing, MediaConfig::addressing(v))
    }),
    Setting::new("media.serve", |c, v| put(&mut c.media.serve, MediaConfig::serve(v))),
    Setting::new("secret_key", |c, v| put(&mut c.auth.secret_key, signing_secret(v).map(Some)))
        .environment_only(),
    Setting::new("secret_key_file", |c, v| put(&mut c.auth.secret_key_file, Ok(optional_path(v)))),
    Setting::new("secret_key_previous", |c, v| {
        put(&mut c.auth.secret_key_previous, previous_secret(v))
    })
    .environment_only(),
    Setting::new("secret_key_previous_file", |c, v| {
        put(&mut c.auth.secret_key_previous_file, Ok(optional_path(v)))
    }),
    Setting::new("signup", |c, v| put(&mut c.signup, signup(v))),
    Setting::new("cors_origins", |c, v| put(&mut c.cors_origins, list(v, Origin::parse))).list(),
    Setting::new("public_url", |c, v| put(&mut c.public_url, server(v))),
    Setting::new("trusted_proxies", |c, v| put(&mut c.trusted_proxies, list(v, network))).list(),
    Setting::new("inline_file_limit", |c, v| {
        // Such a file is in memory as a whole, and base64 by polling makes it a third larger.
        put(&mut c.inline_file_limit, byte_size(v, ByteSize::new(0)..=ByteSize::mib(64)))
    }),
    Setting::new("upload_limit", |c, v| {
        put(&mut c.upload_limit, byte_size(v, ByteSize::new(0)..=ByteSize::mib(1 << 20)))
    }),
    Setting::new("retention", |c, v| put(&mut c.retention, retention(v))),
    Setting::new("drain_grace", |c, v| put(&mut c.drain_grace, duration(v, seconds(1, HOUR)))),
    Setting::new("auth.bcrypt_cost", |c, v| put(&mut c.auth.bcrypt_cost, number(v, 4..=16)))
        .number(),
    Setting::new("auth.token_lifetime", |c, v| {
        put(&mut c.auth.token_lifetime, duration(v, seconds(1, 366 * 24 * HOUR)))
    }),
    Setting::new("auth.issuer", |c, v| put(&mut c.auth.issuer, claim(v))),
    Setting::new("auth.audience", |c, v| put(&mut c.auth.audience, claim(v))),
    Setting::new("auth.password_min_bytes", |c, v| {
        // bcrypt reads no more than 72.
        put(&mut c.auth.password_min_bytes, number(v, 1..=72).map(|bytes| bytes as usize))
    })
    .number(),
    Setting::new("auth.admin_email", |c, v| first_admin(c, v, |admin| &mut admin.email)),
    Setting::new("auth.admin_username", |c, v| first_admin(c, v, |admin| &mut admin.username)),
    Setting::new("auth.admin_password", |c, v| {
        admin_of(c).password = Secret::new(v);
        Ok(())
    })
    .environment_only(),
    Setting::new("auth.admin_password_file", |c, v| {
        if let Some(file) = optional_path(v) {
            admin_of(c).password_file = Some(file);
        }
        Ok(())
    }),
    Setting::new("limits.messages_per_second", |c, v| {
        put(&mut c.limits.messages_per_second, limit(v))
    })
    .number(),
    Setting::new("limits.message_burst", |c, v| put(&mut c.limits.message_burst, limit(v)))
        .number(),
    Setting::new("limits.logins_per_minute", |c, v| put(&mut c.limits.logins_per_minute, limit(v)))
        .number(),
    Setting::new("limits.signups_per_minute", |c, v| {
        put(&mut c.limits.signups_per_minute, limit(v))
    })
    .number(),
    Setting::new("limits.pending_handshakes_per_address", |c, v| {
        put(&mut c.limits.pending_handshakes_per_address, limit(v))
    })
    .number(),
    Setting::new("limits.sockets_per_address", |c, v| {
        put(&mut c.limits.sockets_per_address, limit(v))
    })
    .number(),
    Setting::new("limits.sockets_per_user", |c, v| put(&mut c.limits.sockets_per_user, limit(v)))
        .number(),
    Setting::new("limits.memberships_per_user", |c, v| {
        put(&mut c.limits.memberships_per_user, limit(v))
    })
    .number(),
    Setting::new("socket.ping_interval", |c, v| {
        put(&mut c.socket.ping_interval, duration(v, heartbeat()))
    }),
    Setting::new("socket.ping_timeout", |c, v| {
        put(&mut c.socket.ping_timeout, duration(v, heartbeat()))
    }),
    Setting::new("presence.leave_grace", |c, v| {
        put(&mut c.presence.leave_grace, duration(v, seconds(0, HOUR)))
    }),
    Setting::new("telemetry.otlp_url", |c, v| put(&mut c.telemetry.otlp_url, server(v)))
        .flag("otlp"),
    Setting::new("telemetry.one_in", |c, v| put(&mut c.telemetry.one_in, number(v, 1..=1_000_000)))
        .number(),
    Setting::new("log.format", |c, v| put(&mut c.log.format, log_format(v))),
    Setting::new("log.filter", |c, v| put(&mut c.log.filter, log_filter(v))),
];

const HOUR: u64 = 3_600;

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn seconds(least: u64, most: u64) -> std::ops::RangeInclusive<Duration> {
    Duration::from_secs(least)..=Duration::from_secs(most)
}

fn heartbeat() -> std::ops::RangeInclusive<Duration> {
    Duration::from_millis(100)..=Duration::from_secs(300)
}

fn limit(text: &str) -> Result<Limit, String> {
    number(text, 0..=u32::MAX).map(Limit::new)
}

/// Whole days: whoever counts in hours would lose what may still decide the outcome of a write.
fn retention(text: &str) -> Result<Retention, String> {
    const DAY: u64 = 24 * HOUR;
    let kept = duration(text, seconds(0, u64::from(Retention::MAX_DAYS) * DAY))?;
    let days = u32::try_from(kept.as_secs() / DAY).ok();
    match days.filter(|_| kept.as_secs().is_multiple_of(DAY) && kept.subsec_nanos() == 0) {
        Some(days) => Retention::parse(days).map_err(|invalid| invalid.message),
        None => Err(format!("{text:?} is not a whole number of days such as 90d, or 0 for ever")),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_not_more_telling| {
        format!("{text:?} is not an address and a port such as 0.0.0.0:8080")
    })
}

fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.trim() == "off" { Ok(None) } else { address(text).map(Some) }
}

fn path(text: &str) -> Result<PathBuf, String> {
    optional_path(text).ok_or_else(|| "must not be empty".to_owned())
}

/// Empty means not set, as compose files and charts pass what nobody gave them.
fn optional_path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn optional_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn optional_secret(text: &str) -> Option<Secret> {
    (!text.is_empty()).then(|| Secret::new(text))
}

fn switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// An empty secret is no unset one: who set it wanted one, and all nodes to share it.
fn signing_secret(text: &str) -> Result<Secret, String> {
    let secret = Secret::new(text);
    secret.check_strength().map(|()| secret)
}

/// Most of the time there is none, and then an empty one is what compose files and charts pass.
fn previous_secret(text: &str) -> Result<Option<Secret>, String> {
    if text.is_empty() { Ok(None) } else { signing_secret(text).map(Some) }
}

fn signup(text: &str) -> Result<Signup, String> {
    match text.trim() {
        "open" => Ok(Signup::Open),
        "closed" => Ok(Signup::Closed),
        other => Err(format!("{other:?} is neither open nor closed")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.trim() {
        "auto" => Ok(LogFormat::Auto),
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{other:?} is none of auto, human and json")),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is no filter such as info,natter=debug: {error}")),
    }
}

/// Comma separated values; blanks around them and an end without a value do not count.
fn list<T>(text: &str, parse: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>()
        .ok()
        .or_else(single)
        .map(|network| network.trunc())
        .ok_or_else(|| format!("{text:?} is no network such as 10.0.0.0/8"))
}

/// The origin of something that speaks HTTP.
fn server(text: &str) -> Result<Option<Origin>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let origin = Origin::parse(text)?;
    if origin.as_str().starts_with("http://") || origin.as_str().starts_with("https://") {
        return Ok(Some(origin));
    }
    Err(format!("{text:?} begins with neither http:// nor https://"))
}

/// Nodes speak plain HTTP with each other.
fn advertise_url(text: &str) -> Result<Option<Origin>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    match Origin::parse(text) {
        Ok(url) if url.as_str().starts_with("http://") => Ok(Some(url)),
        _ => Err(format!("{text:?} is not a URL such as http://10.0.0.7:9465")),
    }
}

fn claim(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err("must be 1 to 256 bytes of text".to_owned());
    }
    Ok(text.to_owned())
}

fn admin_of(config: &mut Config) -> &mut FirstAdmin {
    config.auth.first_admin.get_or_insert_default()
}

fn first_admin(
    config: &mut Config,
    text: &str,
    field: fn(&mut FirstAdmin) -> &mut String,
) -> Result<(), String> {
    if !text.is_empty() {
        *field(admin_of(config)) = text.to_owned();
    }
    Ok(())
}
