//! One run of a case: its seed, its folder, its time, and its line in the report.

mod report;
mod verify;
mod vital;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;

pub(crate) use report::Outcome;
pub(crate) use vital::Vitals;

use crate::check::{Rule, Violation};
use crate::cluster::Folder;

/// How long a case may take at most, on whatever machine: those that take longer hang.
const LONGEST: Duration = Duration::from_secs(280);

/// What a case is given, and what it finds.
pub(crate) struct Run {
    /// The name of the case.
    pub(crate) case: String,
    /// Everything that is left to chance follows from it.
    pub(crate) seed: u64,
    /// When it began.
    began: Instant,
    /// Where its files are.
    pub(crate) folder: Folder,
    /// What does not hold.
    pub(crate) violations: Vec<Violation>,
    /// What was done, in words for the report.
    pub(crate) did: Vec<String>,
}

impl Run {
    /// Notes that a rule does not hold.
    pub(crate) fn violated(&mut self, rule: Rule, what: impl Into<String>) {
        self.violations.push(Violation { rule, what: what.into() });
    }

    /// Notes for the report what was done.
    pub(crate) fn did(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.now(&what);
        self.did.push(what);
    }

    /// Tells whoever watches what happens now.
    pub(crate) fn now(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

/// Runs a case: `body` drives it and notes what it finds. Panics if a rule does not hold.
pub(crate) fn case(name: &str, body: impl AsyncFnOnce(&mut Run)) {
    let seed = match std::env::var("NATTER_FAULTS_SEED") {
        Ok(seed) => seed.parse().expect("NATTER_FAULTS_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("{name}: NATTER_FAULTS_SEED={seed}");
    let mut run = Run {
        case: name.to_owned(),
        seed,
        began: Instant::now(),
        folder: Folder::new(name),
        violations: Vec::new(),
        did: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let body = AssertUnwindSafe(tokio::time::timeout(LONGEST, body(&mut run)));
        body.catch_unwind().await
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let broke = match ended {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("it took longer than {LONGEST:?}")),
        Err(panic) => Some(message(&*panic)),
    };
    let outcome = Outcome {
        case: run.case,
        seed,
        seconds: run.began.elapsed().as_secs_f64(),
        violations: run.violations,
        broke,
        did: run.did,
    };
    report::note(&outcome);
    println!("{outcome}");
    if outcome.is_good() {
        return run.folder.forget();
    }
    panic!("{name} failed; the logs are in {}", run.folder.path().display());
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
