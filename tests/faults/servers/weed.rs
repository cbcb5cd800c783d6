//! A real S3 server (SeaweedFS) that knows one key, with one bucket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::process::Command;

use super::process::Process;
use super::{ATTEMPTS, ports, program};
use crate::client::http;

/// The bucket.
pub(crate) const BUCKET: &str = "rig";
/// The key that it knows, and what goes with it.
pub(crate) const KEY: &str = "rig-key";
/// Of a server that lives a minute.
pub(crate) const SECRET: &str = "rig-key-of-a-minute";

/// The server.
pub(crate) struct Weed {
    process: Process,
    ports: Vec<SocketAddr>,
    program: String,
    folder: PathBuf,
}

impl Weed {
    /// A server that answers. Its log and files go to `folder`.
    pub(crate) async fn start(folder: &Path) -> Self {
        let program = program("NATTER_TEST_WEED");
        let identity = json!({
            "name": "natter",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        });
        let identities = json!({"identities": [identity]}).to_string();
        std::fs::write(folder.join("s3.json"), identities).unwrap();
        for attempt in 1..=ATTEMPTS {
            let folder = folder.join(format!("data/weed-{attempt}"));
            std::fs::create_dir_all(&folder).unwrap();
            let ports: Vec<_> = (0..8).map(|_| ports::free()).collect();
            let process = begin(&program, &folder, &ports);
            let mut weed = Self { process, ports, program: program.clone(), folder };
            if weed.is_up().await {
                return weed;
            }
        }
        panic!("weed does not start");
    }

    /// Where it serves S3.
    pub(crate) fn at(&self) -> SocketAddr {
        self.ports[6]
    }

    async fn is_up(&mut self) -> bool {
        let url = format!("http://{}/{BUCKET}", self.at());
        // Any answer: a stranger is refused.
        let answers = async || http::answer(http::client().get(&url)).await.is_some();
        self.process.is_ready(answers).await
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.process = begin(&self.program, &self.folder, &self.ports);
        assert!(self.is_up().await, "{}", self.process.last_words());
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It leaves sockets here, whatever TMPDIR says.
        for port in self.ports.iter().map(SocketAddr::port) {
            for part in ["master", "volume", "filer", "s3"] {
                _ = std::fs::remove_file(format!("/tmp/seaweedfs-{part}-{port}.sock"));
            }
        }
    }
}

fn begin(program: &str, folder: &Path, ports: &[SocketAddr]) -> Process {
    let home = folder.parent().and_then(Path::parent).expect("the folder of a run");
    let mut command = Command::new(program);
    command.args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    command.arg(format!("-dir={}", folder.display()));
    command.args(["-filer=true", "-s3=true", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.args(["-s3.iam=false", "-s3.autoCreateBucket=true", "-master.telemetry=false"]);
    command.args(["-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.max=40"]);
    command.arg(format!("-s3.config={}", home.join("s3.json").display()));
    let parts = ["master", "volume", "filer", "s3"];
    let names = parts.iter().flat_map(|part| [format!("{part}.port"), format!("{part}.port.grpc")]);
    command.args(names.zip(ports).map(|(name, at)| format!("-{name}={}", at.port())));
    Process::start("weed", command, &home.join("weed.log"))
}
