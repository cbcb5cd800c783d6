//! What users use up of their limits, told between nodes: early enough that no number of nodes lets a user send more than half as
//! much again, and only of users who send a lot. Attempts to sign in and to make accounts are told one by one: each costs a node far
//! more than that.
//!
//! While the bus is down each node counts for itself. Open sockets and handshakes are always counted by each node.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Result;
use crate::app::App;
use crate::bus::Subject;
use crate::bus::seal::Replays;
use crate::domain::{Timestamp, UserId};

/// What a node has let pass.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spent {
    /// Messages of a user, since it told of them last.
    Messages { user: UserId, count: u32 },
    /// An attempt to sign in, to the account that `key` stands for: names that people type may be passwords.
    SignIn { key: String, address: IpAddr },
    /// An attempt to make an account.
    SignUp { address: IpAddr },
}

/// Counts an attempt to sign in to `account` (folded) from `address`.
///
/// # Errors
///
/// [`super::Error::RateLimited`].
pub(super) fn login(app: &App, account: &str, address: IpAddr) -> Result<()> {
    let digest = app.keys.digest.sign(&[b"sign in".as_slice(), account.as_bytes()]);
    let key = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    app.limits.login(&key, address)?;
    tell(app, &Spent::SignIn { key, address });
    Ok(())
}

/// Counts an attempt to make an account from `address`.
///
/// # Errors
///
/// [`super::Error::RateLimited`].
pub(super) fn sign_up(app: &App, address: IpAddr) -> Result<()> {
    app.limits.sign_up(address)?;
    tell(app, &Spent::SignUp { address });
    Ok(())
}

/// Counts a message of `user`.
///
/// # Errors
///
/// [`super::Error::RateLimited`].
pub(super) fn message(app: &App, user: UserId) -> Result<()> {
    let messages = app.limits.message(user)?;
    if messages > 0 {
        tell(app, &Spent::Messages { user, count: messages });
    }
    Ok(())
}

fn tell(app: &App, spent: &Spent) {
    if app.bus.reaches_others() {
        let subject = Subject::limits();
        // What comes twice would count twice.
        app.bus.publish(&subject, app.seal.seal_once(&subject, spent));
    }
}

/// Counts what other nodes let pass, as long as there is a bus.
pub async fn follow(app: App) {
    let subject = Subject::limits();
    let (mut heard, mut changes) = (app.bus.subscribe(&subject), app.nodes.changes());
    let mut replays = Replays::default();
    loop {
        app.limits.share(app.nodes.others().len());
        let delivery = tokio::select! {
            delivery = heard.next() => delivery,
            changed = changes.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Some(delivery) = delivery else { return };
        let now = Timestamp::now();
        let spent = app.seal.open_once::<Spent>(&subject, &delivery.payload, &mut replays, now);
        match spent {
            Ok(spent) if spent.node != app.seal.node() => count(&app, spent.body),
            Ok(_) | Err(_) => {}
        }
    }
}

fn count(app: &App, spent: Spent) {
    match spent {
        Spent::Messages { user, count } => app.limits.passed_elsewhere(user, count),
        Spent::SignIn { key, address } => app.limits.login_elsewhere(&key, address),
        Spent::SignUp { address } => app.limits.sign_up_elsewhere(address),
    }
}
