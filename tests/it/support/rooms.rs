//! What people do in rooms.

use std::sync::Arc;

use natter::domain::User;
use natter::room::{Connection, Scope};
use serde_json::{Value, json};

use super::{Person, TestNode};
use crate::live::hall::{Tape, connection};

impl Person {
    /// Asks to be let into a room and answers the id of the request.
    pub(crate) async fn ask(&self, room: &str) -> String {
        let asked = self.post("/join-request", json!({"chat_room_id": room})).await.is(200);
        asked["id"].as_str().unwrap().to_owned()
    }

    /// Answers a join request.
    pub(crate) async fn answer(&self, request: &str, approve: bool) -> super::Answer {
        let body = json!({"join_request_id": request, "approval_status": approve});
        self.post("/handle-join-request", body).await
    }

    /// The id of the private room with `other`.
    pub(crate) async fn private_room(&self, other: &Person) -> String {
        let body = json!({"addressed_users_id": other.id()});
        let pair = self.post("/pv-chat-room", body).await.is(200);
        pair["chat_room"]["id"].as_str().unwrap().to_owned()
    }

    /// Says something and answers the message.
    pub(crate) async fn say(&self, room: &str, words: &str) -> Value {
        let path = format!("/chat-rooms/{room}/messages");
        self.post(&path, json!({"content": words})).await.is(201)
    }

    /// What `GET /chat-rooms/{id}/messages` with this query tells of each message, oldest first.
    pub(crate) async fn history(&self, room: &str, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/chat-rooms/{room}/messages?{query}")).await.is(200);
        page.as_array().unwrap().clone()
    }

    /// The words of `GET /chat-rooms/{id}/messages` with this query.
    pub(crate) async fn words(&self, room: &str, query: &str) -> Vec<String> {
        let page = self.history(room, query).await;
        page.iter().map(|one| one["content"].as_str().unwrap().to_owned()).collect()
    }

    /// Their rooms, of this kind, as the list tells them.
    pub(crate) async fn rooms(&self, is_group: bool) -> Vec<Value> {
        let body = json!({"is_group": is_group});
        let rooms = self.post("/user/submitted-chat-rooms", body).await.is(200);
        rooms.as_array().unwrap().clone()
    }

    /// Their rooms, by id.
    pub(crate) async fn room_ids(&self, is_group: bool) -> Vec<String> {
        let rooms = self.rooms(is_group).await;
        rooms.iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect()
    }
}

impl TestNode {
    /// The account of `person`.
    pub(crate) async fn account(&self, person: &Person) -> User {
        let id = person.id().parse().unwrap();
        self.app().store.user(id).await.unwrap().unwrap()
    }

    /// A session socket of `person`, who is present in `room` through it if one is given, and what it is told.
    pub(crate) async fn connect(
        &self,
        person: &Person,
        room: Option<&str>,
    ) -> (Arc<Connection>, Arc<Tape>) {
        let (connection, tape) = connection(&self.account(person).await, Scope::Session);
        self.app().rooms.connect(&connection).unwrap();
        if let Some(room) = room {
            let live = self.app().rooms.live_room(room.parse().unwrap()).await.unwrap().unwrap();
            let tail = live.delivered();
            live.serve(&connection, tail, tail).await.unwrap();
            assert!(live.open(&connection, |_| ()));
        }
        (connection, tape)
    }
}
