//! The contract of the store's ports, run on every adapter: each promise of their documentation is a test here.

mod erasure;
mod failures;
mod file;
mod log;
mod memberships;
mod model;
mod pages;
mod replica_set;
mod requests;
mod retention;
mod rooms;
mod uploads;
mod users;
pub(crate) mod world;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use natter::config::Secret;
use natter::store::Access;
use natter::store::embedded::{Embedded, Options};
use natter::store::mongodb::{Mongodb, Times};

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

/// Longer than anything takes on a machine that has a lot else to do.
pub(crate) const PATIENT: Times = Times {
    attempt: Duration::from_secs(120),
    call: Duration::from_secs(120),
    append: Duration::from_secs(120),
    check: Duration::from_secs(120),
};

/// Databases with every index that no test uses now: to make one takes longer than most tests.
static UNUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A database of a test's own on the server of the run.
pub(crate) struct Place {
    /// Of that database.
    pub uri: Secret,
    /// Past the adapter.
    pub client: mongodb::Client,
    pub name: String,
    /// Whether another test can have it.
    is_as_new: bool,
}

impl Place {
    /// An empty database with every index; `None` where there is no server.
    pub(crate) async fn new() -> Option<Self> {
        let unused = UNUSED.lock().unwrap().pop();
        if let Some(name) = unused {
            return Self::named(name, true).await;
        }
        let place = Self { is_as_new: true, ..Self::bare().await? };
        Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
        Some(place)
    }

    /// A new database with nothing in it; `None` where there is no server.
    pub(crate) async fn bare() -> Option<Self> {
        Self::named(format!("natter_test_{:016x}", rand::random::<u64>()), false).await
    }

    async fn named(name: String, is_as_new: bool) -> Option<Self> {
        let server = server("NATTER_TEST_MONGODB_URL")?;
        let (address, options) = server.split_once("/?").unwrap_or((&server, ""));
        let uri = format!("{}/{name}?{options}", address.trim_end_matches('/'));
        let client = mongodb::Client::with_uri_str(&uri).await.unwrap();
        Some(Self { uri: Secret::new(uri), client, name, is_as_new })
    }

    /// Opens it as an operator's command does, so with nothing that runs beside the test.
    pub(crate) async fn open(&self) -> Mongodb {
        Mongodb::open(&self.uri, Access::Command, PATIENT).await.unwrap()
    }

    /// The database itself.
    pub(crate) fn database(&self) -> mongodb::Database {
        self.client.database(&self.name)
    }

    /// Leaves nothing on the server but, empty, what the next test can have.
    pub(crate) async fn end(self) {
        let database = self.database();
        if self.is_as_new {
            for name in database.list_collection_names().await.unwrap() {
                let documents = database.collection::<mongodb::bson::Document>(&name);
                documents.delete_many(mongodb::bson::doc! {}).await.unwrap();
            }
        } else {
            database.drop().await.unwrap();
        }
        self.client.shutdown().await;
        if self.is_as_new {
            UNUSED.lock().unwrap().push(self.name);
        }
    }
}
