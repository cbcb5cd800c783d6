//! What an owner of rooms does with the commands that other nodes bring, read off its answers.

use std::time::Duration;

use bytes::Bytes;
use natter::bus::{Bus, Replies, Reply, Subject};
use natter::domain::{RoomId, Timestamp, User};
use natter::metrics::FullQueue;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::fleet::{Berth, Fleet, PATIENCE};
use super::hall::sign_up;
use crate::support::Fault;

/// Commands of other nodes that one node has taken and not answered.
const PLACES: usize = 16 * 1024;

/// Commands in a request that is to take many of them. Few requests, for all places have to be taken before the first command has
/// waited for 5 s.
const MANY: usize = PLACES / 4;

/// One node of two that owns the hall, and another that brings it things.
struct Desk {
    fleet: Fleet,
    sent: u64,
}

impl Desk {
    async fn open() -> Self {
        Self { fleet: Fleet::of(2).await, sent: 0 }
    }

    fn owner(&self) -> &Berth {
        self.fleet.node(self.fleet.owner())
    }

    fn other(&self) -> &Berth {
        self.fleet.node(self.fleet.others()[0])
    }

    fn user(&self) -> &User {
        &self.fleet.hall.owner
    }

    /// A message for `room` under a key.
    fn message(&self, room: RoomId, key: &str, text: &str) -> Value {
        let nonce = format!("{:032x}", rand::random::<u128>());
        // Which stands for the text, as far as these tests go.
        let digest = format!("{:032x}", text.len());
        let body = json!({"username": "owner", "text": text, "type": "text"});
        json!({
            "room": room, "sender": self.user().id, "client_id": key, "nonce": nonce,
            "authority": "member", "change": {"post": {"body": body, "digest": digest}},
        })
    }

    /// A room that this node owns, or that the other does.
    async fn room_of(&self, is_owners: bool) -> RoomId {
        loop {
            let room = self.fleet.hall.another_room().await;
            if self.owner().nodes.owner_of(room.as_bytes()).is_none() == is_owners {
                return room;
            }
        }
    }

    /// A request with these commands, as the other node sends it.
    fn request(&mut self, commands: &[Value]) -> Bytes {
        self.sent += 1;
        let errand = json!({"id": self.sent, "errand": {"commit": {"commands": commands}}});
        self.other().seal.seal_once(&Subject::node(self.owner().nodes.me()), &errand)
    }

    fn ask(&self, request: Bytes) -> Replies {
        self.fleet.bus.request(&Subject::node(self.owner().nodes.me()), request)
    }

    fn bring(&mut self, commands: &[Value]) -> Replies {
        let request = self.request(commands);
        self.ask(request)
    }

    /// The next answer: what became of commands by their places, and how many bytes that took.
    async fn answer(&self, replies: &mut Replies) -> (Vec<(usize, Value)>, usize) {
        let heard = timeout(PATIENCE, replies.next()).await.expect("an answer");
        let Some(Reply::Answer(payload)) = heard else { panic!("{heard:?}") };
        let answers = Subject::answers(self.other().nodes.me());
        let opened = self.other().seal.open::<Value>(&answers, &payload).unwrap();
        assert_eq!(opened.node, self.owner().nodes.me());
        let done = serde_json::from_value(opened.body["answer"]["done"].clone()).unwrap();
        (done, payload.len())
    }

    /// What became of each of `count` commands, in the order of their places; each is told once.
    async fn outcomes(&self, replies: &mut Replies, count: usize) -> Vec<Value> {
        let mut outcomes = vec![None; count];
        while outcomes.iter().any(Option::is_none) {
            for (place, outcome) in self.answer(replies).await.0 {
                assert_eq!(outcomes[place].replace(outcome), None, "{place} is told twice");
            }
        }
        outcomes.into_iter().flatten().collect()
    }
}

fn stored(outcome: &Value) -> Option<u64> {
    outcome["stored"]["event"]["seq"].as_u64()
}

#[tokio::test]
async fn each_command_of_a_request_has_its_own_answer_and_the_receipt_says_which_are_not_taken() {
    let mut desk = Desk::open().await;
    let (hall, own, foreign) =
        (desk.fleet.hall.room, desk.room_of(true).await, desk.room_of(false).await);
    let unknown = loop {
        let room = RoomId::new(1, rand::random());
        if desk.owner().nodes.owner_of(room.as_bytes()).is_none() {
            break room;
        }
    };
    let stranger = sign_up(&desk.fleet.hall.store, "stranger").await;
    let mut of_stranger = desk.message(hall, "k", "let me in");
    of_stranger["sender"] = json!(stranger.id);
    let mut clear = desk.message(hall, "clear", "");
    clear["change"] = json!("clear");
    let commands = [
        desk.message(hall, "a", "one"),
        json!({"v": 2}),
        desk.message(foreign, "a", "elsewhere"),
        desk.message(hall, "a", "one"),
        desk.message(hall, "a", "another"),
        of_stranger,
        clear,
        desk.message(unknown, "a", "nowhere"),
        desk.message(own, "a", "in another room"),
    ];
    let mut replies = desk.bring(&commands);
    let (receipt, _) = desk.answer(&mut replies).await;
    assert_eq!(receipt, [(1, json!("bounced")), (2, json!("bounced"))]);
    let mut outcomes = vec![Value::Null; commands.len()];
    while outcomes.iter().filter(|outcome| outcome.is_null()).count() > receipt.len() {
        for (place, outcome) in desk.answer(&mut replies).await.0 {
            assert!(outcomes[place].is_null(), "{place} is told twice");
            outcomes[place] = outcome;
        }
    }
    assert_eq!(
        (stored(&outcomes[0]), &outcomes[0]["stored"]["repeated"]),
        (Some(2), &json!(false))
    );
    assert_eq!((stored(&outcomes[3]), &outcomes[3]["stored"]["repeated"]), (Some(2), &json!(true)));
    let reasons = [4, 5, 6, 7].map(|place: usize| outcomes[place]["refused"].clone());
    let expected = ["client_id_conflict", "not_found", "forbidden", "not_found"];
    assert_eq!(reasons, expected.map(Value::from));
    assert_eq!(stored(&outcomes[8]), Some(2));
    assert_eq!(desk.owner().metrics.cluster.bounced_commands.get(), 2);
    assert_eq!(desk.fleet.hall.tail().await, 2);
}

#[tokio::test]
async fn what_comes_while_a_room_is_not_live_yet_keeps_its_order() {
    let mut desk = Desk::open().await;
    let room = desk.room_of(true).await;
    let mut asked = Vec::new();
    for request in 0..20 {
        let texts = (0..10).map(|nth| format!("{}", request * 10 + nth));
        let commands: Vec<_> = texts.map(|text| desk.message(room, &text, &text)).collect();
        asked.push(desk.bring(&commands));
    }
    let mut positions = Vec::new();
    for replies in &mut asked {
        let outcomes = desk.outcomes(replies, 10).await;
        positions.extend(outcomes.iter().map(|outcome| stored(outcome).expect("it is stored")));
    }
    assert_eq!(positions, (2..=201).collect::<Vec<_>>());
}

#[tokio::test]
async fn answers_are_split_at_what_the_bus_carries() {
    let mut desk = Desk::open().await;
    let room = desk.fleet.hall.room;
    // Twice as long in JSON.
    let long = "\"".repeat(16 * 1024);
    let commands: Vec<_> = (0..28).map(|nth| desk.message(room, &nth.to_string(), &long)).collect();
    let mut replies = desk.bring(&commands);
    let most = desk.fleet.bus.max_payload() / 2;
    let (mut done, mut answers) = (0, 0);
    while done < commands.len() {
        let (told, bytes) = desk.answer(&mut replies).await;
        assert!(bytes < most + 1024, "{bytes} bytes");
        assert!(told.iter().all(|(_, outcome)| stored(outcome).is_some()));
        done += told.len();
        answers += usize::from(!told.is_empty());
    }
    assert!(done == commands.len() && answers >= 2, "{done} in {answers}");
}

#[tokio::test]
async fn what_is_too_much_is_refused_as_a_whole_and_places_are_free_again_with_the_answers() {
    let mut desk = Desk::open().await;
    let (room, other) = (desk.fleet.hall.room, desk.room_of(true).await);
    desk.owner().store.meets([Fault::Hangs]);
    let mut asked = vec![desk.bring(&[desk.message(room, "first", "first")])];
    timeout(PATIENCE, desk.owner().store.has_hung()).await.unwrap();
    let mut taken = 1;
    let refused = loop {
        let commands: Vec<_> = (0..MANY)
            .map(|nth| {
                let key = format!("{taken} {nth}");
                desk.message(room, &key, &key)
            })
            .collect();
        let mut replies = desk.bring(&commands);
        let (receipt, _) = desk.answer(&mut replies).await;
        if !receipt.is_empty() {
            break receipt;
        }
        taken += commands.len();
        asked.push(replies);
        assert!(taken <= PLACES, "{taken} are taken");
    };
    assert_eq!(refused.len(), MANY);
    assert!(refused.iter().all(|(_, outcome)| outcome["refused"] == "overloaded"));
    assert_eq!(desk.owner().metrics.queues.refused.of(FullQueue::Errands).get(), 1);
    // What waits is answered at its deadline, and then there are places again.
    let first = desk.answer(&mut asked[0]).await.0;
    assert_eq!(first, [], "a receipt");
    assert_eq!(desk.answer(&mut asked[0]).await.0, [(0, json!({"refused": "unknown"}))]);
    let waiting = asked.split_off(1);
    for mut replies in waiting {
        let outcomes = desk.outcomes(&mut replies, MANY).await;
        assert!(outcomes.iter().all(|outcome| outcome["refused"] == "overloaded"));
    }
    let mut replies = desk.bring(&[desk.message(other, "again", "again")]);
    assert_eq!(stored(&desk.outcomes(&mut replies, 1).await[0]), Some(2));
    assert_eq!(desk.fleet.hall.tail().await, 1);
}

#[tokio::test]
async fn what_is_older_than_senders_wait_for_is_not_taken() {
    let mut desk = Desk::open().await;
    let room = desk.fleet.hall.room;
    let request = desk.request(&[desk.message(room, "late", "late")]);
    let sealed = Timestamp::now();
    while Timestamp::now().0 <= sealed.0 + 5_000 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut replies = desk.ask(request);
    assert_eq!(desk.answer(&mut replies).await.0, [(0, json!("bounced"))]);
    let mut replies = desk.bring(&[desk.message(room, "in time", "in time")]);
    assert_eq!(stored(&desk.outcomes(&mut replies, 1).await[0]), Some(2));
}
