//! The contract of the store's ports, run on every adapter: each promise of their documentation is a test here.

mod file;
mod log;
mod memberships;
mod model;
mod pages;
mod requests;
mod rooms;
mod uploads;
mod users;
pub(crate) mod world;

use std::path::Path;

use natter::store::embedded::{Embedded, Options};

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
    };
}
use contract;

/// The embedded store in a file of `folder`.
pub(crate) async fn embedded(folder: &Path) -> Embedded {
    Embedded::open(folder.join("natter.db"), Options::default()).await.unwrap()
}
