//! Processes in groups of their own, which end with whoever started them, also if that is killed.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a server may take to be ready: only a broken one needs as long, even on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks whether something is so by now.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// A signal, by the name that `kill` knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// At once, without a word.
    Kill,
    /// Please.
    Term,
    /// Stand still.
    Stop,
    /// Go on.
    Cont,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }
}

/// A running process, its output in a file. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    group: u32,
    child: Child,
    log: PathBuf,
    /// Waits for its input to end, which it does with this process, and kills the group.
    _guard: Child,
}

impl Process {
    /// Starts `command`, its output behind what the file `log` holds.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let output = append(log);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let group = child.id().expect("it was not waited for yet");
        let mut guard = Command::new("sh");
        guard.args(["-c", "read -r _; kill -s KILL -- -$0", &group.to_string()]);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = guard.process_group(0).kill_on_drop(true).spawn().unwrap();
        Self { name: name.to_owned(), group, child, log: log.to_owned(), _guard: guard }
    }

    /// Sends a signal to it and all that it has started.
    pub(crate) async fn signal(&mut self, signal: Signal) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s $0 -- -$1", signal.name(), &self.group.to_string()]);
        kill.stderr(Stdio::null());
        _ = kill.status().await.unwrap();
    }

    /// Kills it, and returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::Kill).await;
        self.child.wait().await.unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(within, self.child.wait()).await.ok().map(Result::unwrap)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.group
    }

    /// Waits until `is_ready` says so; `false` if the process ends first.
    pub(crate) async fn is_ready(&mut self, is_ready: impl AsyncFn() -> bool) -> bool {
        let end = Instant::now() + READY_WITHIN;
        while !self.has_ended() {
            if is_ready().await {
                return true;
            }
            assert!(Instant::now() < end, "{} is never ready: {}", self.name, self.last_words());
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = &log[log.len().saturating_sub(2_000)..];
        format!("{}:\n{}", self.log.display(), String::from_utf8_lossy(end))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = self.group.to_string();
        // Not awaited: dropping is not async, and `sh` is quick.
        let mut kill = std::process::Command::new("sh");
        kill.args(["-c", "kill -s KILL -- -$0", &group]).stderr(Stdio::null());
        _ = kill.status();
        _ = self.child.start_kill();
    }
}

fn append(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Process, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (Process::start("sh", command, &folder.path().join("log")), folder)
    }

    #[tokio::test]
    async fn a_process_stands_still_goes_on_and_ends_with_its_children() {
        let (mut process, folder) = shell("while :; do echo tick; sleep 0.01; done");
        let log = folder.path().join("log");
        let length = || std::fs::metadata(&log).unwrap().len();
        let grows = async |from: u64| {
            while length() <= from {
                tokio::time::sleep(LOOK).await;
            }
        };
        grows(0).await;
        process.signal(Signal::Stop).await;
        process.signal(Signal::Cont).await;
        grows(length()).await;
        process.kill().await;
        assert!(process.has_ended());
    }

    #[tokio::test]
    async fn a_process_that_ends_is_not_ready_and_has_last_words() {
        let (mut process, _folder) = shell("echo cannot start today; exit 3");
        assert!(!process.is_ready(async || false).await);
        assert!(process.last_words().contains("cannot start today"));
        let status = process.ended(READY_WITHIN).await.unwrap();
        assert_eq!(status.code(), Some(3));
    }
}
