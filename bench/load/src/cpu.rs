//! What other processes of this machine take, as Linux counts it.

use std::collections::BTreeMap;
use std::fs;

/// Ticks of `/proc/<pid>/stat` in a second: Linux tells user space this number on every machine.
const TICKS: f64 = 100.0;

/// CPU seconds, in user and kernel mode, of each process so far.
pub(crate) fn seconds(watched: &BTreeMap<String, u32>) -> BTreeMap<String, f64> {
    watched.iter().map(|(name, id)| (name.clone(), of(*id))).collect()
}

/// Resident bytes of each process.
pub(crate) fn resident(watched: &BTreeMap<String, u32>) -> BTreeMap<String, u64> {
    watched.iter().map(|(name, id)| (name.clone(), memory(*id))).collect()
}

/// What was added from one time to another.
pub(crate) fn between(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    after.iter().map(|(name, seconds)| (name.clone(), seconds - before[name])).collect()
}

fn of(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("a watched process runs");
    // Its name comes second, in brackets, and may hold blanks: `utime` and `stime` are the 14th and 15th.
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS
}

fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a watched process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kilobytes = line.trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().expect("a number") * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_time_and_memory() {
        let watched = BTreeMap::from([("this".to_owned(), std::process::id())]);
        let before = seconds(&watched);
        while between(&before, &seconds(&watched))["this"] <= 0.0 {
            std::hint::black_box(resident(&watched));
        }
        assert!(resident(&watched)["this"] > 100_000);
    }
}
