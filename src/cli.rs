//! The command line.

mod admin;
mod backup;
mod healthcheck;
mod serve;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::{Config, ConfigError, DEFAULT_FILE, Sources};
use crate::node::{self, StartError};
use crate::service;
use crate::store::{self, StoreError};

/// The exit code for a wrong configuration, the same as for wrong arguments.
const MISCONFIGURED: u8 = 2;

/// A chat server that a team puts behind its own product.
///
/// Every setting is also a variable NATTER_..., or a line of a file: see `natter default-config`.
#[derive(Debug, Parser)]
#[command(name = "natter", version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The settings that are common enough to be flags. They are read as text here and checked with
/// all others.
#[derive(Debug, Args)]
struct Flags {
    /// A TOML file with settings [variable: NATTER_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect [variable: NATTER_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where other nodes hand requests on to this one, or off [variable: NATTER_INTERNAL_LISTEN] [default: off]
    #[arg(long, global = true, value_name = "ADDRESS")]
    internal_listen: Option<String>,
    /// Where other nodes reach that [variable: NATTER_ADVERTISE_URL] [default: the address itself]
    #[arg(long, global = true, value_name = "URL")]
    advertise_url: Option<String>,
    /// Where /metrics is served, or off [variable: NATTER_METRICS_LISTEN] [default: 127.0.0.1:9464]
    #[arg(long, global = true, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// The folder of everything this node keeps [variable: NATTER_DATA_DIR] [default: ./natter-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Where users, rooms and messages are kept [variable: NATTER_STORE_URL] [default: sqlite:]
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// How nodes hear from each other [variable: NATTER_BUS_URL] [default: local:]
    #[arg(long, global = true, value_name = "URL")]
    bus: Option<String>,
    /// Take a bus or a database elsewhere that asks for no credentials [variable: NATTER_INSECURE]
    #[arg(long, global = true)]
    insecure: bool,
    /// Where uploaded files are kept [variable: NATTER_MEDIA_URL] [default: file:]
    #[arg(long, global = true, value_name = "URL")]
    media: Option<String>,
    /// The collector of OpenTelemetry that traces go to [variable: NATTER_TELEMETRY_OTLP_URL] [default: none]
    #[arg(long, global = true, value_name = "URL")]
    otlp: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; what natter does when told nothing else
    Serve,
    /// Say what is wrong with the configuration, if anything is
    CheckConfig,
    /// Print a file of all settings at their defaults, commented out
    DefaultConfig,
    /// Bring the store up to date: run it once for a new database, and before nodes of a new version start
    Migrate,
    /// Ask a running node whether it is ready: exit code 0 if it is, 1 if not
    Healthcheck(healthcheck::Healthcheck),
    /// Copy an embedded store and its files into a new folder, also while the server runs
    Backup {
        /// The folder to make
        folder: PathBuf,
        /// Put the secret key of the data folder in as well
        #[arg(long)]
        with_secret: bool,
    },
    /// Put a backup of an embedded store and its files back; the server has to be stopped
    Restore {
        /// The folder that `natter backup` made
        folder: PathBuf,
        /// Put aside the store and the files that are there
        #[arg(long)]
        force: bool,
    },
    /// Administer accounts, also while the server runs
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Print the version
    Version,
}

/// Does what the command line of this process says; 2 is the code for wrong arguments and a wrong
/// configuration, 1 for whatever else fails.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let sources = cli.flags.sources();
    let done = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&sources),
        Command::CheckConfig => check_config(&sources),
        Command::DefaultConfig => {
            print(DEFAULT_FILE);
            Ok(())
        }
        Command::Migrate => migrate(&sources),
        Command::Healthcheck(check) => check.run(&sources),
        Command::Backup { folder, with_secret } => backup::take(&sources, &folder, with_secret),
        Command::Restore { folder, force } => backup::restore(&sources, &folder, force),
        Command::Admin(admin) => admin.run(&sources),
        Command::Version => {
            print(concat!("natter ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Why a command failed: a sentence, and the code to exit with.
#[derive(Debug)]
struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// A sentence of this command's own.
    fn told(sentence: String) -> Self {
        Self { sentence, code: 1 }
    }

    /// Something other than the configuration, with all that led to it.
    fn other(error: impl std::error::Error) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            sentence = format!("{sentence}: {error}");
            cause = error.source();
        }
        Self { sentence, code: 1 }
    }

    fn tell(&self) -> ExitCode {
        // A closed stderr is no reason for a panic.
        _ = writeln!(std::io::stderr(), "natter: {}", self.sentence);
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { sentence: error.to_string(), code: MISCONFIGURED }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Bus(error) => Self { code: MISCONFIGURED, ..Self::other(error) },
            StartError::Store(error) => error.into(),
            StartError::DataDir { .. } => Self { code: MISCONFIGURED, ..Self::other(error) },
            // It can be no account, or is somebody's: the configuration is wrong.
            StartError::FirstAdmin(service::Error::Invalid(_) | service::Error::Conflict(..)) => {
                Self { code: MISCONFIGURED, ..Self::other(error) }
            }
            other => Self::other(other),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Misconfigured(why) => {
                Self { sentence: format!("store.url: {why}"), code: MISCONFIGURED }
            }
            other => Self::other(StartError::Store(other)),
        }
    }
}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        Self::other(error)
    }
}

impl Flags {
    fn sources(self) -> Sources {
        let flags = [
            ("listen", self.listen),
            ("internal-listen", self.internal_listen),
            ("advertise-url", self.advertise_url),
            ("metrics-listen", self.metrics_listen),
            ("data-dir", self.data_dir),
            ("store", self.store),
            ("bus", self.bus),
            ("media", self.media),
            ("otlp", self.otlp),
            ("insecure", self.insecure.then(|| "true".to_owned())),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        Sources::of_process(self.config, given.collect())
    }
}

fn check_config(sources: &Sources) -> Result<(), Failure> {
    let config = Config::load(sources)?;
    config.check_secret()?;
    config.check_serving()?;
    print("The configuration is fine.\n");
    Ok(())
}

fn migrate(sources: &Sources) -> Result<(), Failure> {
    let config = Config::load(sources)?;
    node::prepare(&config)?;
    runtime()?.block_on(store::migrate(&config.store, &config.data_dir))?;
    print("The store is up to date.\n");
    Ok(())
}

/// What a command runs on.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::other)
}

/// Prints `text`; whoever closed the pipe has read enough.
fn print(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_a_setting_and_every_setting_with_a_flag_has_it() {
        let text = |value: &str| Some(value.to_owned());
        let flags = Flags {
            config: None,
            listen: text("127.0.0.1:1"),
            internal_listen: text("127.0.0.1:2"),
            advertise_url: text("http://10.0.0.7:9465"),
            metrics_listen: text("off"),
            data_dir: text("/d"),
            store: text("sqlite:/s"),
            bus: text("local:"),
            media: text("file:/m"),
            insecure: true,
            otlp: text("http://127.0.0.1:4318"),
        };
        let sources = Sources { environment: Vec::new(), ..flags.sources() };
        let mut given: Vec<_> = sources.flags.iter().map(|(flag, _)| *flag).collect();
        let mut settings = crate::config::flags();
        given.sort_unstable();
        settings.sort_unstable();
        assert_eq!(given, settings);
        assert!(Config::load(&sources).is_ok());
    }
}
