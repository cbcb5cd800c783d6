//! Who a request comes from, when proxies stand between, and what it is called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client, as far as trusted proxies tell it: what limits count by. Every
/// request has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// What identifies a request in the log, and in the answer's `X-Request-Id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Whether `address` belongs to one of the proxies that the operator named.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// The address nearest to the client that a trusted proxy vouches for.
///
/// Every proxy appends whom it heard, so the list is read from its end, and only as long as who
/// wrote an entry is trusted. What stands before that the client can have made up.
pub(crate) fn client_address(
    peer: SocketAddr,
    headers: &HeaderMap,
    proxies: &[IpNet],
) -> ClientAddress {
    let mut nearest = peer.ip().to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter();
    let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(nearest, proxies) {
            break;
        }
        let Some(address) = address_of_hop(hop.trim()) else {
            break; // A proxy that writes what it does not know vouches for nothing before.
        };
        nearest = address.to_canonical();
    }
    ClientAddress(nearest)
}

/// An address as proxies write it: with or without a port, IPv6 in brackets or not.
fn address_of_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[&str]) -> String {
        let proxies: Vec<IpNet> =
            ["10.0.0.0/8", "2001:db8::/32"].iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &proxies).0.to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        for (peer, lines, client) in [
            ("192.0.2.1:9", vec![], "192.0.2.1"),
            ("192.0.2.1:9", vec!["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1:9", vec![], "10.0.0.1"),
            ("10.0.0.1:9", vec!["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:9", vec!["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:9", vec!["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1:9", vec!["1.1.1.1", "198.51.100.7,10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1:9", vec!["198.51.100.7:4711"], "198.51.100.7"),
            ("[2001:db8::1]:9", vec!["[2001:db9::7]:4711"], "2001:db9::7"),
            ("[2001:db8::1]:9", vec!["[2001:db9::7]"], "2001:db9::7"),
            ("[2001:db8::1]:9", vec!["2001:db9::7"], "2001:db9::7"),
            ("[::ffff:10.0.0.1]:9", vec!["::ffff:198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:9", vec!["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1:9", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1:9", vec![""], "10.0.0.1"),
        ] {
            assert_eq!(seen(peer, &lines), client, "{peer} {lines:?}");
        }
    }
}
