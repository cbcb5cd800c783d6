//! `natter serve`: from the configuration to the signal that ends it.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, print, runtime};
use crate::config::{Config, Sources};
use crate::log;
use crate::node::{self, Node};

/// The code of a process that a second Ctrl-C ended, as a shell gives it.
const INTERRUPTED: i32 = 130;

/// How a node has ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// As it was told to.
    Told,
    /// Because its store was restored beneath it.
    Outlived,
}

/// Runs a node until SIGTERM or Ctrl-C.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let config = Config::load(sources)?;
    log::init(&config.log);
    raise_file_limit();
    match runtime()?.block_on(serve(config))? {
        Ended::Told => Ok(()),
        Ended::Outlived => Err(Failure::other(begin_anew())),
    }
}

/// Becomes a new process of the same command, so that nothing is left of what this one knew of the store; answers only if
/// that is not possible.
fn begin_anew() -> io::Error {
    match std::env::current_exe() {
        Ok(natter) => Command::new(natter).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}

/// Every connection is an open file, and the usual soft limit of 1,024 is for programs that use
/// `select`. The hard limit is the operator's word.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "raised the limit of open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

async fn serve(config: Config) -> Result<Ended, Failure> {
    let mut signals = Signals::listen().map_err(Failure::other)?;
    let socket = node::bind(&config)?;
    let node = tokio::select! {
        node = Node::start(config, socket) => node?,
        // Nobody is served yet: a node that waits for its store goes at once.
        _ = signals.next() => return Ok(Ended::Told),
    };
    tracing::info!(
        address = %node.addr(),
        internal = node.internal_addr().map(tracing::field::display),
        metrics = node.metrics_addr().map(tracing::field::display),
        version = env!("CARGO_PKG_VERSION"),
        "listening",
    );
    if io::stdout().is_terminal() {
        print(&format!("natter is at http://{} (Ctrl-C ends it)\n", reachable(&node)));
    }
    let hurry = CancellationToken::new();
    let mut ended = tokio::select! {
        told = signals.next() => {
            if told == Told::AtOnce {
                hurry.cancel();
            }
            Ended::Told
        }
        () = node.outlived() => {
            tracing::error!("beginning anew, for the store was restored: every client comes back");
            hurry.cancel();
            Ended::Outlived
        }
    };
    let mut drained = Box::pin(node.drain(&hurry));
    loop {
        tokio::select! {
            () = &mut drained => return Ok(ended),
            told = signals.next() => {
                match told {
                    Told::AtOnce if hurry.is_cancelled() => std::process::exit(INTERRUPTED),
                    Told::AtOnce => hurry.cancel(),
                    Told::InTime => {}
                }
                ended = Ended::Told;
            }
        }
    }
}

/// The address as a browser on this machine takes it.
fn reachable(node: &Node) -> String {
    let address = node.addr();
    match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => format!("localhost:{}", address.port()),
        _ => address.to_string(),
    }
}

/// How one was told to end.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// SIGTERM: by the platform, which grants time for it.
    InTime,
    /// SIGINT: by somebody who waits for it.
    AtOnce,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::InTime,
            _ = self.interrupt.recv() => Told::AtOnce,
        }
    }
}
