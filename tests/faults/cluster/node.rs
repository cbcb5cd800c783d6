//! One node: the real binary, its settings, and the links that it has to other servers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Command;

use super::Folder;
use crate::client::{base, http};
use crate::proxy::Link;
use crate::servers::mongod::ReplicaSet;
use crate::servers::nats::Nats;
use crate::servers::process::{Process, Signal};
use crate::servers::{ports, weed};

/// What all nodes sign tokens with.
pub(crate) const SECRET_KEY: &str = "a secret of the fault rig that is long enough 0123456789";

/// Where nobody serves S3.
const NOWHERE: &str = "http://127.0.0.1:9";

/// One node.
pub(crate) struct Node {
    /// Its name to the database, and that of its log.
    pub(crate) name: String,
    address: SocketAddr,
    metrics: SocketAddr,
    settings: Vec<(String, String)>,
    /// What is run, if it is not the program under test.
    program: Option<PathBuf>,
    log: PathBuf,
    process: Option<Process>,
    /// The link by which its clients reach it.
    pub(crate) front: Link,
    /// Its link to the bus.
    pub(crate) bus: Option<Link>,
    /// Its link to the bucket.
    pub(crate) bucket: Option<Link>,
}

impl Node {
    /// A node with the embedded store that is not started.
    pub(super) async fn new(
        folder: &Folder,
        number: usize,
        settings: &[(&'static str, String)],
    ) -> Self {
        let name = format!("rig-node-{number}");
        let data = folder.path().join("data").join(&name);
        std::fs::create_dir_all(&data).unwrap();
        let (address, metrics) = (ports::free(), ports::free());
        let mut node = Self {
            log: folder.path().join(format!("{name}.log")),
            name,
            address,
            metrics,
            settings: Vec::new(),
            program: None,
            process: None,
            front: Link::to(address).await,
            bus: None,
            bucket: None,
        };
        for (name, value) in [
            ("SECRET_KEY", SECRET_KEY),
            ("NATTER_LISTEN", &address.to_string()),
            ("NATTER_METRICS_LISTEN", &metrics.to_string()),
            ("NATTER_DATA_DIR", &data.display().to_string()),
            ("NATTER_AUTH_BCRYPT_COST", "4"),
            ("NATTER_AUTH_TOKEN_LIFETIME", "2h"),
            ("NATTER_LIMITS_SIGNUPS_PER_MINUTE", "0"),
            ("NATTER_LIMITS_LOGINS_PER_MINUTE", "0"),
            ("NATTER_LIMITS_PENDING_HANDSHAKES_PER_ADDRESS", "0"),
            ("NATTER_LIMITS_MESSAGES_PER_SECOND", "0"),
            ("NATTER_LOG_FORMAT", "human"),
            ("NO_COLOR", "1"),
        ] {
            node.set(name, value);
        }
        for (name, value) in settings {
            node.set(name, value);
        }
        node
    }

    /// Sets something for the starts to come.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(set, _)| set != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Runs another program from the next start on.
    pub(crate) fn use_program(&mut self, program: &Path) {
        self.program = Some(program.to_owned());
    }

    /// Runs the program under test from the next start on.
    pub(crate) fn use_this_program(&mut self) {
        self.program = None;
    }

    pub(super) fn use_cluster(&mut self, mongo: &ReplicaSet, bus: Link) {
        let uri = mongo.uri(&self.name);
        self.set("NATTER_STORE_URL", &uri);
        self.set("NATTER_BUS_URL", &Nats::url(bus.address()));
        self.set("NATTER_INTERNAL_LISTEN", "127.0.0.1:0");
        // A bucket that is not there: text goes on without it.
        self.set_bucket(NOWHERE);
        self.bus = Some(bus);
    }

    pub(super) fn use_inner(&mut self) {
        let inner = ports::free();
        self.set("NATTER_INTERNAL_LISTEN", &inner.to_string());
        self.set("NATTER_ADVERTISE_URL", &base(inner));
    }

    pub(super) fn use_bucket(&mut self, bucket: Link) {
        self.set_bucket(&base(bucket.address()));
        self.bucket = Some(bucket);
    }

    fn set_bucket(&mut self, endpoint: &str) {
        self.set("NATTER_MEDIA_URL", &format!("s3://{}", weed::BUCKET));
        self.set("NATTER_MEDIA_ENDPOINT", endpoint);
        self.set("AWS_ACCESS_KEY_ID", weed::KEY);
        self.set("AWS_SECRET_ACCESS_KEY", weed::SECRET);
    }

    /// Where its clients reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Where it listens itself, behind the link.
    pub(crate) fn direct(&self) -> SocketAddr {
        self.address
    }

    /// Its link to the bus, in a cluster.
    pub(crate) fn bus(&self) -> &Link {
        self.bus.as_ref().expect("the node is in a cluster")
    }

    /// The program with these arguments and the node's settings.
    fn command(&self, arguments: &[&str]) -> Command {
        let program = self.program.clone();
        let program = program.or_else(|| std::env::var_os("NATTER_FAULTS_NODE").map(PathBuf::from));
        let mut command =
            Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_natter").into()));
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if ["NATTER_", "SECRET_KEY", "AWS_", "MONGO_"].iter().any(|own| shown.starts_with(own))
            {
                command.env_remove(&name);
            }
        }
        command.envs(self.settings.iter().cloned()).args(arguments);
        command
    }

    /// Runs a command on its store, beside it or in its place, that has to succeed.
    pub(crate) async fn run(&self, arguments: &[&str]) {
        if let Err(told) = self.attempt(arguments).await {
            panic!("natter {}: {told}", arguments.join(" "));
        }
    }

    /// Runs a command on its store; what it said if it failed.
    pub(crate) async fn attempt(&self, arguments: &[&str]) -> Result<(), String> {
        let output = self.command(arguments).output().await.unwrap();
        let told = || String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(told()) }
    }

    /// Makes the database what the nodes expect.
    pub(crate) async fn migrate(&self) {
        self.run(&["migrate"]).await;
    }

    /// Starts it, and returns when it is ready.
    pub(crate) async fn start(&mut self) {
        self.begin();
        let url = format!("{}/readyz", base(self.address));
        let process = self.process.as_mut().expect("it was begun");
        let is_ready = process.is_ready(async || http::json(&url).await.is_some()).await;
        assert!(is_ready, "{} does not start: {}", self.name, process.last_words());
    }

    /// Starts it, whether it can be ready or not.
    pub(crate) fn begin(&mut self) {
        self.process = Some(Process::start(&self.name, self.command(&["serve"]), &self.log));
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        http::json(&format!("{}/readyz", base(self.address))).await.is_some()
    }

    /// Kills it, and returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal).await;
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        self.process.as_mut()?.ended(within).await
    }

    /// The id of its process, if it runs.
    pub(crate) fn id(&mut self) -> Option<u32> {
        let process = self.process.as_mut()?;
        (!process.has_ended()).then(|| process.id())
    }

    /// Everything that it has written to its log.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The sum of all series of one metric; `None` if it does not answer.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let told = http::json(&format!("{}/metrics", base(self.metrics))).await?;
        let lines = told.as_str()?.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}
