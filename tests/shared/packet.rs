//! What a server of Socket.IO (protocol 5) says, read without the official library.

use serde_json::Value;

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// The client is let in.
    Connected,
    /// The client is not, with the message that says why.
    Refused(String),
    /// An event with its payload.
    Event(String, Value),
    /// The acknowledgement with this number.
    Ack(u64, Value),
    /// The server ends it for good.
    Disconnected,
    /// The transport is gone.
    Closed,
}

/// What is written in one packet of Engine.IO.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Packet {
    /// A ping, to be answered by [`PONG`].
    Ping,
    /// Something for the client.
    Told(Told),
    /// Everything else.
    Other,
}

/// The answer to a ping.
pub(crate) const PONG: &str = "3";

/// Reads one packet.
pub(crate) fn read(packet: &str) -> Packet {
    Packet::Told(match packet.as_bytes() {
        [b'2', ..] => return Packet::Ping,
        [b'4', b'0', ..] => Told::Connected,
        [b'4', b'1', ..] => Told::Disconnected,
        [b'4', b'2', ..] => event(&packet[2..]),
        [b'4', b'3', ..] => ack(&packet[2..]),
        [b'4', b'4', ..] => {
            let refusal: Value = serde_json::from_str(&packet[2..]).unwrap();
            Told::Refused(refusal["message"].as_str().unwrap().to_owned())
        }
        _ => return Packet::Other,
    })
}

fn event(text: &str) -> Told {
    let (name, payload): (String, Value) = serde_json::from_str(text).unwrap();
    Told::Event(name, payload)
}

fn ack(text: &str) -> Told {
    let digits = text.find('[').unwrap();
    let (answer,): (Value,) = serde_json::from_str(&text[digits..]).unwrap();
    Told::Ack(text[..digits].parse().unwrap(), answer)
}
