//! Asks other nodes who is present in a room through them, and who is connected to them.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Rooms;
use super::super::errands::{Errand, Heard};
use super::super::peers::Peers;
use super::Presence;
use crate::api::UserBrief;
use crate::bus::codec::{Present, Signal};
use crate::bus::{Replies, Reply, Subject};
use crate::domain::{BootId, RoomId, UserId};

/// How long other nodes are waited for when somebody asks who is online. A node that is alive answers within a few
/// milliseconds; this is what one costs that has died and is not known to have.
const PATIENCE: Duration = Duration::from_millis(250);

/// People who are asked for at once.
const USERS_AT_ONCE: usize = 500;

/// A question that was put to the nodes of a room, and its answers. Dropping it ends it.
pub(super) struct Question {
    peers: Peers,
    id: u64,
    replies: Replies,
}

/// An answer, or a part of one.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    /// Which question it answers.
    id: u64,
    /// Who is present through the node that answers.
    pub(super) present: Present,
    /// The other nodes through which somebody is, if it knows.
    others: Option<Vec<BootId>>,
}

impl Question {
    /// Asks the node `of`, or all.
    pub(super) fn ask(peers: &Peers, room: RoomId, of: Option<BootId>, with_leaving: bool) -> Self {
        let id = rand::random();
        let question = Signal::WhoIsThere { id, of, with_leaving };
        let replies = peers.request_in(room, &question);
        Self { peers: peers.clone(), id, replies }
    }

    /// The next answer and who gives it; `None` if none can come any more.
    pub(super) async fn next(&mut self) -> Option<(BootId, Answer)> {
        loop {
            let Reply::Answer(payload) = self.replies.next().await? else { return None };
            let opened = self.peers.opened::<Answer>(&payload);
            let Some(opened) = opened else { continue };
            if opened.body.id == self.id {
                return Some((opened.node, opened.body));
            }
        }
    }
}

/// Answers the question `id` of `node`.
pub(super) fn answer(
    peers: &Peers,
    presence: &Presence,
    (node, id): (BootId, u64),
    with_leaving: bool,
    reply: &Subject,
) {
    let others = presence.other_nodes();
    for present in presence.whole(with_leaving) {
        peers.answer(node, reply, &Answer { id, present, others: others.clone() });
    }
}

impl Rooms {
    /// Everybody who is present in `room`, through whatever node, as far as they can be reached: in the order of their names.
    pub async fn online_in(&self, room: RoomId) -> Vec<UserBrief> {
        if let Some(live) = self.known(room)
            && (live.is_attending() || !self.0.peers.reach_others())
        {
            live.attend().await;
            return live.online();
        }
        let mut found = Found::default();
        // What has come until then counts.
        let _ = tokio::time::timeout(PATIENCE, found.collect(&self.0.peers, room)).await;
        let mut people: Vec<UserBrief> = found.people;
        people.sort_by(|one, other| (&one.username, one.id).cmp(&(&other.username, other.id)));
        people.dedup_by_key(|one| one.id);
        people
    }

    /// Which of `users` are connected, to whatever node, as far as they can be reached.
    pub async fn connected_among(&self, users: &[UserId]) -> HashSet<UserId> {
        let (here, elsewhere): (Vec<UserId>, Vec<UserId>) =
            users.iter().partition(|user| self.0.hub.is_connected(**user));
        let mut connected: HashSet<UserId> = here.into_iter().collect();
        for users in elsewhere.chunks(USERS_AT_ONCE) {
            let others = self.0.peers.nodes().others();
            let asked = others.iter().map(|other| self.ask_for(other.boot, users));
            connected.extend(futures::future::join_all(asked).await.into_iter().flatten());
        }
        connected
    }

    async fn ask_for(&self, node: BootId, users: &[UserId]) -> Vec<UserId> {
        let errand = Errand::Connected { users: users.to_vec() };
        let mut asked = self.0.peers.ask(node, &errand);
        match tokio::time::timeout(PATIENCE, asked.next()).await {
            Ok(Heard::Answer(connected)) => connected,
            _ => Vec::new(),
        }
    }
}

/// What has been found out so far about a room that this node does not serve.
#[derive(Default)]
struct Found {
    people: Vec<UserBrief>,
    answered: HashSet<BootId>,
    expected: HashSet<BootId>,
}

impl Found {
    /// Asks, and returns once every node has answered through which somebody is present: one that knows of the others names them.
    async fn collect(&mut self, peers: &Peers, room: RoomId) {
        let mut question = Question::ask(peers, room, None, true);
        let mut is_complete = false;
        while let Some((node, Answer { present, others, .. })) = question.next().await {
            self.people.extend(present.came);
            if present.more == 0 {
                self.answered.insert(node);
            }
            is_complete |= others.is_some();
            self.expected.extend(others.into_iter().flatten());
            if is_complete && self.expected.is_subset(&self.answered) {
                return;
            }
        }
    }
}
