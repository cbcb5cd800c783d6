//! Puts the sources together: file, then environment, then flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::setting::{Form, SETTINGS, Setting};
use super::{Config, secret};

/// Where settings come from, each overriding those before it.
#[derive(Debug, Default)]
pub struct Sources {
    /// The TOML file of `--config`; without it the one of `NATTER_CONFIG`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags by name without dashes, with their values.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The environment of this process, and what the command line gave.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        Self { file, environment: std::env::vars_os().collect(), flags }
    }
}

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// Nobody set it.
    Default,
    /// A file of settings.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// Not known where it is reported.
    Unknown,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, " (not set)"),
            Self::File(path) => write!(f, " (in {})", path.display()),
            Self::Variable(name) => write!(f, " (in the variable {name})"),
            Self::Flag(flag) => write!(f, " (in the flag --{flag})"),
            Self::Unknown => Ok(()),
        }
    }
}

/// What is wrong with the configuration, as one sentence that names the setting and its source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}{provenance}: {why}")]
pub struct ConfigError {
    setting: String,
    provenance: Provenance,
    why: String,
}

impl ConfigError {
    pub(super) fn new(setting: impl Into<String>, provenance: Provenance, why: String) -> Self {
        Self { setting: setting.into(), provenance, why }
    }

    /// The name of the setting, as it stands in a file.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// Where its value came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

impl Config {
    /// Reads all sources and checks the whole.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: a source that cannot be read, a name that is no setting, a
    /// value that is none, or a combination that cannot work.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut loading = Loading::default();
        loading.read_file(sources)?;
        for (name, value) in &sources.environment {
            loading.read_variable(name, value)?;
        }
        for (flag, value) in &sources.flags {
            let setting = SETTINGS.iter().find(|setting| setting.flag == Some(flag));
            let setting = setting.expect("the command line has only the flags of SETTINGS");
            loading.set(setting, value, Provenance::Flag(flag))?;
        }
        loading.read_secret_files()?;
        let config = loading.config;
        config.check_parts().map_err(|(key, why)| {
            let provenance = loading.provenance.remove(key).unwrap_or(Provenance::Default);
            ConfigError::new(key, provenance, why)
        })?;
        Ok(config)
    }
}

/// A configuration that is being read, and where what it has so far came from.
#[derive(Default)]
struct Loading {
    config: Config,
    provenance: BTreeMap<&'static str, Provenance>,
}

impl Loading {
    fn set(
        &mut self,
        setting: &Setting,
        text: &str,
        provenance: Provenance,
    ) -> Result<(), ConfigError> {
        match (setting.set)(&mut self.config, text) {
            Ok(()) => {
                self.provenance.insert(setting.key, provenance);
                Ok(())
            }
            Err(why) => Err(ConfigError::new(setting.key, provenance, why)),
        }
    }

    fn read_file(&mut self, sources: &Sources) -> Result<(), ConfigError> {
        let variable = sources.environment.iter().find(|(name, _)| name == "NATTER_CONFIG");
        let (path, named_by) = match (&sources.file, variable) {
            (Some(path), _) => (path.clone(), Provenance::Flag("config")),
            (None, Some((name, path))) if !path.is_empty() => {
                (PathBuf::from(path), Provenance::Variable(name.to_string_lossy().into_owned()))
            }
            _ => return Ok(()),
        };
        let wrong = |why: String| ConfigError::new("config", named_by.clone(), why);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let line = before.matches('\n').count() + 1;
            let what = error.message().replace('\n', ", ");
            wrong(format!("{} is no TOML, line {line}: {what}", path.display()))
        })?;
        self.read_table("", &table, &path)
    }

    fn read_table(&mut self, prefix: &str, table: &Table, path: &Path) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let provenance = Provenance::File(path.to_owned());
            if let Value::Table(inner) = value {
                let prefix = format!("{key}.");
                if !SETTINGS.iter().any(|setting| setting.key.starts_with(&prefix)) {
                    return Err(unknown(key, provenance));
                }
                self.read_table(&prefix, inner, path)?;
                continue;
            }
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
                return Err(unknown(key, provenance));
            };
            if setting.environment_only {
                let why = format!("is a secret: give {key}_file or set {}", setting.variable());
                return Err(ConfigError::new(key, provenance, why));
            }
            match text_of(value, setting.form) {
                Ok(text) => self.set(setting, &text, provenance)?,
                Err(why) => return Err(ConfigError::new(key, provenance, why)),
            }
        }
        Ok(())
    }

    fn read_variable(&mut self, name: &OsString, value: &OsString) -> Result<(), ConfigError> {
        let Some(name) = name.to_str() else {
            return Ok(()); // None of ours: they are all ASCII.
        };
        let ours = ["NATTER_", "SECRET_KEY", "MONGO_"].iter().any(|own| name.starts_with(own));
        // NATTER_TEST_* steers the tests of natter, which start nodes in their own environment.
        let is_other = name == "NATTER_CONFIG" || name.starts_with("NATTER_TEST_");
        if !ours || is_other || is_service_link(name, value) {
            return Ok(());
        }
        let provenance = Provenance::Variable(name.to_owned());
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) else {
            // A name like SECRET_KEY_BASE or MONGO_URL belongs to somebody else.
            let is_typo = name.starts_with("NATTER_");
            return if is_typo { Err(unknown(name, provenance)) } else { Ok(()) };
        };
        match value.to_str() {
            Some(text) => self.set(setting, text, provenance),
            None => Err(ConfigError::new(setting.key, provenance, "is not UTF-8".to_owned())),
        }
    }

    /// A file wins over the variable of the same secret, wherever the file was named.
    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        if let Some(file) = self.config.auth.secret_key_file.clone() {
            let key = secret::read_strong(&file);
            self.config.auth.secret_key = Some(self.blame("secret_key_file", key)?);
        }
        if let Some(file) = self.config.auth.secret_key_previous_file.clone() {
            let key = self.blame("secret_key_previous_file", secret::read_strong(&file))?;
            self.config.auth.secret_key_previous = Some(key);
            let named = self.provenance.get("secret_key_previous_file").cloned();
            self.provenance.extend(named.map(|named| ("secret_key_previous", named)));
        }
        if let Err((key, why)) = self.config.bus_access.read_secret_files() {
            return self.blame(key, Err(why));
        }
        let admin = self.config.auth.first_admin.as_ref();
        if let Some(file) = admin.and_then(|admin| admin.password_file.clone()) {
            let password = self.blame("auth.admin_password_file", secret::read(&file))?;
            self.config.auth.first_admin.get_or_insert_default().password = password;
        }
        self.read_login()
    }

    fn read_login(&mut self) -> Result<(), ConfigError> {
        if let Some(file) = self.config.store_login.user_file.clone() {
            let user = self.blame("store.user_file", secret::read(&file))?;
            self.config.store_login.user = Some(user);
        }
        if let Some(file) = self.config.store_login.password_file.clone() {
            let password = self.blame("store.password_file", secret::read(&file))?;
            self.config.store_login.password = Some(password);
        }
        let url = self.config.store.clone().with_login(&self.config.store_login);
        self.config.store = self.blame("store.password", url)?;
        Ok(())
    }

    fn blame<T>(&self, key: &'static str, read: Result<T, String>) -> Result<T, ConfigError> {
        read.map_err(|why| {
            let provenance = self.provenance.get(key).cloned().unwrap_or(Provenance::Default);
            ConfigError::new(key, provenance, why)
        })
    }
}

fn unknown(name: impl Into<String>, provenance: Provenance) -> ConfigError {
    let why = "there is no such setting, `natter default-config` lists all".to_owned();
    ConfigError::new(name, provenance, why)
}

/// What a value of a file is, with its article.
fn kind(value: &Value) -> String {
    let kind = value.type_str();
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// A value of a file as the text that the environment would hold.
fn text_of(value: &Value, form: Form) -> Result<String, String> {
    match (form, value) {
        (Form::Text, Value::String(text)) => Ok(text.clone()),
        (Form::Text, other) => Err(format!("needs a \"text\", not {}", kind(other))),
        (Form::Number, Value::Integer(number)) => Ok(number.to_string()),
        (Form::Number, other) => Err(format!("needs a whole number, not {}", kind(other))),
        (Form::Switch, Value::Boolean(is_on)) => Ok(is_on.to_string()),
        (Form::Switch, other) => Err(format!("needs true or false, not {}", kind(other))),
        (Form::List, Value::Array(items)) => {
            let texts = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            texts.map(|texts| texts.join(",")).ok_or_else(|| "needs a list of texts".to_owned())
        }
        (Form::List, other) => Err(format!("needs a [\"list\"], not {}", kind(other))),
    }
}

/// Whether Kubernetes set this: in every pod beside a Service named `natter` or `natter-x` it puts
/// `NATTER_SERVICE_HOST`, `NATTER_PORT=tcp://...` and their like.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let value = value.to_string_lossy();
    let is_address = value.starts_with("tcp://") || value.starts_with("udp://");
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_address)
        || name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"))
}
