//! A nats-server of a test's own, which can be killed and started again on its port.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The longest that a server may take to serve on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Ports that no client of this machine is given by chance, so that a server comes back on its own.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The server. It ends with the test.
pub(crate) struct NatsServer {
    pub(crate) port: u16,
    /// Where it tells of itself.
    monitor: u16,
    folder: tempfile::TempDir,
    file: String,
    environment: Vec<(&'static str, String)>,
    binary: PathBuf,
    process: Option<Child>,
}

/// The binary: `NATTER_TEST_NATS_SERVER`, or else the one of the PATH. `None`, loudly, where there is none.
fn binary() -> Option<PathBuf> {
    let variable = "NATTER_TEST_NATS_SERVER";
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|folder| folder.join("nats-server"));
    let found =
        std::env::var_os(variable).map(PathBuf::from).or_else(|| found.find(|file| file.is_file()));
    found.or_else(|| super::services::server(variable).map(PathBuf::from))
}

/// A port of this machine that nobody listens on.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(PORTS);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl NatsServer {
    /// A server with `config` beside where it listens; `None`, loudly, if there is no binary.
    pub(crate) async fn start(config: &str) -> Option<Self> {
        let binary = binary()?;
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let (port, monitor) = (free_port(), free_port());
            let places = format!("listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n");
            std::fs::write(folder.path().join("server.conf"), places + config).unwrap();
            let (file, environment) = ("server.conf".to_owned(), Vec::new());
            let binary = binary.clone();
            let process = None;
            let mut server = Self { port, monitor, folder, file, environment, binary, process };
            if server.try_again().await {
                return Some(server);
            }
        }
        panic!("no nats-server comes up");
    }

    /// A server with `file` of the folder `nats`, which is changed in nothing but where it listens, for other servers at `routes`.
    pub(crate) async fn shipped(
        file: &str,
        routes: u16,
        environment: Vec<(&'static str, String)>,
    ) -> Option<Self> {
        let (binary, folder) = (binary()?, tempfile::tempdir().unwrap());
        let (port, monitor) = (free_port(), free_port());
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("nats");
        let places = [
            ("\"0.0.0.0:4222\"", port),
            ("\"127.0.0.1:8222\"", monitor),
            ("\"0.0.0.0:6222\"", routes),
        ];
        for name in ["server.conf", "cluster.conf", "accounts.conf"] {
            let mut text = std::fs::read_to_string(shipped.join(name)).unwrap();
            for (place, port) in places {
                text = text.replace(place, &format!("\"127.0.0.1:{port}\""));
            }
            assert!(!text.contains("0.0.0.0"), "{name} listens where tests do not know");
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (file, process) = (file.to_owned(), None);
        let mut server = Self { port, monitor, folder, file, environment, binary, process };
        server.again().await;
        Some(server)
    }

    /// Starts it again, on the same port.
    pub(crate) async fn again(&mut self) {
        assert!(self.try_again().await, "nats-server does not come up: {}", self.log());
    }

    async fn try_again(&mut self) -> bool {
        let log = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(&self.binary);
        command.args(["--config", &self.file]).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let is_up = serves(self.port, &mut process).await;
        self.process = Some(process);
        is_up
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    /// A URL with these credentials, such as `user:password`, or none.
    pub(crate) fn url(&self, credentials: &str) -> String {
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("nats://{credentials}{at}127.0.0.1:{}", self.port)
    }

    /// What it tells of itself at `path`.
    pub(crate) async fn told(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/{path}", self.monitor);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Whether the server greets on its port; `false` once its process is at an end.
async fn serves(port: u16, process: &mut Child) -> bool {
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until && process.try_wait().unwrap().is_none() {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            let mut line = String::new();
            let _ = BufReader::new(stream).read_line(&mut line).await;
            if line.starts_with("INFO ") {
                return true;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}
