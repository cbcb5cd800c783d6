//! A node whose store is not there yet: it lives, tells everybody to come back, and tries again.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::assemble::{self, Identity, Shared};
use super::{Doors, Opened, StartError, not_ready, scrape};
use crate::config::Config;
use crate::http::listener::Listener;
use crate::http::probes::NotReady;
use crate::http::waiting;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::store::{Access, StoreError};

/// Between two attempts: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Opens the store and the bus that `config` names, however long that takes; meanwhile whoever comes to one of `doors` is
/// answered. Dropping it ends that.
///
/// # Errors
///
/// What waiting does not help against.
pub(super) async fn open(
    config: &Config,
    doors: &Doors,
    identity: &Identity,
) -> Result<Shared, StartError> {
    let (say, why) = watch::channel(NotReady::no_answer("it is being opened"));
    let mut answering = Answering::new(doors, why, &identity.metrics);
    let mut pause = PAUSE;
    loop {
        let mut attempt = pin!(assemble::open(config, Access::Node, identity));
        let opened = match timeout(PAUSE, attempt.as_mut()).await {
            Ok(opened) => opened,
            Err(_elapsed) => {
                answering.begin()?;
                attempt.await
            }
        };
        let reason = match opened {
            Err(StartError::Store(error)) if may_pass(&error) => not_ready(&error),
            opened => return opened,
        };
        answering.begin()?;
        tracing::warn!(error = reason.cause, "waiting for the store: {}", reason.detail);
        say.send_replace(reason);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whoever answers clients and operators meanwhile. Dropping it ends that, and every connection.
struct Answering<'a> {
    doors: &'a Doors,
    why: watch::Receiver<NotReady>,
    metrics: &'a Metrics,
    /// Connections of clients, and of operators.
    links: [Links; 2],
    stop: CancellationToken,
    has_begun: bool,
}

impl<'a> Answering<'a> {
    fn new(doors: &'a Doors, why: watch::Receiver<NotReady>, metrics: &'a Metrics) -> Self {
        let (links, stop) = (<[Links; 2]>::default(), CancellationToken::new());
        Self { doors, why, metrics, links, stop, has_begun: false }
    }

    fn begin(&mut self) -> Result<(), StartError> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        let [clients, operators] = &self.links;
        self.serve("listen", &self.doors.public, waiting::router(self.why.clone()), clients)?;
        if let Some(door) = &self.doors.metrics {
            let router = scrape::waiting(self.metrics.clone(), clients.clone());
            self.serve("metrics.listen", door, router, operators)?;
        }
        Ok(())
    }

    fn serve(
        &self,
        setting: &'static str,
        door: &Opened,
        router: Router,
        links: &Links,
    ) -> Result<(), StartError> {
        let second = second_handle(&door.socket).map_err(|source| StartError::Listen {
            setting,
            address: door.address,
            source,
        })?;
        let listener = Listener { router, links: links.clone(), stop: self.stop.clone() };
        tokio::spawn(listener.serve(second));
        Ok(())
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.links.iter().for_each(Links::kill_all);
    }
}

fn may_pass(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::Unprepared(_))
}

/// The same socket once more, so that it is never closed between waiting and serving.
fn second_handle(socket: &TcpListener) -> io::Result<TcpListener> {
    let handle = std::os::fd::AsFd::as_fd(socket).try_clone_to_owned()?;
    TcpListener::from_std(std::net::TcpListener::from(handle))
}
