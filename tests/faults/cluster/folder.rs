//! Where one run keeps its files: `target/faults/<case>`. Logs stay if it fails, data never.

use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Where all runs keep theirs, and the report.
pub(crate) fn root() -> PathBuf {
    let target = std::env::var_os("NATTER_FAULTS_FOLDER").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults"))
}

impl Folder {
    /// A new and empty folder for the run of `case`.
    pub(crate) fn new(case: &str) -> Self {
        let path = root().join(case);
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("data")).unwrap();
        Self { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The run is over, and nobody will want to see its logs.
    pub(crate) fn forget(self) {
        _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(self.path.join("data"));
    }
}
