//! What is written of runs: a line in `report.md` for people, and one file each for programs.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::check::{Rule, Violation};
use crate::cluster::root;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The case.
    pub(crate) case: String,
    /// Its seed.
    pub(crate) seed: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What does not hold.
    pub(crate) violations: Vec<Violation>,
    /// Why it came to no end, if it did not.
    pub(crate) broke: Option<String>,
    /// What was done.
    pub(crate) did: Vec<String>,
}

impl Outcome {
    /// Whether everything is as it should be.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty() && self.broke.is_none()
    }

    /// The rules that do not hold.
    fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<_> = self.violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    fn verdict(&self) -> String {
        match (&self.broke, self.rules()) {
            (Some(_), rules) if rules.is_empty() => "**broke**".to_owned(),
            (_, rules) if rules.is_empty() => "good".to_owned(),
            (_, rules) => {
                let names: Vec<_> = rules.iter().map(|rule| format!("{rule:?}")).collect();
                format!("**{}**", names.join(", "))
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (case, seconds) = (&self.case, self.seconds);
        write!(f, "{case}: {} after {seconds:.0} s; {}", self.verdict(), self.did.join("; "))?;
        for violation in &self.violations {
            write!(f, "\n  {violation}")?;
        }
        self.broke.iter().try_for_each(|why| write!(f, "\n  {why}"))
    }
}

/// Writes down what came of a run.
pub(super) fn note(outcome: &Outcome) {
    let root = root();
    std::fs::create_dir_all(&root).unwrap();
    let file = root.join(format!("{}.json", outcome.case));
    std::fs::write(file, as_json(outcome).to_string()).unwrap();
    let report = root.join("report.md");
    let is_new = !report.exists();
    let mut report = OpenOptions::new().create(true).append(true).open(report).unwrap();
    let mut text = String::new();
    if is_new {
        text += "| case | verdict | s | seed | what was done |\n| --- | --- | --- | --- | --- |\n";
    }
    let found = outcome.violations.iter().map(Violation::to_string);
    let all: Vec<_> =
        outcome.did.iter().cloned().chain(found).chain(outcome.broke.clone()).collect();
    let all = all.join("; ").replace('|', "/").replace('\n', " ");
    let (case, verdict, seed) = (&outcome.case, outcome.verdict(), outcome.seed);
    writeln!(text, "| {case} | {verdict} | {:.0} | {seed} | {all} |", outcome.seconds)
        .expect("a text takes everything");
    report.write_all(text.as_bytes()).unwrap();
}

fn as_json(outcome: &Outcome) -> Value {
    let rules: Vec<_> = outcome.rules().iter().map(|rule| format!("{rule:?}")).collect();
    json!({
        "case": outcome.case, "seed": outcome.seed, "seconds": outcome.seconds, "rules": rules,
        "broke": outcome.broke, "did": outcome.did,
        "violations": outcome.violations.iter().map(Violation::to_string).collect::<Vec<_>>(),
    })
}
