//! The layers and invariants of `docs/ARCHITECTURE.md`, checked against the source.

use std::fs;
use std::path::{Path, PathBuf};

/// Every top module in its layer, the lowest first. A module uses what is below it, and itself.
const LAYERS: &[&[&str]] = &[
    &["client", "domain", "keys", "lifecycle", "link", "tls"],
    &["api", "config", "metrics", "record"],
    &["telemetry"],
    &["store", "bus", "media", "log", "limits", "passwords"],
    &["nodes", "backup"],
    &["room"],
    &["app"],
    &["service"],
    &["http", "socket", "jobs"],
    &["node"],
    &["cli"],
];

struct Source {
    /// The top module that the file belongs to.
    module: String,
    path: PathBuf,
    code: String,
}

impl Source {
    fn layer(&self) -> usize {
        layer(&self.module, &self.path)
    }

    /// The lines that are no comments.
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.code.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

/// All files of `src/` but the two that belong to no module.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let sources = found.into_iter().map(|path| {
        let inside = path.strip_prefix(&root).unwrap().with_extension("");
        let module = inside.iter().next().unwrap().to_str().unwrap().to_owned();
        Source { module, code: fs::read_to_string(&path).unwrap(), path }
    });
    sources.filter(|source| source.module != "lib" && source.module != "main").collect()
}

fn layer(module: &str, path: &Path) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("{}: `{module}` is in no layer", path.display()))
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

#[test]
fn a_module_uses_only_the_layers_below_it() {
    for source in sources() {
        let shown = source.path.display();
        assert!(
            !source.code.contains("crate::{"),
            "{shown}: one module a line, so that all are seen"
        );
        for used in source.code.split("crate::").skip(1).map(first_word) {
            let is_below = layer(used, &source.path) < source.layer();
            let module = &source.module;
            assert!(is_below || used == module, "{shown}: `{module}` may not use `{used}`");
        }
    }
}

#[test]
fn what_is_behind_a_port_is_named_only_there() {
    let behind = [
        ("rusqlite", "store"),
        ("mongodb::", "store"),
        ("async_nats", "bus"),
        ("object_store", "media"),
        ("socketioxide", "socket"),
        ("engineioxide", "socket"),
    ];
    for source in sources() {
        for (name, port) in behind.iter().filter(|(_, port)| *port != source.module) {
            // The log holds a list of libraries by name, to keep them silent.
            let is_list = source.module == "log";
            let named = source.lines().find(|line| line.contains(name));
            assert!(
                is_list || named.is_none(),
                "{}: {named:?} belongs to {port}",
                source.path.display()
            );
        }
    }
}

#[test]
fn only_transports_know_statuses() {
    for source in sources() {
        let knows = source.lines().any(|line| line.contains("StatusCode"));
        let is_transport = matches!(source.module.as_str(), "http" | "socket");
        assert!(!knows || is_transport, "{} names a status", source.path.display());
    }
}

#[test]
fn there_is_no_static_state_so_many_nodes_run_in_one_process() {
    for source in sources() {
        for line in source.lines().map(str::trim_start) {
            let item = line.trim_start_matches("pub").trim_start_matches("(crate)").trim_start();
            assert!(!item.starts_with("static "), "{}: {line}", source.path.display());
            assert!(!line.starts_with("thread_local!"), "{}: {line}", source.path.display());
        }
    }
}
