//! What the nodes of a test stand on.

use natter::config::{BusUrl, Config, Secret, StoreUrl};

use super::nats::NatsServer;
use super::shelf::Shelf;
use crate::store::{PATIENT, Place};

/// One store and one bus inside of the process, or real servers, each node with connections of its own.
pub(crate) enum Ground {
    Process,
    Servers(Box<Servers>),
}

/// A database and a bucket on the servers of the run, and a nats-server, for one test.
pub(crate) struct Servers {
    place: Place,
    nats: NatsServer,
    shelf: Shelf,
}

const CREDENTIALS: &str = "natter:s3cr3t";

impl Ground {
    /// Real servers; `None`, and loudly so, where one is not there.
    pub(crate) async fn servers() -> Option<Self> {
        let nats = NatsServer::start("authorization { user: natter, password: s3cr3t }").await?;
        let shelf = Shelf::bucket()?;
        // Of its own: nodes that are killed say later that they have gone.
        let place = Place::bare().await?;
        natter::store::mongodb::Mongodb::migrate(&place.uri, PATIENT).await.unwrap();
        Some(Self::Servers(Box::new(Servers { place, nats, shelf })))
    }

    /// What a node has to be told to stand there; `None` inside of the process.
    pub(super) fn settings(&self) -> Option<impl Fn(&mut Config) + use<>> {
        let Self::Servers(servers) = self else { return None };
        let store = StoreUrl::Mongodb { uri: servers.place.uri.clone() };
        let bus = BusUrl::Nats { url: Secret::new(servers.nats.url(CREDENTIALS)) };
        let media = servers.shelf.config();
        Some(move |config: &mut Config| {
            config.store = store.clone();
            config.bus = bus.clone();
            config.media = media.clone();
        })
    }

    /// The server of the bus, which nobody else is on.
    pub(crate) fn nats(&self) -> &NatsServer {
        match self {
            Self::Servers(servers) => &servers.nats,
            Self::Process => panic!("the bus is inside of the process"),
        }
    }

    /// Leaves nothing on the servers of the run.
    pub(crate) async fn end(self) {
        if let Self::Servers(servers) = self {
            servers.place.end().await;
        }
    }
}

/// Makes of each function two tests: with nodes on one store and one bus inside of the process, and on real servers.
macro_rules! on_every_ground {
    ($($name:ident),+ $(,)?) => {
        mod in_process {$(
            #[tokio::test]
            async fn $name() {
                super::$name(&$crate::support::Ground::Process).await;
            }
        )+}
        mod on_servers {$(
            #[tokio::test]
            async fn $name() {
                let Some(ground) = $crate::support::Ground::servers().await else { return };
                super::$name(&ground).await;
                ground.end().await;
            }
        )+}
    };
}
pub(crate) use on_every_ground;
