//! The process as the operating system sees it, under the names that every exporter gives these.
//!
//! Read from `/proc`, so on Linux alone; elsewhere they stay at zero.

use std::fs;

use prometheus::{Counter, Gauge, IntGauge};

use super::builder::Builder;

/// Ticks in a second of what `/proc` tells of times: part of Linux' interface to programs, whatever its own clock does.
const TICKS: f64 = 100.0;

/// Metrics of the process.
#[derive(Debug)]
pub struct Process {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    resident: IntGauge,
    virtual_memory: IntGauge,
    memory_limit: IntGauge,
    threads: IntGauge,
    started: Gauge,
}

impl Process {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            cpu: new.sum("process_cpu_seconds_total", "Time on the processors, user and system."),
            open_fds: new.gauge("process_open_fds", "Open file descriptors."),
            max_fds: new.gauge("process_max_fds", "The most that may be open."),
            resident: new.gauge("process_resident_memory_bytes", "Memory in use."),
            virtual_memory: new
                .gauge("process_virtual_memory_bytes", "Address space that is taken."),
            memory_limit: new.gauge(
                "natter_memory_limit_bytes",
                "The most memory that the process may use: what its control group allows, or what the machine has.",
            ),
            threads: new.gauge("process_threads", "Threads of the operating system."),
            started: new
                .fraction("process_start_time_seconds", "When it began, in seconds since 1970."),
        }
    }

    /// Looks at the process.
    pub(crate) fn look(&self) {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(stat) = stat.as_deref().and_then(Stat::parse) {
            let cpu = stat.cpu_ticks / TICKS;
            self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
            self.threads.set(stat.threads);
            if let Some(booted) = fs::read_to_string("/proc/stat").ok().and_then(|all| booted(&all))
            {
                self.started.set(booted + stat.start_ticks / TICKS);
            }
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            for (name, gauge) in [("VmRSS:", &self.resident), ("VmSize:", &self.virtual_memory)] {
                if let Some(kib) = kibibytes(&status, name) {
                    gauge.set(kib * 1024);
                }
            }
        }
        if let Some(limit) = memory_limit() {
            self.memory_limit.set(limit);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the look itself.
            self.open_fds.set(super::whole(open.count().saturating_sub(1)));
        }
        if let Ok(most) = rlimit::Resource::NOFILE.get_soft() {
            self.max_fds.set(i64::try_from(most).unwrap_or(i64::MAX));
        }
    }
}

/// What is wanted of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: i64,
    start_ticks: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program comes in brackets, and may hold anything.
        let (_, behind) = text.rsplit_once(')')?;
        let fields: Vec<&str> = behind.split_whitespace().collect();
        // Behind the name is the third field of proc(5).
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)? as i64,
            start_ticks: field(22)?,
        })
    }
}

/// When the system came up, in seconds since 1970, as `/proc/stat` has it.
fn booted(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// What the control group allows, if it does not allow everything, or else what the machine has.
fn memory_limit() -> Option<i64> {
    let allowed = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let machine = kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")? * 1024;
    let allowed = allowed.into_iter().find_map(|path| fs::read_to_string(path).ok());
    let allowed = allowed.and_then(|text| text.trim().parse().ok());
    Some(allowed.map_or(machine, |allowed: i64| allowed.min(machine)))
}

fn kibibytes(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 9 0 12345 1000 50 1";
        let expected = Stat { cpu_ticks: 400.0, threads: 9, start_ticks: 12345.0 };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(booted("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
        assert_eq!(kibibytes("Name:\ta\nVmRSS:\t   2048 kB\n", "VmRSS:"), Some(2048));
    }
}
