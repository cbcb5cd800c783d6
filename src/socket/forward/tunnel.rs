//! A WebSocket whose session another node holds: bytes from the one connection to the other, both ways.

use std::io;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that are under way in one direction, beside what the kernel holds.
const BUFFER: usize = 8 * 1024;

/// How long one side may take none of what the other has sent: as long as a client may on one node before it is
/// cut off as `lagged`. The session's node sees only this connection taking, so it is seen here.
const STALL: Duration = Duration::from_secs(10);

/// How long the one direction may go on after the other has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Copies between the two until either is gone, then ends both.
pub(super) async fn join(client: OnUpgrade, owner: OnUpgrade) {
    // The client's comes as soon as the answer is written to it.
    let joined = tokio::time::timeout(STALL, async { tokio::join!(client, owner) }).await;
    let Ok((Ok(client), Ok(owner))) = joined else { return };
    if let Err(error) = copy_both(TokioIo::new(client), TokioIo::new(owner)).await {
        tracing::debug!(%error, "a forwarded WebSocket broke");
    }
}

async fn copy_both<A, B>(one: A, other: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (one_reads, one_writes) = tokio::io::split(one);
    let (other_reads, other_writes) = tokio::io::split(other);
    let mut there = std::pin::pin!(copy(one_reads, other_writes));
    let mut back = std::pin::pin!(copy(other_reads, one_writes));
    let rest = tokio::select! {
        ended = &mut there => {
            ended?;
            tokio::time::timeout(FAREWELL, back).await
        }
        ended = &mut back => {
            ended?;
            tokio::time::timeout(FAREWELL, there).await
        }
    };
    rest.unwrap_or(Ok(()))
}

/// Copies to the end, and tells the other side of it.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return in_time(to.shutdown()).await;
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = in_time(to.write(rest)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[written..];
        }
        in_time(to.flush()).await?;
    }
}

async fn in_time<T>(write: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(STALL, write).await {
        Ok(written) => written,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    /// A client and a node with a tunnel between them.
    fn joined() -> (DuplexStream, DuplexStream, JoinHandle<io::Result<()>>) {
        let (client, near) = duplex(64);
        let (far, owner) = duplex(64);
        (client, owner, tokio::spawn(copy_both(near, far)))
    }

    #[tokio::test]
    async fn bytes_go_both_ways_at_once_and_more_than_fit_in_between() {
        let (client, owner, _tunnel) = joined();
        let text = vec![7; 100_000];
        let exchange = |stream: DuplexStream, text: Vec<u8>| async move {
            let (mut reads, mut writes) = tokio::io::split(stream);
            let expected = text.len();
            let sent = tokio::spawn(async move { writes.write_all(&text).await.map(|()| writes) });
            let mut got = vec![0; expected];
            reads.read_exact(&mut got).await.unwrap();
            drop(sent.await.unwrap().unwrap());
            got
        };
        let (one, other) =
            tokio::join!(exchange(client, text.clone()), exchange(owner, text.clone()));
        assert!(one == text && other == text);
    }

    #[tokio::test(start_paused = true)]
    async fn either_side_s_end_is_the_other_s_with_what_was_sent_before() {
        for is_reversed in [false, true] {
            let (mut one, mut other, tunnel) = joined();
            if is_reversed {
                std::mem::swap(&mut one, &mut other);
            }
            one.write_all(b"last words").await.unwrap();
            drop(one);
            let mut heard = String::new();
            other.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "last words");
            // The other side never says a word: it is not waited for without end.
            _ = tunnel.await.unwrap();
            assert!(other.write_all(b"nobody listens").await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off_and_holds_nobody_up() {
        let (mut client, mut owner, tunnel) = joined();
        let flood = tokio::spawn(async move {
            let flooded = owner.write_all(&vec![0; 1 << 20]).await;
            (flooded, owner)
        });
        client.write_all(b"still heard").await.unwrap();
        assert_eq!(tunnel.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(flood.await.unwrap().0.is_err());
        drop(client);
    }
}
