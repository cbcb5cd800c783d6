//! What the client library is told: where the servers are, who this node is to them, how patient it is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};

use super::super::{BusError, SUBSCRIPTION_QUEUE};
use super::line::Line;
use crate::config::{BusAccess, BusCredentials, NatsServer, NatsUrl, Secret};

/// How often the server is asked whether it lives; the third question without an answer ends the connection.
const PING: Duration = Duration::from_secs(5);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest wait between two attempts, and the one before the second.
const LONGEST: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(50);

/// Commands that the client library holds. Few: what waits is to wait where it can be dropped.
const COMMANDS: usize = 128;

/// Where the servers are. Without credentials: the library would write them into its log.
pub(super) fn servers(url: &NatsUrl) -> Result<Vec<ServerAddr>, BusError> {
    let parse = |text: String| text.parse().map_err(|error| unusable("bus.url", error));
    url.servers.iter().map(NatsServer::url).map(parse).collect()
}

/// Everything else, to be built as often as it takes.
pub(super) struct Options<'a> {
    url: &'a NatsUrl,
    access: &'a BusAccess,
    line: &'a Arc<Line>,
    /// The setting with the credentials.
    setting: &'static str,
    credentials: BusCredentials,
}

impl<'a> Options<'a> {
    pub(super) fn new(
        url: &'a NatsUrl,
        access: &'a BusAccess,
        line: &'a Arc<Line>,
    ) -> Result<Self, BusError> {
        let credentials = access.credentials(url);
        let (setting, credentials) = credentials.map_err(|(key, why)| unusable(key, why))?;
        Ok(Self { url, access, line, setting, credentials })
    }

    pub(super) fn build(&self) -> Result<ConnectOptions, BusError> {
        let line = Arc::downgrade(self.line);
        let retrying = Weak::clone(&line);
        let mut options = ConnectOptions::new()
            .name(self.line.inbox.name())
            .ping_interval(PING)
            .connection_timeout(CONNECT)
            .client_capacity(COMMANDS)
            .subscription_capacity(SUBSCRIPTION_QUEUE)
            .reconnect_delay_callback(|attempts| delay(attempts, rand::random()))
            // Else a server that another one names could be spoken to in the clear.
            .require_tls(self.url.servers.iter().any(|server| server.is_tls))
            .reconnect_to_server_callback(move |servers, _| {
                if let Some(line) = Weak::upgrade(&retrying) {
                    line.retrying(&servers);
                }
                std::future::ready(None) // Whichever the library likes.
            })
            .event_callback(move |event| {
                if let Some(line) = Weak::upgrade(&line) {
                    line.happened(&event);
                }
                std::future::ready(())
            });
        if let Some(file) = &self.access.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        let pair = (&self.access.certificate_file, &self.access.key_file);
        if let (Some(certificate), Some(key)) = pair {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        self.with_credentials(options)
    }

    fn with_credentials(&self, options: ConnectOptions) -> Result<ConnectOptions, BusError> {
        let text = |secret: &Secret| secret.expose().trim().to_owned();
        Ok(match &self.credentials {
            BusCredentials::None => options,
            BusCredentials::Password(user, password) => {
                options.user_and_password(user.clone(), password.expose().to_owned())
            }
            BusCredentials::Token(token) => options.token(token.expose().to_owned()),
            BusCredentials::Nkey(seed) => options.nkey(text(seed)),
            BusCredentials::Jwt(both) => {
                // The library wants an end of its last line.
                let both = text(both) + "\n";
                options.credentials(&both).map_err(|_may_quote_it| {
                    unusable(self.setting, "holds no JWT with its seed, as nsc makes them")
                })?
            }
        })
    }

    /// What to tell of a refusal.
    pub(super) fn refused(&self, error: &ConnectError) -> BusError {
        BusError::Refused { setting: self.setting, why: error.kind().to_string() }
    }
}

pub(super) fn unusable(setting: &'static str, why: impl ToString) -> BusError {
    BusError::Unusable { setting, why: why.to_string() }
}

/// Whether the server is there and does not let this node in.
pub(super) fn is_refusal(error: &ConnectError) -> bool {
    use ConnectErrorKind::{Authentication, AuthorizationViolation};
    matches!(error.kind(), Authentication | AuthorizationViolation)
}

/// How long to wait before the attempt with this number, the first being 1: longer each time, and at random, so that the
/// nodes of a cluster do not all come at one moment.
fn delay(attempts: usize, chance: f64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let longest = (SHORTEST * 2_u32.pow(doublings)).min(LONGEST);
    longest.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_made_for_ever_and_never_at_once() {
        assert_eq!(delay(1, 0.0), Duration::from_millis(25));
        assert_eq!(delay(2, 1.0), Duration::from_millis(100));
        for attempts in [7, 100, usize::MAX] {
            assert_eq!(delay(attempts, 1.0), LONGEST);
            assert_eq!(delay(attempts, 0.0), LONGEST / 2);
        }
    }
}
