//! Which adapter a URL names, and how it is opened.

use std::path::Path;
use std::sync::Arc;

use super::error::Result;
use super::{DynStore, embedded, mongodb};
use crate::config::StoreUrl;

/// As what a process opens the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As a node. There is one at a time where the store is a file.
    Node,
    /// As an operator's command, which may run beside a node. It must not append to the log.
    Command,
    /// As an operator's command that needs every node to be stopped.
    Alone,
}

/// Opens the store that `url` names, in one attempt; a file is made if it is not there, its folder is not.
///
/// # Errors
///
/// [`super::StoreError::Unavailable`] if it cannot be opened, or as a node by another process already;
/// [`super::StoreError::Malformed`] if it is no store of this version or an earlier one; [`super::StoreError::Unprepared`] and
/// [`super::StoreError::Misconfigured`] as they say.
pub async fn connect(url: &StoreUrl, data_dir: &Path, access: Access) -> Result<DynStore> {
    match url {
        StoreUrl::Sqlite { .. } => {
            let path = url.sqlite_path(data_dir).unwrap_or_default();
            let exclusive = access != Access::Command;
            let options = embedded::Options { exclusive, ..embedded::Options::default() };
            Ok(Arc::new(embedded::Embedded::open(path, options).await?))
        }
        StoreUrl::Mongodb { uri } => {
            Ok(Arc::new(mongodb::Mongodb::open(uri, access, mongodb::Times::default()).await?))
        }
    }
}

/// Brings the store that `url` names up to date: makes what a new version, or a new database, lacks. It can be run
/// again at any time.
///
/// # Errors
///
/// Those of [`connect`].
pub async fn migrate(url: &StoreUrl, data_dir: &Path) -> Result<()> {
    match url {
        // Opening the file does it.
        StoreUrl::Sqlite { .. } => connect(url, data_dir, Access::Command).await?.close().await,
        StoreUrl::Mongodb { uri } => {
            mongodb::Mongodb::migrate(uri, mongodb::Times::default()).await?
        }
    }
    Ok(())
}
