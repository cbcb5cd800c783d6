//! A real nats-server that wants a user and a password.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use super::process::Process;
use super::{ATTEMPTS, ports, program};
use crate::client::http;

/// Who nodes are on the bus.
const USER: &str = "natter";
const PASSWORD: &str = "lives-a-minute";

/// The server.
pub(crate) struct Nats {
    program: String,
    config: PathBuf,
    log: PathBuf,
    process: Process,
    /// Where clients connect to.
    pub(crate) at: SocketAddr,
    monitor: SocketAddr,
}

impl Nats {
    /// A server that serves, and parts with whoever lets more than `max_pending` bytes wait. Its log and configuration go to `folder`.
    pub(crate) async fn start(folder: &Path, max_pending: Option<u64>) -> Self {
        let program = program("NATTER_TEST_NATS_SERVER");
        let (config, log) = (folder.join("nats-server.conf"), folder.join("nats-server.log"));
        for _ in 0..ATTEMPTS {
            let (at, monitor) = (ports::free(), ports::free());
            let accounts = format!("authorization {{ user: {USER}, password: \"{PASSWORD}\" }}");
            let mut text = format!("listen: \"{at}\"\nhttp: \"{monitor}\"\n{accounts}\n");
            if let Some(bytes) = max_pending {
                text += &format!("max_pending: {bytes}\n");
            }
            std::fs::write(&config, text).unwrap();
            let process = begin(&program, &config, &log);
            let (program, config, log) = (program.clone(), config.clone(), log.clone());
            let mut nats = Self { program, config, log, process, at, monitor };
            if nats.is_up().await {
                return nats;
            }
        }
        panic!("nats-server does not start: see {}", log.display());
    }

    async fn is_up(&mut self) -> bool {
        let url = format!("http://{}/healthz", self.monitor);
        self.process.is_ready(async || http::json(&url).await.is_some()).await
    }

    /// The URL by which nodes reach it through the link at `link`.
    pub(crate) fn url(link: SocketAddr) -> String {
        format!("nats://{USER}:{PASSWORD}@{link}")
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.process = begin(&self.program, &self.config, &self.log);
        assert!(self.is_up().await, "{}", self.process.last_words());
    }

    /// What its monitoring port says at `path`.
    pub(crate) async fn monitor(&self, path: &str) -> Value {
        let told = http::json(&format!("http://{}/{path}", self.monitor)).await;
        told.expect("the monitoring port answers")
    }
}

fn begin(program: &str, config: &Path, log: &Path) -> Process {
    let mut command = Command::new(program);
    command.arg("--config").arg(config);
    Process::start("nats-server", command, log)
}
