//! `natter healthcheck`: asks a running node how it is, for platforms that run a command instead of a request.
//!
//! It asks what its own configuration says the node beside it listens on, so an image needs no other
//! program for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::http::header::HOST;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{Failure, print, runtime};
use crate::config::{Config, Origin, Sources};

/// How long the whole takes at most. A node gives its store 2 s to answer; platforms give up a little later.
const TIME: Duration = Duration::from_secs(4);

/// Answers of probes are far smaller.
const MAX_ANSWER: usize = 64 * 1024;

/// What is asked, and of whom.
#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// Ask whether the process lives (/livez), instead of whether it may be sent clients (/readyz)
    #[arg(long)]
    live: bool,
    /// The node, such as http://natter:8080 [default: the one at the configured address]
    #[arg(value_name = "URL", value_parser = plain_http)]
    url: Option<Origin>,
}

/// Where a node is asked.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// A name or an address, with its port.
    authority: String,
    path: &'static str,
}

/// Why nothing good was heard, as the end of a sentence.
#[derive(Debug, thiserror::Error)]
enum Ill {
    #[error("no connection")]
    Connect(#[source] std::io::Error),
    #[error("no answer")]
    Http(#[source] hyper::Error),
    #[error("it breaks off its answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", TIME.as_secs())]
    Late,
    #[error("{0}")]
    Refused(String),
}

/// The part of an error's body that is told.
#[derive(Deserialize)]
struct Answer {
    detail: String,
}

impl Healthcheck {
    /// Prints a sentence if the node is well, and fails with one, and exit code 1, if it is not.
    ///
    /// Platforms know no other code, so a wrong configuration has the same here.
    pub(super) fn run(self, sources: &Sources) -> Result<(), Failure> {
        let target = match self.target(sources) {
            Ok(target) => target,
            Err(failure) => return Err(Failure { code: 1, ..failure }),
        };
        let asked = runtime()?.block_on(async {
            tokio::time::timeout(TIME, target.ask()).await.unwrap_or(Err(Ill::Late))
        });
        match asked {
            Ok(()) => {
                print(&format!("{target} says yes.\n"));
                Ok(())
            }
            Err(ill) => {
                let Failure { sentence, code } = Failure::other(ill);
                Err(Failure { sentence: format!("{target}: {sentence}"), code })
            }
        }
    }

    fn target(self, sources: &Sources) -> Result<Target, Failure> {
        let path = if self.live { "/livez" } else { "/readyz" };
        if let Some(url) = self.url {
            return Ok(Target { authority: authority(&url), path });
        }
        let listen = Config::load(sources)?.listen;
        match local(listen) {
            Some(address) => Ok(Target { authority: address.to_string(), path }),
            None => Err(Failure::told(format!(
                "listen: {listen} is a free port at each start, so nobody knows which; name a URL"
            ))),
        }
    }
}

impl Target {
    async fn ask(&self) -> Result<(), Ill> {
        let stream = TcpStream::connect(&self.authority).await.map_err(Ill::Connect)?;
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(Ill::Http)?;
        tokio::spawn(connection);
        let request = Request::get(self.path)
            .header(HOST, &self.authority)
            .body(Empty::<Bytes>::new())
            .expect("a path of ours, and an authority that was parsed");
        let answer = sender.send_request(request).await.map_err(Ill::Http)?;
        read(answer).await
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

async fn read(answer: Response<hyper::body::Incoming>) -> Result<(), Ill> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(Ill::Body)?;
    let told = match serde_json::from_slice::<Answer>(&body.to_bytes()) {
        Ok(answer) => format!("{} ({})", answer.detail.trim_end_matches('.'), status.as_u16()),
        Err(_not_of_natter) => format!("answers {}", status.as_u16()),
    };
    Err(Ill::Refused(told))
}

/// Where something on this machine connects to what listens at `listen`, unless the port is any.
fn local(listen: SocketAddr) -> Option<SocketAddr> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (listen.port() != 0).then(|| SocketAddr::new(ip, listen.port()))
}

/// Nodes speak plain HTTP; what is in front of them may speak more, and is not what is asked about.
fn plain_http(text: &str) -> Result<Origin, String> {
    match Origin::parse(text) {
        Ok(url) if url.as_str().starts_with("http://") => Ok(url),
        _ => Err("is not a URL such as http://natter:8080".to_owned()),
    }
}

fn authority(url: &Origin) -> String {
    let authority = url.as_str().trim_start_matches("http://");
    let behind_address = authority.rsplit(']').next().unwrap_or_default();
    if behind_address.contains(':') { authority.to_owned() } else { format!("{authority}:80") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connects_to_what_is_listened_on() {
        for (listen, connect) in [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("0.0.0.0:8080", Some("127.0.0.1:8080")),
            ("[::]:8080", Some("[::1]:8080")),
            ("10.0.0.7:80", Some("10.0.0.7:80")),
            ("0.0.0.0:0", None),
        ] {
            let address = local(listen.parse().unwrap()).map(|address| address.to_string());
            assert_eq!(address.as_deref(), connect, "{listen}");
        }
    }

    #[test]
    fn a_url_names_a_node() {
        for (text, expected) in [
            ("http://natter:8080", "natter:8080"),
            ("http://natter.chat.svc", "natter.chat.svc:80"),
            ("http://[fd00::7]:8080", "[fd00::7]:8080"),
            ("http://[fd00::7]", "[fd00::7]:80"),
        ] {
            assert_eq!(authority(&plain_http(text).unwrap()), expected, "{text}");
        }
        for text in ["https://natter", "natter:8080", "http://natter/readyz"] {
            assert!(plain_http(text).is_err(), "{text}");
        }
    }
}
