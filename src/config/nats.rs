//! The addresses of NATS servers, as `bus.url` holds them: `nats://user:password@host:port,tls://other`.

use std::net::{IpAddr, Ipv6Addr};

use super::secret::Secret;

/// The port of a server whose URL names none.
const PORT: u16 = 4222;

/// The servers of one NATS cluster, and the credentials that the URL holds for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsUrl {
    /// At least one.
    pub servers: Vec<NatsServer>,
    /// `user:password@`.
    pub user: Option<(String, Secret)>,
    /// `token@`: a user without a password.
    pub token: Option<Secret>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    /// Whether it is spoken to by TLS whatever it says itself: `tls://`.
    pub is_tls: bool,
    /// A name or an address; one of IPv6 without its brackets.
    pub host: String,
    /// 4222 if the URL has none.
    pub port: u16,
}

impl NatsServer {
    /// The URL without credentials.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("{scheme}://[{address}]:{}", self.port),
            Err(_) => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }

    /// Whether it can be reached from this machine only.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        address.map_or(self.host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
    }
}

impl NatsUrl {
    /// Reads one URL or several, comma separated; the scheme may be left out behind the first.
    ///
    /// # Errors
    ///
    /// What is wrong, as the end of a sentence, without the credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self { servers: Vec::new(), user: None, token: None };
        let mut found: Option<&str> = None;
        for url in text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let is_tls = match scheme {
                "nats" => false,
                "tls" => true,
                _ => return Err("names a server that is neither nats:// nor tls://".to_owned()),
            };
            // A password may hold an `@`.
            let (credentials, address) = match rest.rsplit_once('@') {
                Some((credentials, address)) => (Some(credentials), address),
                None => (None, rest),
            };
            match (found, credentials) {
                (Some(one), Some(other)) if one != other => {
                    return Err("holds different credentials for its servers".to_owned());
                }
                _ => found = found.or(credentials),
            }
            let address = address.strip_suffix('/').unwrap_or(address);
            let (host, port) = host_and_port(address)?;
            all.servers.push(NatsServer { is_tls, host, port });
        }
        if all.servers.is_empty() {
            return Err("names no server".to_owned());
        }
        match found.map(|credentials| credentials.split_once(':').ok_or(credentials)) {
            Some(Ok((user, password))) => {
                all.user = Some((decoded(user)?, decoded(password)?.into()))
            }
            Some(Err(token)) => all.token = Some(decoded(token)?.into()),
            None => {}
        }
        Ok(all)
    }
}

fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let wrong = || "needs host names or addresses, such as nats://bus:4222".to_owned();
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<Ipv6Addr>().map_err(|_unlike| wrong())?;
            match behind.strip_prefix(':') {
                None if !behind.is_empty() => return Err(wrong()),
                port => (host, port.unwrap_or_default()),
            }
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        return Err(wrong());
    }
    match port {
        "" => Ok((host.to_owned(), PORT)),
        digits => match digits.parse() {
            Ok(port) if port != 0 => Ok((host.to_owned(), port)),
            _ => Err("holds something that is no port".to_owned()),
        },
    }
}

/// Takes back the escaping (`%40`) of a part of a URL.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "holds credentials with a % that escapes nothing".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_too_large| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_not_utf8| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> NatsUrl {
        NatsUrl::parse(text).unwrap()
    }

    #[test]
    fn several_servers_share_one_set_of_credentials() {
        let url =
            parse("nats://ann:p%40ss%2f:@bus, tls://ann:p%40ss%2f:@other:4000,[::1]:5000,[::1]");
        let urls: Vec<_> = url.servers.iter().map(NatsServer::url).collect();
        assert_eq!(
            urls,
            ["nats://bus:4222", "tls://other:4000", "nats://[::1]:5000", "nats://[::1]:4222"]
        );
        assert_eq!(url.user, Some(("ann".to_owned(), Secret::new("p@ss/:"))));
        assert_eq!(url.token, None);
        assert_eq!(parse("nats://s3cr3t@bus/").token, Some(Secret::new("s3cr3t")));
        assert_eq!(parse("nats://bus").user, None);
    }

    #[test]
    fn what_is_no_address_is_refused_without_telling_its_password() {
        for text in [
            "nats://",
            "nats://,",
            "nats://u:hunter2@",
            "nats://u:hunter2@bus:0",
            "nats://u:hunter2@bus:65536",
            "nats://u:hunter2@bus:port",
            "nats://u:hunter2@bus/path",
            "nats://u:hunter2@bus?query",
            "nats://u:hunter2@[::1",
            "nats://u:hunter2@[bus]",
            "nats://u:hunter2@[::1]4222",
            "nats://u:hunter2%4@bus",
            "nats://u:hunter2%zz@bus",
            "nats://u:hunter2%ff@bus",
            "nats://u:hunter2@bus,nats://v:hunter2@bus",
            "nats://u:hunter2@bus,ws://bus",
        ] {
            let why = NatsUrl::parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{text} gave: {why}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for (text, is_loopback) in [
            ("nats://127.0.0.1", true),
            ("nats://127.9.9.9:1", true),
            ("nats://LOCALHOST", true),
            ("nats://[::1]", true),
            ("nats://10.0.0.1", false),
            ("nats://localhost.example", false),
            ("nats://0.0.0.0", false),
            ("nats://[::]", false),
        ] {
            assert_eq!(parse(text).servers[0].is_loopback(), is_loopback, "{text}");
        }
    }
}
