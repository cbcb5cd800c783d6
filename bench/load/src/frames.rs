//! WebSocket (RFC 6455) as far as this client needs it: whole frames, no extensions.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that are asked for at least when something is read.
const READ: usize = 4096;

/// One connection, and what was read of it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    /// Up to where `read` was taken.
    taken: usize,
    written: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new(), taken: 0, written: Vec::new() }
    }

    /// Asks for the upgrade, and reads the answer.
    pub(crate) async fn upgrade(&mut self, path: &str, host: &str) -> io::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).await?;
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                self.taken = end + 4;
                let is_upgraded = self.read.starts_with(b"HTTP/1.1 101 ");
                let line = self.read[..end].split(|byte| *byte == b'\r').next().unwrap_or_default();
                let line = String::from_utf8_lossy(line).into_owned();
                return is_upgraded.then_some(()).ok_or_else(|| io::Error::other(line));
            }
            self.fill().await?;
        }
    }

    /// Reads more. May be dropped while it waits.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        self.read.drain(..self.taken);
        self.taken = 0;
        self.read.reserve(READ);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The text of the next frame that was read whole.
    ///
    /// # Errors
    ///
    /// If the server closes, or sends what this client does not know.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let rest = &self.read[self.taken..];
        let Some((head, length)) = measure(rest) else { return Ok(None) };
        if rest.len() < head + length {
            return Ok(None);
        }
        let from = self.taken + head;
        match rest[0] {
            0x81 => {
                self.taken = from + length;
                Ok(Some(&self.read[from..from + length]))
            }
            0x88 => {
                // A code of two bytes, and why.
                let why = &self.read[(from + 2).min(from + length)..from + length];
                let why = String::from_utf8_lossy(why);
                Err(io::Error::other(format!("the server closes: {why}")))
            }
            other => Err(io::Error::other(format!("a frame that begins with {other:#x}"))),
        }
    }

    /// Adds a text to what [`Wire::flush`] writes.
    pub(crate) fn say(&mut self, text: &[u8]) {
        self.written.push(0x81);
        // The highest bit says that it is masked, as it has to be; with zeros that changes nothing.
        match text.len() {
            short @ 0..126 => self.written.push(0x80 | short as u8),
            long => {
                let long = u16::try_from(long).expect("a message is shorter than 64 KiB");
                self.written.push(0x80 | 126);
                self.written.extend(long.to_be_bytes());
            }
        }
        self.written.extend([0; 4]);
        self.written.extend(text);
    }

    /// Writes what was said.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.written).await?;
        self.written.clear();
        Ok(())
    }

    /// Ends it as a network does that is gone: nothing is said.
    pub(crate) fn cut(self) {
        // With a reset no port waits for the rest, so as many can come back at once.
        _ = self.stream.set_zero_linger();
    }
}

/// The length of a frame's head and of what follows it.
fn measure(read: &[u8]) -> Option<(usize, usize)> {
    match *read {
        [_, 127, a, b, c, d, e, f, g, h, ..] => {
            let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            Some((10, usize::try_from(length).ok()?))
        }
        [_, 126, a, b, ..] => Some((4, usize::from(u16::from_be_bytes([a, b])))),
        [_, length @ 0..126, ..] => Some((2, usize::from(length))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wires() -> (Wire, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Wire::new(stream), listener.accept().await.unwrap().0)
    }

    async fn next(wire: &mut Wire) -> io::Result<String> {
        loop {
            if let Some(text) = wire.next()? {
                return Ok(String::from_utf8(text.to_vec()).unwrap());
            }
            wire.fill().await?;
        }
    }

    #[tokio::test]
    async fn frames_of_every_length_are_read_whole_however_they_come() {
        let (mut wire, mut server) = wires().await;
        let long = "x".repeat(300);
        let longer = "y".repeat(70_000);
        let sent = async {
            server.write_all(b"\x81\x02hi\x81\x01").await.unwrap();
            server.write_all(b"!\x81\x7e\x01\x2c").await.unwrap();
            server.write_all(long.as_bytes()).await.unwrap();
            server.write_all(b"\x81\x7f\0\0\0\0\0\x01\x11\x70").await.unwrap();
            server.write_all(longer.as_bytes()).await.unwrap();
            server.write_all(b"\x88\x00").await.unwrap();
        };
        let read = async {
            for text in ["hi", "!", &long, &longer] {
                assert_eq!(next(&mut wire).await.unwrap(), text);
            }
            assert!(next(&mut wire).await.is_err(), "it was closed");
        };
        tokio::join!(sent, read);
    }

    #[tokio::test]
    async fn what_is_said_is_masked_and_tells_its_length() {
        let (mut wire, mut server) = wires().await;
        wire.say(b"hi");
        wire.say(&[b'x'; 200]);
        wire.flush().await.unwrap();
        let mut read = vec![0; 8 + 8 + 200];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read[..8], b"\x81\x82\0\0\0\0hi");
        assert_eq!(&read[8..16], b"\x81\xfe\x00\xc8\0\0\0\0");
    }
}
