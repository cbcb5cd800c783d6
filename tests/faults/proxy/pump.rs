//! One connection through a link: two ways, each of which reads ahead a little and writes when it may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::fault::{Rules, Way, name_in};
use super::frames::Frames;

/// Pieces that are read ahead of what may be written; beyond it the sender waits, as on a real network.
const AHEAD: usize = 64;

/// Bytes of a piece.
const PIECE: usize = 16 * 1024;

/// What is spoken on a link, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Anything,
    /// The client names itself in the first that it says.
    Mongo,
    /// The server's messages can be told apart.
    Nats,
}

/// Both ways of one connection.
pub(super) struct Pump {
    speech: Speech,
    refused: Notify,
    caller: Arc<OnceLock<String>>,
    rules: watch::Receiver<Rules>,
    resets: u64,
    lost: Arc<AtomicU64>,
}

/// One piece, and when it came.
type Piece = (Instant, Bytes);

impl Pump {
    /// A pump that counts what it loses in `lost`.
    pub(super) fn new(speech: Speech, rules: watch::Receiver<Rules>, lost: Arc<AtomicU64>) -> Self {
        let resets = rules.borrow().resets;
        Self { speech, refused: Notify::new(), caller: Arc::default(), rules, resets, lost }
    }

    /// Carries between the two until either ends, or the link refuses or resets them.
    pub(super) async fn run(self, client: TcpStream, server: TcpStream) {
        for stream in [&client, &server] {
            _ = stream.set_nodelay(true);
            // Whatever ends a connection here ends it as a crash does, but for an orderly end of either side.
            abrupt(stream, true);
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let carried = async {
            tokio::join!(
                self.carry(Way::ToServer, from_client, to_server),
                self.carry(Way::ToClient, from_server, to_client),
            )
        };
        tokio::select! {
            _ = carried => {}
            () = self.broken() => {}
            () = self.refused.notified() => {}
        }
    }

    /// Returns when the connection is to be reset.
    async fn broken(&self) {
        let mut rules = self.rules.clone();
        let is_broken = |rules: &Rules| {
            rules.resets != self.resets || rules.refuses(self.caller.get().map(String::as_str))
        };
        loop {
            if is_broken(&rules.borrow_and_update()) || rules.changed().await.is_err() {
                return;
            }
        }
    }

    async fn carry(&self, way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (pieces, waiting) = mpsc::channel(AHEAD);
        let read = async {
            let mut is_first = way == Way::ToServer && self.speech == Speech::Mongo;
            loop {
                let mut piece = BytesMut::with_capacity(PIECE);
                match from.read_buf(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
                if std::mem::take(&mut is_first) && self.is_refused(&piece) {
                    return self.refused.notify_one();
                }
                if pieces.send((Instant::now(), piece.freeze())).await.is_err() {
                    break;
                }
            }
            drop(pieces);
        };
        tokio::join!(read, self.write(way, waiting, &mut to));
        abrupt(to.as_ref(), false);
        _ = to.shutdown().await;
    }

    /// Notes the caller's name in the first that it says, and answers whether the link is closed to it.
    fn is_refused(&self, said: &[u8]) -> bool {
        let Some(name) = name_in(said) else { return false };
        let name = self.caller.get_or_init(|| name);
        self.rules.borrow().refuses(Some(name))
    }

    async fn write(&self, way: Way, mut waiting: mpsc::Receiver<Piece>, to: &mut OwnedWriteHalf) {
        let is_mangled = way == Way::ToClient && self.speech == Speech::Nats;
        let mut frames = is_mangled.then(Frames::default);
        while let Some((came, piece)) = waiting.recv().await {
            tokio::time::sleep_until(came + self.delay()).await;
            self.may_pass(way).await;
            let pieces = match &mut frames {
                Some(frames) => {
                    let mangle = self.rules.borrow().mangle;
                    let pieces = frames.pass(piece, mangle);
                    self.lost.fetch_add(std::mem::take(&mut frames.lost), Ordering::Relaxed);
                    pieces
                }
                None => vec![piece],
            };
            for piece in pieces {
                if to.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    }

    fn delay(&self) -> Duration {
        self.rules.borrow().delay(self.caller.get().map(String::as_str))
    }

    /// Waits as long as nothing comes through this way.
    async fn may_pass(&self, way: Way) {
        let mut rules = self.rules.clone();
        let caller = self.caller.get().map(String::as_str);
        _ = rules.wait_for(|rules| !rules.holds(caller, way)).await;
    }
}

/// Whether the connection ends with a reset when it is dropped.
fn abrupt(stream: &TcpStream, is_abrupt: bool) {
    let linger = is_abrupt.then_some(Duration::ZERO);
    _ = socket2::SockRef::from(stream).set_linger(linger);
}

/// Resets a connection.
pub(super) fn reset(stream: &TcpStream) {
    abrupt(stream, true);
}
