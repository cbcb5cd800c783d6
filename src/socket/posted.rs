//! What polling clients post, read along to know whether they leave half a packet here: an event that announces a file
//! without the file, which the library would keep as long as the session lives. `link` does the same for the frames of a
//! WebSocket.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::transport::Transport;
use crate::link::Prefix;

/// How long the rest may let itself be waited for, without a byte of it and altogether.
const PAUSE: Duration = Duration::from_secs(4);
pub(super) const WHOLE: Duration = Duration::from_secs(60);

/// Whether the library holds half a packet of a session.
#[derive(Debug, Default)]
pub(super) struct Half(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    awaits_file: bool,
    /// Bytes posted so far.
    bytes: u64,
    watched: bool,
}

impl Half {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file is awaited, for which somebody else looks out from now on.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut self.state().awaits_file)
    }

    /// Notes what has been posted; whether somebody is to look after it from now on.
    fn note(&self, bytes: usize, awaits_file: bool) -> bool {
        let mut state = self.state();
        state.bytes += bytes as u64;
        state.awaits_file = awaits_file;
        awaits_file && !std::mem::replace(&mut state.watched, awaits_file)
    }
}

/// Ends the session if the rest does not come.
async fn watch(transport: Weak<Transport>) {
    let until = Instant::now() + WHOLE;
    let mut seen = None;
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(transport) = transport.upgrade() else { return };
        let mut state = transport.half.state();
        if !state.awaits_file {
            state.watched = false;
            return;
        }
        if seen == Some(state.bytes) || Instant::now() > until {
            drop(state);
            return transport.kill();
        }
        seen = Some(state.bytes);
    }
}

/// A body that is read along.
pub(super) struct Posted {
    body: Body,
    packets: Packets,
    transport: Arc<Transport>,
}

impl Posted {
    /// The body of a post in the session of `transport`, of a client of Engine.IO 3 or 4.
    pub(super) fn new(body: Body, transport: Arc<Transport>, is_v3: bool) -> Self {
        let awaits_file = transport.half.state().awaits_file;
        Self { body, packets: Packets { at: At::first(is_v3), awaits_file }, transport }
    }
}

impl HttpBody for Posted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            this.packets.read(bytes);
            if this.transport.half.note(bytes.len(), this.packets.awaits_file) {
                tokio::spawn(watch(Arc::downgrade(&this.transport)));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The packets of posted bodies.
#[derive(Debug)]
struct Packets {
    at: At,
    awaits_file: bool,
}

/// Where in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the length before a packet of version 3.
    Length(Option<u64>),
    Packet(Prefix, Left),
}

impl At {
    fn first(is_v3: bool) -> Self {
        if is_v3 { Self::Length(None) } else { Self::Packet(Prefix::Begin, Left::Separated) }
    }
}

/// What a packet still brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Up to the separator: version 4.
    Separated,
    /// So many UTF-16 units.
    Units(u64),
    /// So many bytes.
    Bytes(u64),
}

/// Between the packets of version 4.
const SEPARATOR: u8 = 0x1e;

impl Packets {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.read_one(*byte);
        }
    }

    fn read_one(&mut self, byte: u8) {
        match self.at {
            At::Length(length) => self.at = self.in_length(length, byte),
            At::Packet(_, Left::Separated) if byte == SEPARATOR => {
                self.at = At::Packet(Prefix::Begin, Left::Separated);
            }
            At::Packet(prefix, left) => {
                let begins = prefix == Prefix::Begin;
                let prefix = prefix.with(&[byte]);
                if begins && byte == b'b' {
                    self.awaits_file = false;
                }
                self.awaits_file |= prefix == Prefix::Half;
                self.at = match left.without(byte) {
                    Left::Units(0) | Left::Bytes(0) => At::Length(None),
                    left => At::Packet(prefix, left),
                };
            }
        }
    }

    /// Version 3 counts a packet either in text, `<digits>:`, or in bytes: 0, or 1 for a file, then digits, then 255.
    fn in_length(&mut self, length: Option<u64>, byte: u8) -> At {
        let so_far = length.unwrap_or_default();
        let with =
            |digit: u8| At::Length(Some(so_far.saturating_mul(10).saturating_add(digit.into())));
        let packet =
            |left| if so_far == 0 { At::Length(None) } else { At::Packet(Prefix::Begin, left) };
        match (length, byte) {
            (_, b'0'..=b'9') => with(byte - b'0'),
            (None, 0 | 1) => {
                self.awaits_file &= byte == 0;
                with(0)
            }
            (Some(_), 0..=9) => with(byte),
            (Some(_), b':') => packet(Left::Units(so_far)),
            (Some(_), 255) => packet(Left::Bytes(so_far)),
            // The rest of the last character before, or nothing that the library takes.
            _ => At::Length(length),
        }
    }
}

impl Left {
    fn without(self, byte: u8) -> Self {
        let units = match byte {
            0x80..0xc0 => 0, // Within a character.
            0xf0.. => 2,
            _ => 1,
        };
        match self {
            Self::Separated => self,
            Self::Units(left) => Self::Units(left.saturating_sub(units)),
            Self::Bytes(left) => Self::Bytes(left.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awaits(is_v3: bool, body: &[u8]) -> bool {
        let mut packets = Packets { at: At::first(is_v3), awaits_file: false };
        packets.read(body);
        packets.awaits_file
    }

    #[test]
    fn a_file_is_awaited_from_its_announcement_until_it_is_posted() {
        for (body, expected) in [
            ("451-[]", true),
            ("42[\"451-\"]\u{1e}451-[]", true),
            ("451-[]\u{1e}bQUJD", false),
            ("451-[]\u{1e}42[]", true),
            ("40\u{1e}450-[]", false),
            ("bQUJD\u{1e}461-7[]", true),
            ("42[\"\u{1f600}\"]", false),
        ] {
            assert_eq!(awaits(false, body.as_bytes()), expected, "{body}");
        }
        for (body, expected) in [
            ("6:451-[]", true),
            ("7:42[\"ä\"]6:451-[]", true),
            ("8:42[\"\u{1f600}\"]6:451-[]", true),
            ("9:42[\"\u{1f600}\"]6:451-[]", false), // One unit more than it says: the next length is read within.
            ("12:42[\"6:451-\"]", false),
            ("6:451-[]10:b4QUJDQUJD", false),
            ("6:451-[]2:40", true),
        ] {
            assert_eq!(awaits(true, body.as_bytes()), expected, "{body}");
        }
        let half = b"\x00\x06\xff451-[]";
        let file = b"\x01\x01\x01\xff4abcdefghij";
        assert!(awaits(true, half));
        assert!(!awaits(true, &[&half[..], file].concat()));
        assert!(awaits(true, &[&half[..], file, half].concat()));
        assert!(awaits(true, &[&half[..], b"\x00\x01\x01\xff42[\"12345\"]"].concat()));
    }
}
