//! V10: what the processes of nodes take while they run.

use std::time::Duration;

use crate::check::Rule;
use crate::cluster::Node;
use crate::run::Run;

/// Bytes that a node of the development build may have in memory.
const MEMORY: u64 = 600 * 1024 * 1024;

/// Files that a node may have open.
const FILES: usize = 1_500;

/// What was found of nodes so far.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    memory: u64,
    files: usize,
}

impl Vitals {
    /// Between two looks.
    pub(crate) const EVERY: Duration = Duration::from_secs(2);

    /// Looks at a node, if it runs.
    pub(crate) fn look(&mut self, node: &mut Node) {
        let Some(id) = node.id() else { return };
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        self.memory = self.memory.max(kilobytes.unwrap_or(0) * 1024);
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        self.files = self.files.max(files);
    }

    /// Notes in the run what is not as it should be, of the nodes and in what they have written.
    pub(crate) fn judge(&self, run: &mut Run, nodes: &[Node]) {
        if self.files > FILES {
            run.violated(Rule::V10, format!("a node had {} files open", self.files));
        }
        self.judge_memory(run, nodes);
    }

    /// The same where a crowd has files open.
    pub(crate) fn judge_memory(&self, run: &mut Run, nodes: &[Node]) {
        if self.memory > MEMORY {
            run.violated(Rule::V10, format!("a node had {} bytes in memory", self.memory));
        }
        for node in nodes {
            let log = node.log();
            if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
                run.violated(Rule::V10, format!("{}: {line}", node.name));
            }
        }
    }
}
