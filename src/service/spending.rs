//! What users use up of their limits, told between nodes: early enough that no number of nodes lets a user send more than half as
//! much again, and only of users who send a lot.
//!
//! While the bus is down each node counts for itself. Open sockets and handshakes are always counted by each node.

use serde::{Deserialize, Serialize};

use super::Result;
use crate::app::App;
use crate::bus::Subject;
use crate::bus::seal::Replays;
use crate::domain::{Timestamp, UserId};

/// What a node has let pass since it told of the user last.
#[derive(Serialize, Deserialize)]
struct Spent {
    user: UserId,
    messages: u32,
}

/// Counts a message of `user`.
///
/// # Errors
///
/// [`super::Error::RateLimited`].
pub(super) fn message(app: &App, user: UserId) -> Result<()> {
    let messages = app.limits.message(user)?;
    if messages > 0 {
        let subject = Subject::limits();
        // What comes twice would count twice.
        let spent = app.seal.seal_once(&subject, &Spent { user, messages });
        app.bus.publish(&subject, spent);
    }
    Ok(())
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
            Ok(spent) if spent.node != app.seal.node() => {
                app.limits.passed_elsewhere(spent.body.user, spent.body.messages);
            }
            Ok(_) | Err(_) => {}
        }
    }
}
