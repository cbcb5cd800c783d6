//! Whether what a node stands on lets in whoever comes along: a bus or a database without credentials is refused unless it can
//! be reached from this machine only, or the operator takes it upon themselves (`insecure`).

use std::net::{IpAddr, Ipv6Addr};

use super::Config;
use super::bus::{BusCredentials, Wrong};
use super::nats::{NatsServer, NatsUrl};
use super::url::{BusUrl, StoreUrl};

const HOW: &str = "or --insecure (NATTER_INSECURE=true) to do without";

impl Config {
    /// Checks that neither the bus nor the database is open to all.
    pub(super) fn check_exposure(&self) -> Result<(), Wrong> {
        if self.insecure {
            return Ok(());
        }
        if let BusUrl::Nats { url } = &self.bus {
            let url = NatsUrl::parse(url.expose()).map_err(|why| ("bus.url", why))?;
            let (_, credentials) = self.bus_access.credentials(&url)?;
            let is_known = credentials != BusCredentials::None || self.bus_access.has_certificate();
            if !is_known && !url.servers.iter().all(NatsServer::is_loopback) {
                return Err((
                    "bus.url",
                    format!(
                        "names a server elsewhere and no credentials for it: give a user and a password, a token, bus.nkey_file or bus.credentials_file, {HOW}"
                    ),
                ));
            }
        }
        if let StoreUrl::Mongodb { uri } = &self.store
            && is_open(uri.expose())
        {
            return Err((
                "store.url",
                format!(
                    "names a server elsewhere and no user for it: give a user and a password, {HOW}"
                ),
            ));
        }
        Ok(())
    }
}

/// Whether a MongoDB URI names a server elsewhere and nobody to be to it.
fn is_open(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return true };
    let (authority, options) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    // Those that need no user in the URI: a certificate, or what the machine itself is known by.
    let options = options.to_ascii_uppercase();
    let is_known = ["MONGODB-X509", "MONGODB-AWS", "MONGODB-OIDC"]
        .iter()
        .any(|mechanism| options.contains(&format!("AUTHMECHANISM={mechanism}")));
    let is_local = scheme == "mongodb" && hosts.split(',').all(is_this_machine);
    user.is_empty() && !is_known && !is_local
}

fn is_this_machine(host: &str) -> bool {
    let is_socket = host.to_ascii_lowercase().ends_with(".sock");
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    let host = host.split(':').next().unwrap_or_default();
    let address = host.parse::<IpAddr>();
    is_socket || address.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BusAccess, Secret};

    fn check(store: &str, bus: &str, insecure: bool) -> Result<(), &'static str> {
        let config = Config {
            store: StoreUrl::parse(store).unwrap(),
            bus: BusUrl::parse(bus).unwrap(),
            insecure,
            ..Config::default()
        };
        config.check_exposure().map_err(|(key, _)| key)
    }

    #[test]
    fn what_is_elsewhere_needs_credentials() {
        let (safe_store, safe_bus) = ("mongodb://u:p@db/natter", "nats://u:p@bus");
        for store in [
            "sqlite:",
            "mongodb://u:p@db",
            "mongodb://u:p%40%2f@db,db2:27018/natter?replicaSet=rs",
            "mongodb+srv://u:p@db.example.com",
            "mongodb://127.0.0.1:1,localhost,[::1]:2/?replicaSet=rs",
            "mongodb://%2Ftmp%2Fmongodb-27017.sock",
            "mongodb://db/?tls=true&authMechanism=MONGODB-X509",
        ] {
            assert_eq!(check(store, safe_bus, false), Ok(()), "{store}");
        }
        for store in [
            "mongodb://db",
            "mongodb://127.0.0.1,db",
            "mongodb://localhost.example.com/",
            "mongodb+srv://localhost",
            "mongodb://db/u:p@natter",
            "mongodb://db?appName=u:p@natter",
            "mongodb://@db",
        ] {
            assert_eq!(check(store, safe_bus, false), Err("store.url"), "{store}");
            assert_eq!(check(store, safe_bus, true), Ok(()), "{store}");
        }
        for bus in ["local:", "nats://t@bus", "nats://127.0.0.1,[::1],localhost:4333"] {
            assert_eq!(check(safe_store, bus, false), Ok(()), "{bus}");
        }
        for bus in ["nats://bus", "tls://bus", "nats://127.0.0.1,10.0.0.1"] {
            assert_eq!(check(safe_store, bus, false), Err("bus.url"), "{bus}");
            assert_eq!(check(safe_store, bus, true), Ok(()), "{bus}");
        }
    }

    #[test]
    fn credentials_beside_the_url_count() {
        let config = Config {
            bus: BusUrl::parse("nats://bus").unwrap(),
            bus_access: BusAccess { token: Some(Secret::new("t")), ..BusAccess::default() },
            ..Config::default()
        };
        assert_eq!(config.check_exposure(), Ok(()));
    }
}
