//! The invariants V1 to V8 over a history and the final log: pure functions. What they cannot see, a case checks itself.

mod acked;
mod delivered;
mod member;
mod order;
#[cfg(test)]
mod sample;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{History, Replica};

/// One of the invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Every acked message is in the log exactly once, at the acked position.
    V1,
    /// No client_id twice; an unknown one at most once, a refused one never.
    V2,
    /// Positions of a room are 1 to k without holes, the same on every replica.
    V3,
    /// All readers see the same at each position, rising, without a gap, to the end.
    V4,
    /// Whatever was delivered is in the final log.
    V5,
    /// One connection's pipelined sends keep their order.
    V6,
    /// Acked before another was sent: the smaller position.
    V7,
    /// Nothing is delivered to, or stored from, a non-member.
    V8,
    /// Presence equals the truth some time after the last fault.
    V9,
    /// Memory, files and queues are bounded, and nothing panics.
    V10,
    /// What the case promises beside them.
    Own,
}

/// A rule that does not hold, and how one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which.
    pub(crate) rule: Rule,
    /// How one sees it.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// What is found, by rule, each with its first few examples: a broken log breaks a thousand times.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: BTreeMap<Rule, (usize, Vec<String>)>,
}

/// Examples that are kept of each rule.
const EXAMPLES: usize = 5;

impl Findings {
    /// Notes that `rule` does not hold.
    pub(crate) fn add(&mut self, rule: Rule, what: impl FnOnce() -> String) {
        let (count, examples) = self.found.entry(rule).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(what());
        }
    }

    /// The examples, and how many more there are of each rule.
    pub(crate) fn into_violations(self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (rule, (count, examples)) in self.found {
            let more = count - examples.len();
            violations.extend(examples.into_iter().map(|what| Violation { rule, what }));
            if more > 0 {
                violations.push(Violation { rule, what: format!("and {more} more") });
            }
        }
        violations
    }
}

/// Checks V1 to V8. `replicas` are the final log as each replica of the store holds it, and as nodes tell it; the first
/// one is what the others are measured by.
pub(crate) fn check(history: &History, replicas: &[Replica]) -> Vec<Violation> {
    let mut findings = Findings::default();
    let Some(log) = replicas.first() else {
        findings.add(Rule::V3, || "there is no log to be read".to_owned());
        return findings.into_violations();
    };
    order::positions(replicas, &mut findings);
    acked::acked(history, log, &mut findings);
    acked::once(history, log, &mut findings);
    delivered::readers(history, log, &mut findings);
    delivered::in_the_log(history, log, &mut findings);
    order::pipelined(history, &mut findings);
    order::real_time(history, log, &mut findings);
    member::stored(log, &mut findings);
    member::delivered(history, log, &mut findings);
    findings.into_violations()
}
