//! Links between processes that can be broken: a TCP proxy on the loopback, and what is wrong with it.

mod fault;
mod frames;
mod pump;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use fault::{Fault, Way};
pub(crate) use frames::Mangle;

use fault::Rules;
use pump::{Pump, Speech};

/// Bytes of the bus that the system takes in ahead of a link.
const NARROW: u32 = 64 * 1024;

/// One link: whoever connects to its address talks to the server behind it. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    rules: Arc<watch::Sender<Rules>>,
    lost: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Link {
    /// A link to `server` with nothing wrong.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        Self::listen(server, Speech::Anything).await
    }

    /// A link to the NATS server at `server`, whose messages can be mangled.
    pub(crate) async fn to_nats(server: SocketAddr) -> Self {
        Self::listen(server, Speech::Nats).await
    }

    /// A link to the MongoDB server at `server`, which knows its callers by the `appName` of their URIs.
    pub(crate) async fn to_mongod(server: SocketAddr) -> Self {
        Self::listen(server, Speech::Mongo).await
    }

    async fn listen(server: SocketAddr, speech: Speech) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(watch::Sender::new(Rules::default()));
        let lost = Arc::default();
        let ways = (Arc::clone(&rules), Arc::clone(&lost));
        let task = tokio::spawn(accept(listener, server, speech, ways));
        Self { address, rules, lost, task }
    }

    /// Where to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is wrong with the link, for every caller.
    pub(crate) fn set(&self, fault: Fault) {
        self.rules.send_modify(|rules| rules.all = fault);
    }

    /// From now on this is wrong with the link for the caller of this name.
    pub(crate) fn set_for(&self, caller: &str, fault: Fault) {
        self.rules.send_modify(|rules| {
            rules.callers.insert(caller.to_owned(), fault);
        });
    }

    /// Resets every connection that is open.
    pub(crate) fn reset(&self) {
        self.rules.send_modify(|rules| rules.resets += 1);
    }

    /// From now on this becomes of the messages that a NATS server sends through the link.
    pub(crate) fn mangle(&self, mangle: Mangle) {
        self.rules.send_modify(|rules| rules.mangle = mangle);
    }

    /// How many messages it has lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
        // Those that are open end with it.
        self.rules.send_modify(|rules| rules.all = Fault::Refuse);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    speech: Speech,
    (rules, lost): (Arc<watch::Sender<Rules>>, Arc<AtomicU64>),
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (rules, lost) = (rules.subscribe(), Arc::clone(&lost));
        tokio::spawn(async move {
            if rules.borrow().all == Fault::Refuse {
                return pump::reset(&client);
            }
            match connect(server, speech).await {
                Ok(server) => Pump::new(speech, rules, lost).run(client, server).await,
                Err(_) => pump::reset(&client),
            }
        });
    }
}

/// A connection to the server behind a link. What a bus has for somebody who does not take it waits in the bus then, and
/// not in the system.
async fn connect(server: SocketAddr, speech: Speech) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if speech == Speech::Nats {
        socket.set_recv_buffer_size(NARROW)?;
    }
    socket.connect(server).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(100);

    /// A server that sends back what it is sent, and a link to it.
    async fn echo(speech: Speech) -> Link {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Link::listen(address, speech).await
    }

    async fn says(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
        stream.write_all(text.as_bytes()).await?;
        hears(stream, text.len()).await
    }

    async fn hears(stream: &mut TcpStream, length: usize) -> std::io::Result<String> {
        let mut heard = vec![0; length];
        let read = tokio::time::timeout(LONG, stream.read_exact(&mut heard));
        read.await.expect("an answer in time")?;
        Ok(String::from_utf8(heard).unwrap())
    }

    async fn connect(link: &Link) -> TcpStream {
        TcpStream::connect(link.address()).await.unwrap()
    }

    #[tokio::test]
    async fn a_link_passes_and_what_stalls_comes_later() {
        let link = echo(Speech::Anything).await;
        let mut stream = connect(&link).await;
        assert_eq!(says(&mut stream, "one").await.unwrap(), "one");
        for fault in [Fault::Stall, Fault::Cut(Way::ToServer), Fault::Cut(Way::ToClient)] {
            link.set(fault);
            let waiting = tokio::time::timeout(SHORT, says(&mut stream, "two"));
            assert!(waiting.await.is_err(), "{fault:?}");
            link.set(Fault::Pass);
            assert_eq!(hears(&mut stream, 3).await.unwrap(), "two", "{fault:?}");
        }
        link.set(Fault::Delay(SHORT));
        let began = tokio::time::Instant::now();
        assert_eq!(says(&mut stream, "late").await.unwrap(), "late");
        assert!(began.elapsed() >= 2 * SHORT, "delayed both ways");
    }

    #[tokio::test]
    async fn a_link_refuses_and_resets() {
        let link = echo(Speech::Anything).await;
        let mut stream = connect(&link).await;
        assert_eq!(says(&mut stream, "one").await.unwrap(), "one");
        link.reset();
        assert!(hears(&mut stream, 1).await.is_err());
        let mut stream = connect(&link).await;
        assert_eq!(says(&mut stream, "two").await.unwrap(), "two");
        link.set(Fault::Refuse);
        assert!(hears(&mut stream, 1).await.is_err());
        assert!(says(&mut connect(&link).await, "three").await.is_err());
        link.set(Fault::Pass);
        assert_eq!(says(&mut connect(&link).await, "four").await.unwrap(), "four");
    }

    #[tokio::test]
    async fn a_caller_is_known_by_its_name() {
        let link = echo(Speech::Mongo).await;
        let (mut north, mut south) = (connect(&link).await, connect(&link).await);
        assert_eq!(says(&mut north, "I am rig-north.").await.unwrap(), "I am rig-north.");
        assert_eq!(says(&mut south, "I am rig-south.").await.unwrap(), "I am rig-south.");
        link.set_for("rig-north", Fault::Refuse);
        assert!(says(&mut north, "still").await.is_err());
        assert_eq!(says(&mut south, "still").await.unwrap(), "still");
        assert!(says(&mut connect(&link).await, "I am rig-north.").await.is_err());
        assert_eq!(says(&mut connect(&link).await, "nobody").await.unwrap(), "nobody");
    }
}
