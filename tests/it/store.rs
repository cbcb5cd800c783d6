//! The contract of the store's ports, run on every adapter: each promise of their documentation is a test here.

mod file;
mod log;
mod memberships;
mod model;
mod pages;
mod replica_set;
mod requests;
mod rooms;
mod uploads;
mod users;
pub(crate) mod world;

use std::path::Path;

use natter::config::Secret;
use natter::store::Access;
use natter::store::embedded::{Embedded, Options};
use natter::store::mongodb::Mongodb;

use crate::support::services::server;

/// Makes of each function a test per backend. Each gets a store of its own, which is empty.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $name() {
                    let place = tempfile::tempdir().unwrap();
                    let store = crate::store::embedded(place.path()).await;
                    super::$name(&store).await;
                    natter::store::Store::close(&store).await;
                }
            )+
        }

        mod mongodb {
            $(
                #[tokio::test]
                async fn $name() {
                    let Some(place) = crate::store::Place::new().await else { return };
                    let store = place.open().await;
                    super::$name(&store).await;
                    natter::store::Store::close(&store).await;
                    place.end().await;
                }
            )+
        }
    };
}
use contract;

/// The embedded store in a file of `folder`.
pub(crate) async fn embedded(folder: &Path) -> Embedded {
    Embedded::open(folder.join("natter.db"), Options::default()).await.unwrap()
}

/// A database of a test's own on the server of the run.
pub(crate) struct Place {
    /// Of that database.
    pub uri: Secret,
    /// Past the adapter.
    pub client: mongodb::Client,
    pub name: String,
}

impl Place {
    /// A new database with every index; `None` where there is no server.
    pub(crate) async fn new() -> Option<Self> {
        let place = Self::bare().await?;
        Mongodb::migrate(&place.uri).await.unwrap();
        Some(place)
    }

    /// A new database with nothing in it; `None` where there is no server.
    pub(crate) async fn bare() -> Option<Self> {
        let server = server("NATTER_TEST_MONGODB_URL")?;
        let name = format!("natter_test_{:016x}", rand::random::<u64>());
        let (address, options) = server.split_once("/?").unwrap_or((&server, ""));
        let uri = Secret::new(format!("{}/{name}?{options}", address.trim_end_matches('/')));
        let client = mongodb::Client::with_uri_str(uri.expose()).await.unwrap();
        Some(Self { uri, client, name })
    }

    /// Opens it as an operator's command does, so with nothing that runs beside the test.
    pub(crate) async fn open(&self) -> Mongodb {
        Mongodb::open(&self.uri, Access::Command).await.unwrap()
    }

    /// The database itself.
    pub(crate) fn database(&self) -> mongodb::Database {
        self.client.database(&self.name)
    }

    /// Leaves nothing on the server.
    pub(crate) async fn end(self) {
        self.database().drop().await.unwrap();
        self.client.shutdown().await;
    }
}
