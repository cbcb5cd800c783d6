//! The owner of rooms, who takes guests out and lets them in again.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::{SETTLED_WITHIN, Stage};
use crate::client::{Person, base, enter};
use crate::history::Change;

/// Between two attempts to have something done.
const BREATH: Duration = Duration::from_millis(200);

/// The owner.
pub(super) struct Admin {
    owner: Person,
    guests: Vec<Person>,
    rooms: Vec<String>,
    every: Duration,
    stage: Stage,
    chance: StdRng,
    changes: Vec<Change>,
}

impl Admin {
    pub(super) fn new(
        owner: &Person,
        guests: &[Person],
        rooms: &[String],
        every: Duration,
        stage: &Stage,
    ) -> Self {
        let chance = stage.chance("admin");
        let (owner, stage) = (owner.clone(), stage.clone());
        let (guests, rooms) = (guests.to_vec(), rooms.to_vec());
        Self { owner, guests, rooms, every, stage, chance, changes: Vec::new() }
    }

    /// Changes memberships until nothing new is to be begun; everybody is in everywhere then.
    pub(super) async fn run(mut self) -> Vec<Change> {
        if self.guests.is_empty() {
            return Vec::new();
        }
        loop {
            self.stage.pause(self.every).await;
            if self.stage.is_closed() {
                return self.changes;
            }
            let guest = self.guests[self.chance.random_range(0..self.guests.len())].clone();
            let room = self.rooms[self.chance.random_range(0..self.rooms.len())].clone();
            self.change(&room, &guest, false).await;
            self.stage.pause(self.every).await;
            self.change(&room, &guest, true).await;
        }
    }

    /// Has it done, until it is known to be: a call without a clear answer is made again.
    async fn change(&mut self, room: &str, guest: &Person, is_add: bool) {
        let (room_name, user) = (room.to_owned(), guest.id.clone());
        let invoked = self.stage.clock.now();
        self.changes.push(Change { room: room_name, user, is_add, invoked });
        let end = Instant::now() + 2 * SETTLED_WITHIN;
        loop {
            assert!(Instant::now() < end, "{} cannot be let in or out any more", guest.name);
            let node = self.stage.balancer.any(&mut self.chance);
            if is_add {
                enter(node, &self.owner, guest, room).await;
            } else {
                let path = format!("/chat-rooms/{room}/members/{}", guest.id);
                self.owner.call(&base(node), Method::DELETE, &path, None).await;
            }
            if self.is_in(room, guest).await == Some(is_add) {
                return self.stage.changed();
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Whether the guest is in the room; `None` if nobody says.
    async fn is_in(&mut self, room: &str, guest: &Person) -> Option<bool> {
        let node = self.stage.balancer.any(&mut self.chance);
        let path = format!("/chat-rooms/{room}/members?limit=500");
        let answer = self.owner.call(&base(node), Method::GET, &path, None).await?;
        let members = answer.body.as_array()?;
        let is_guest = |member: &Value| member["user"]["id"] == guest.id.as_str();
        Some(members.iter().any(is_guest))
    }
}
