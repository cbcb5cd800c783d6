//! The log against a model of it: whatever is appended in whatever order, both say the same.

use std::collections::HashSet;

use natter::domain::{Body, ClientId, Event, RoomId, Seq, User, UserId};
use natter::store::{Appended, History, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{Pen, group, message, updated, user, whole_log};

/// One event to be appended, with positions as parts of the log that there is by then.
#[derive(Debug, Clone)]
enum Item {
    Message { key: u8, by_bob: bool },
    Edited { part: f64 },
    Deleted { part: f64 },
    Cleared { part: f64 },
    Updated,
    RoomDeleted,
}

/// A batch, numbered from `shift` behind the tail on, with a hole before its event `hole`.
#[derive(Debug, Clone)]
struct Batch {
    items: Vec<Item>,
    shift: i64,
    hole: Option<usize>,
}

fn item() -> impl Strategy<Value = Item> {
    let part = || 0.0..1.2;
    prop_oneof![
        20 => (0..30_u8, any::<bool>()).prop_map(|(key, by_bob)| Item::Message { key, by_bob }),
        2 => part().prop_map(|part| Item::Edited { part }),
        2 => part().prop_map(|part| Item::Deleted { part }),
        1 => part().prop_map(|part| Item::Cleared { part }),
        3 => Just(Item::Updated),
        1 => Just(Item::RoomDeleted),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let shift = prop_oneof![8 => Just(0_i64), 1 => -3..0_i64, 1 => 1..4_i64];
    let hole = prop_oneof![6 => Just(None), 1 => (0..6_usize).prop_map(Some)];
    (prop::collection::vec(item(), 1..7), shift, hole).prop_map(|(items, shift, hole)| Batch {
        items,
        shift,
        hole,
    })
}

/// What the log of one room must be.
#[derive(Default)]
struct Model {
    log: Vec<Event>,
    keys: HashSet<(UserId, ClientId)>,
    is_deleted: bool,
}

impl Model {
    /// The index at which it stops, and whether for a taken key.
    fn append(&mut self, events: &[Event]) -> Option<(usize, bool)> {
        for (index, event) in events.iter().enumerate() {
            if self.is_deleted || event.seq.0 != self.log.len() as u64 + 1 {
                return Some((index, false));
            }
            let key = event.client_id.clone().map(|key| (event.sender, key));
            if key.is_some_and(|key| !self.keys.insert(key)) {
                return Some((index, true));
            }
            self.log.push(event.clone());
            match &event.body {
                Body::Edited { target, text } => {
                    self.change(*target, |old| old.text.clone_from(text))
                }
                Body::Deleted { target } => self.blank(target.0, target.0),
                Body::Cleared { through } => self.blank(1, through.0),
                Body::RoomDeleted => {
                    self.blank(1, event.seq.0);
                    self.is_deleted = true;
                }
                _ => {}
            }
        }
        None
    }

    fn change(&mut self, seq: Seq, change: impl FnOnce(&mut natter::domain::Message)) {
        let event = self.log.iter_mut().find(|event| event.seq == seq);
        if let Some(Event { body: Body::Message(message), .. }) = event {
            change(message);
        }
    }

    fn blank(&mut self, first: u64, last: u64) {
        for event in self.log.iter_mut().filter(|event| (first..=last).contains(&event.seq.0)) {
            if let Body::Message(message) = &event.body {
                event.body = Body::Gone { digest: message.digest };
            }
        }
    }

    fn messages(&self) -> Vec<Event> {
        self.log.iter().filter(|event| matches!(event.body, Body::Message(_))).cloned().collect()
    }
}

/// The events of `batch` as a writer would make them who believes what its numbering says.
fn events(
    pen: &mut Pen<'_>,
    batch: &Batch,
    (ann, bob): (&User, &User),
    length: usize,
) -> Vec<Event> {
    pen.tail.seq = Seq(pen.tail.seq.0.saturating_add_signed(batch.shift));
    let position = |part: f64| Seq((part * (length + 2) as f64) as u64);
    let make = |(index, item): (usize, &Item)| {
        if batch.hole == Some(index) {
            pen.tail.seq = pen.tail.seq.next();
        }
        let body = match item {
            Item::Message { .. } => message(ann, &format!("text {index}")),
            Item::Edited { part } => Body::Edited { target: position(*part), text: "new".into() },
            Item::Deleted { part } => Body::Deleted { target: position(*part) },
            Item::Cleared { part } => Body::Cleared { through: position(*part) },
            Item::Updated => updated("name", ann),
            Item::RoomDeleted => Body::RoomDeleted,
        };
        let mut event = pen.event(ann, body);
        if let Item::Message { key, by_bob } = item {
            event.client_id = Some(ClientId::stored(format!("key {key}")));
            if *by_bob {
                event.sender = bob.id;
                let Body::Message(message) = &mut event.body else { unreachable!() };
                message.sender = bob.id;
            }
        }
        event
    };
    batch.items.iter().enumerate().map(make).collect()
}

async fn follow(store: &dyn Store, people: (&User, &User), batches: &[Batch]) {
    let room = group(store, people.0, &[]).await;
    let mut model = Model { log: whole_log(store, room, 10).await, ..Model::default() };
    for batch in batches {
        let mut pen = Pen::at_tail(store, room).await;
        let events = events(&mut pen, batch, people, model.log.len());
        let appended = match store.append(&events).await {
            Appended::All => None,
            Appended::PositionTaken { index } => Some((index, false)),
            Appended::ClientIdTaken { index } => Some((index, true)),
            Appended::Unknown(error) => panic!("{error:?}"),
        };
        assert_eq!(appended, model.append(&events), "{batch:?}");
    }
    compare(store, room, &model).await;
}

async fn compare(store: &dyn Store, room: RoomId, model: &Model) {
    assert_eq!(whole_log(store, room, 7).await, model.log);
    let last = model.log.last().unwrap();
    let tail = store.tail(room).await.unwrap().unwrap();
    assert_eq!((tail.seq, tail.ordinal, tail.timestamp), (last.seq, last.ordinal, last.timestamp));
    let mut ordinal = 0;
    for event in &model.log {
        ordinal += u64::from(event.body.is_message());
        assert_eq!(store.ordinal(room, event.seq).await.unwrap(), ordinal);
        if let Some(key) = &event.client_id {
            let found = store.event_by_client_id(room, event.sender, key).await.unwrap();
            assert_eq!(found.as_ref(), Some(event));
        }
    }
    let messages = model.messages();
    let end = Seq(u64::MAX);
    for seq in [0, 1, last.seq.0 / 2, last.seq.0, u64::MAX] {
        let before: Vec<_> = messages.iter().filter(|event| event.seq.0 < seq).cloned().collect();
        let found = store.messages(room, History::Before(Seq(seq)), end, 3).await.unwrap();
        assert_eq!(found, before[before.len().saturating_sub(3)..]);
        let after: Vec<_> = messages.iter().filter(|event| event.seq.0 > seq).cloned().collect();
        let found = store.messages(room, History::After(Seq(seq)), end, 3).await.unwrap();
        assert_eq!(found, after[..after.len().min(3)]);
    }
}

/// Tries `store` with `cases` random histories, each in a room of its own.
fn agrees_with_the_model(runtime: &tokio::runtime::Runtime, store: &dyn Store, cases: u32) {
    let people = runtime.block_on(async { (user(store, "ann").await, user(store, "bob").await) });
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&prop::collection::vec(batch(), 1..12), |batches| {
        runtime.block_on(follow(store, (&people.0, &people.1), &batches));
        Ok(())
    });
    checked.unwrap();
}

mod embedded {
    #[test]
    fn the_log_agrees_with_the_model() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = runtime.block_on(crate::store::embedded(folder.path()));
        super::agrees_with_the_model(&runtime, &store, 200);
        runtime.block_on(natter::store::Store::close(&store));
    }
}

mod mongodb {
    #[test]
    fn the_log_agrees_with_the_model() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let Some(place) = runtime.block_on(crate::store::Place::new()) else { return };
        let store = runtime.block_on(place.open());
        // Each step waits for a journal.
        super::agrees_with_the_model(&runtime, &store, 30);
        runtime.block_on(natter::store::Store::close(&store));
        runtime.block_on(place.end());
    }
}
