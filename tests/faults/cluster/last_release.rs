//! The program of the last release, built from its tag.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A release.
pub(crate) struct Release {
    /// Its tag.
    pub(crate) tag: String,
    /// Its program.
    pub(crate) program: PathBuf,
}

/// The last release before what is checked out, built; `None`, and loudly so, where there is none.
pub(crate) fn built() -> Option<Release> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let described = Command::new("git")
        .args(["describe", "--tags", "--abbrev=0"])
        .current_dir(root)
        .output()
        .expect("git is there");
    if !described.status.success() {
        eprintln!(
            "SKIPPED: no release has a tag yet, so no other version can serve beside this one"
        );
        return None;
    }
    let tag = String::from_utf8(described.stdout).expect("a tag is text").trim().to_owned();
    let folder = root.join("target/last-release").join(&tag);
    let (source, target) = (folder.join("source"), folder.join("target"));
    let program = target.join("debug/natter");
    if !program.exists() {
        if !source.exists() {
            let source = source.to_str().expect("a path of text");
            // It may have been there before, and `target` deleted.
            let add = ["worktree", "add", "--force", "--detach", source, &tag];
            done(Command::new("git").args(add).current_dir(root));
        }
        seed(&root.join("target"), &target);
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut build = Command::new(cargo);
        // With the features that tests unite, as what it is seeded with; there are no examples.
        build.args(["build", "--locked", "--bin", "natter", "--examples"]).current_dir(&source);
        done(build.env("CARGO_TARGET_DIR", &target));
    }
    Some(Release { tag, program })
}

/// Takes over what is built of the dependencies, of which a release shares most.
fn seed(built: &Path, target: &Path) {
    let there = target.join("debug");
    std::fs::create_dir_all(&there).expect("a folder in target");
    for part in ["build", "deps", ".fingerprint"] {
        let (from, to) = (built.join("debug").join(part), there.join(part));
        if from.exists() && !to.exists() {
            done(Command::new("cp").arg("-al").args([&from, &to]));
        }
    }
}

fn done(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {status:?}"
    );
}
