//! The table of README.md says where each case is run: here it is held to the truth.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The cases of the list that the rig was built by.
const CASES: [u32; 31] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 17, 18, 19, 20, 22, 24, 25, 26, 27, 28, 31, 32, 33, 34,
    35, 36, 37, 38, 39,
];

/// One row: the case, and the tests that run it.
fn rows() -> Vec<(String, Vec<String>)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/README.md");
    let text = fs::read_to_string(readme).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [case, _, by] = cells[..] else { return None };
        let is_case = case.starts_with(['X', 'F']) && case[1..].parse::<u32>().is_ok();
        let names = by.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        is_case.then(|| (case.to_owned(), names))
    });
    rows.collect()
}

/// Names of all tests in a folder of sources; of those that are ignored only, if asked for.
fn tests(folder: &Path, only_ignored: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(tests(&path, only_ignored));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (place, line) in lines.iter().enumerate() {
            let function = line.trim_start_matches("async ").strip_prefix("fn ");
            let Some((name, _)) = function.and_then(|rest| rest.split_once('(')) else { continue };
            let above = lines[..place].iter().rev().take_while(|line| line.starts_with("#["));
            if !only_ignored || above.into_iter().any(|line| line.starts_with("#[ignore")) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn every_case_is_run_by_a_test_that_exists() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let all: BTreeSet<_> = tests(&tree.join("faults"), false)
        .into_iter()
        .chain(tests(&tree.join("it"), false))
        .collect();
    for (case, names) in rows() {
        for name in names {
            assert!(all.contains(&name), "{case} is to be run by {name}, which is no test");
        }
    }
}

#[test]
fn every_case_has_a_row_and_every_test_a_case() {
    let rows = rows();
    for case in CASES {
        let name = format!("X{case:02}");
        assert!(rows.iter().any(|(row, _)| *row == name), "{name} has no row");
    }
    let named: BTreeSet<_> = rows.into_iter().flat_map(|(_, names)| names).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/cases");
    for name in tests(&folder, true) {
        assert!(named.contains(&name), "{name} is in no row of README.md");
    }
}
