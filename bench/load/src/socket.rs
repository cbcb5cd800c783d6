//! One Socket.IO client in one room.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::frames::Wire;
use crate::plan::Member;

/// How long a client waits until it tries again to be let in.
const AGAIN: Duration = Duration::from_millis(100);

/// How long all attempts together may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a client is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told<'a> {
    /// To answer with [`PONG`].
    Ping,
    /// An event with this name; the packet.
    Event(&'a [u8], &'a [u8]),
    /// Something it has sent is taken, or is not.
    Ack { number: u64, is_ok: bool },
    /// The server lets it in no further.
    Refused,
    /// Everything else.
    Other,
}

/// The answer to a ping.
pub(crate) const PONG: &[u8] = b"3";

/// A connection whose room serves it, however often it has to try; and how often it was sent away.
///
/// # Panics
///
/// If it is refused for good, or never let in.
pub(crate) async fn enter(address: SocketAddr, member: &Member) -> (Wire, u64) {
    let attempts = async {
        for refused in 0.. {
            match attempt(address, member).await {
                Ok(wire) => return (wire, refused),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => panic!("{error}"),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        unreachable!("there are more numbers than attempts")
    };
    tokio::time::timeout(PATIENCE, attempts).await.expect("a socket is let in")
}

async fn attempt(address: SocketAddr, member: &Member) -> io::Result<Wire> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    wire.upgrade("/socket.io/?EIO=4&transport=websocket", &address.to_string()).await?;
    let auth = json!({"token": member.token, "chat_room_id": member.room});
    wire.say(format!("40{auth}").as_bytes());
    wire.flush().await?;
    loop {
        while let Some(packet) = wire.next()? {
            match read(packet) {
                Told::Ping => wire.say(PONG),
                Told::Event(b"joined", _) => {
                    wire.flush().await?;
                    return Ok(wire);
                }
                Told::Refused => {
                    let why = String::from_utf8_lossy(packet).into_owned();
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                _ => {}
            }
        }
        wire.flush().await?;
        wire.fill().await?;
    }
}

/// Reads one packet of Engine.IO, no further than it takes.
pub(crate) fn read(packet: &[u8]) -> Told<'_> {
    match packet {
        [b'2', ..] => Told::Ping,
        [b'4', b'2', b'[', b'"', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
            Told::Event(&rest[..end], packet)
        }
        [b'4', b'3', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            Told::Ack { number, is_ok: find(rest, b"\"ok\":true").is_some() }
        }
        [b'4', b'1' | b'4', ..] => Told::Refused,
        _ => Told::Other,
    }
}

/// Where `wanted` begins in `text`.
pub(crate) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_ping_that_comes_before_the_room_is_answered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let member = Member { token: "t".to_owned(), room: "r".to_owned(), speaks: false };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let joined = br#"42["joined",{}]"#;
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x012").await.unwrap();
            stream.write_all(&[0x81, joined.len() as u8]).await.unwrap();
            stream.write_all(joined).await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\x81\x81\0\0\0\x003") {
                assert_ne!(
                    stream.read_buf(&mut heard).await.unwrap(),
                    0,
                    "it goes without an answer"
                );
            }
        };
        let (_wire, ()) = tokio::join!(attempt(address, &member), serve);
    }

    #[test]
    fn packets_are_known_by_their_beginning() {
        assert_eq!(read(b"2"), Told::Ping);
        let event = br#"42["chat",{"message":{}}]"#;
        assert_eq!(read(event), Told::Event(b"chat", event));
        assert_eq!(read(br#"4312[{"ok":true}]"#), Told::Ack { number: 12, is_ok: true });
        assert_eq!(read(br#"437[{"ok":false}]"#), Told::Ack { number: 7, is_ok: false });
        assert_eq!(read(br#"44{"message":"unauthorized: no"}"#), Told::Refused);
        assert_eq!(read(br#"40{"sid":"x"}"#), Told::Other);
    }
}
