//! A replica set of real mongods. Its members know each other by the addresses of links, so that each way can be broken.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{Client, Database};
use tokio::process::Command;
use tokio::time::Instant;

use super::process::{LOOK, Process, Signal};
use super::{ATTEMPTS, ports, program};
use crate::proxy::Link;

/// The name of the replica set.
const SET: &str = "rig";

/// The database of the nodes.
pub(crate) const DATABASE: &str = "natter";

/// How long a set may take to have a primary.
const ELECTED_WITHIN: Duration = Duration::from_secs(120);

/// One member.
pub(crate) struct Member {
    program: String,
    at: SocketAddr,
    data: PathBuf,
    log: PathBuf,
    process: Process,
    /// The link by which everybody, itself included, knows it.
    pub(crate) link: Link,
    client: Client,
}

/// The set.
pub(crate) struct ReplicaSet {
    /// Its members.
    pub(crate) members: Vec<Member>,
}

impl Member {
    async fn start(folder: &Path, number: usize) -> Self {
        let program = program("NATTER_TEST_MONGOD");
        let log = folder.join(format!("mongod-{number}.log"));
        for attempt in 1..=ATTEMPTS {
            let (at, data) =
                (ports::free(), folder.join(format!("data/mongod-{number}-{attempt}")));
            std::fs::create_dir_all(&data).unwrap();
            let process = begin(&program, at, &data, &log);
            let link = Link::to_mongod(at).await;
            let client = direct(at).await;
            let (program, log) = (program.clone(), log.clone());
            let mut member = Self { program, at, data, log, process, link, client };
            if member.is_up().await {
                return member;
            }
        }
        panic!("mongod does not start: see {}", log.display());
    }

    async fn is_up(&mut self) -> bool {
        let admin = self.client.database("admin");
        self.process.is_ready(async || admin.run_command(doc! { "ping": 1 }).await.is_ok()).await
    }

    /// What it is called in reports.
    pub(crate) fn name(&self) -> String {
        format!("mongod at {}", self.at)
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&mut self, signal: Signal) {
        self.process.signal(signal).await;
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.process = begin(&self.program, self.at, &self.data, &self.log);
        assert!(self.is_up().await, "{}", self.process.last_words());
    }

    /// Has it leave its files as they are until [`Member::unlock`].
    pub(crate) async fn lock(&self) {
        self.admin(doc! { "fsync": 1, "lock": true }).await.unwrap();
    }

    /// Copies its files while it runs: it has to be locked.
    pub(crate) fn save(&self, to: &Path) {
        copy(&self.data, to);
    }

    /// Has it go on and catch up.
    pub(crate) async fn unlock(&self) {
        self.admin(doc! { "fsyncUnlock": 1 }).await.unwrap();
    }

    /// Starts it on a copy of a member's files, or on an empty folder. It has to be killed before.
    pub(crate) async fn start_on(&mut self, saved: Option<&Path>) {
        std::fs::remove_dir_all(&self.data).unwrap();
        match saved {
            Some(saved) => copy(saved, &self.data),
            None => std::fs::create_dir(&self.data).unwrap(),
        }
        self.restart().await;
    }

    /// Runs a command on its `admin` database, of this member alone.
    pub(crate) async fn admin(&self, command: Document) -> mongodb::error::Result<Document> {
        self.client.database("admin").run_command(command).await
    }

    /// Its copy of the nodes' database.
    pub(crate) fn database(&self) -> Database {
        self.client.database(DATABASE)
    }

    /// Switches a failpoint on, or off with `mode: "off"`.
    pub(crate) async fn failpoint(&self, name: &str, rest: Document) {
        let mut command = doc! { "configureFailPoint": name };
        command.extend(rest);
        self.admin(command).await.unwrap();
    }

    async fn is_primary(&self) -> bool {
        let hello = self.admin(doc! { "hello": 1 }).await;
        hello.is_ok_and(|hello| matches!(hello.get_bool("isWritablePrimary"), Ok(true)))
    }
}

impl ReplicaSet {
    /// A set of so many members, with a primary. Logs and data go to `folder`.
    pub(crate) async fn start(folder: &Path, members: usize) -> Self {
        let members = futures::stream::iter(0..members)
            .map(|number| Member::start(folder, number))
            .buffered(members)
            .collect()
            .await;
        let set = Self { members };
        let hosts: Vec<_> = (0..)
            .zip(&set.members)
            .map(|(id, member)| doc! { "_id": id, "host": member.link.address().to_string() })
            .collect();
        let settings = doc! { "electionTimeoutMillis": 3_000, "heartbeatTimeoutSecs": 2, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": SET, "members": hosts, "settings": settings };
        set.members[0].admin(doc! { "replSetInitiate": config }).await.unwrap();
        set.primary().await;
        set
    }

    /// The URI by which the node of this name finds it.
    pub(crate) fn uri(&self, node: &str) -> String {
        let hosts: Vec<_> =
            self.members.iter().map(|member| member.link.address().to_string()).collect();
        format!("mongodb://{}/{DATABASE}?replicaSet={SET}&appName={node}", hosts.join(","))
    }

    /// The place of the primary among the members, once there is one.
    pub(crate) async fn primary(&self) -> usize {
        let end = Instant::now() + ELECTED_WITHIN;
        loop {
            let asked = self.members.iter().map(Member::is_primary);
            let found = futures::future::join_all(asked).await;
            if let Some(primary) = found.iter().position(|is_primary| *is_primary) {
                return primary;
            }
            assert!(Instant::now() < end, "the set has no primary");
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn begin(program: &str, at: SocketAddr, data: &Path, log: &Path) -> Process {
    let mut command = Command::new(program);
    command.arg("--dbpath").arg(data);
    command.args(["--port", &at.port().to_string(), "--bind_ip", "127.0.0.1", "--nounixsocket"]);
    command.args(["--replSet", SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]);
    // Else three journal files of 100 MB each are laid out before the first write.
    command.args(["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=32MB)"]);
    command.args(["--setParameter", "enableTestCommands=1"]);
    command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
    Process::start("mongod", command, log)
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &there);
        } else {
            std::fs::copy(&path, &there).unwrap();
        }
    }
}

/// A client that talks to this server alone, and does not wait long for it.
async fn direct(at: SocketAddr) -> Client {
    let options = ClientOptions::builder()
        .hosts(vec![ServerAddress::Tcp { host: at.ip().to_string(), port: Some(at.port()) }])
        .direct_connection(true)
        .server_selection_timeout(Duration::from_secs(2))
        .connect_timeout(Duration::from_secs(2))
        .build();
    Client::with_options(options).unwrap()
}
