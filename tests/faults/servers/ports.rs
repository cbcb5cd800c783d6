//! Ports of the loopback that are free, and stay so while whoever has one is away.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Below the range that systems take ports of outgoing connections from: a node that is killed finds its own again.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// An address that nobody listens on now.
pub(crate) fn free() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(RANGE)));
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(address).is_ok() {
            return address;
        }
    }
}
