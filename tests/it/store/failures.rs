//! What the MongoDB adapter makes of a server that fails: each reply that the log's rules speak of.

use mongodb::bson::{Document, doc};
use natter::config::Secret;
use natter::domain::{Event, Role, RoomId, User};
use natter::store::mongodb::Mongodb;
use natter::store::{Access, Appended, LogStore, MembershipStore, Store};
use tokio::sync::{Mutex, MutexGuard};

use super::world::{Pen, added, all, group, message, user, whole_log};
use super::{PATIENT, Place};

/// The server has one failpoint of commands, which tests use one after the other.
static FAILPOINT: Mutex<()> = Mutex::const_new(());

/// A store whose commands fail as a test says, and nobody else's.
struct Failing {
    place: Place,
    store: Mongodb,
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Failing {
    async fn new() -> Option<Self> {
        let place = Place::new().await?;
        let turn = FAILPOINT.lock().await;
        let name = format!("failing-{:016x}", rand::random::<u64>());
        let uri = Secret::new(format!("{}&appName={name}", place.uri.expose()));
        let store = Mongodb::open(&uri, Access::Command, PATIENT).await.unwrap();
        Some(Self { place, store, name, _turn: turn })
    }

    /// From now on the next `times` commands of this name fail so.
    async fn fail(&self, command: &str, times: i32, how: Document) {
        let mut data = doc! { "failCommands": [command], "appName": &self.name };
        data.extend(how);
        let failpoint =
            doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data };
        self.place.client.database("admin").run_command(failpoint).await.unwrap();
    }

    async fn end(self) {
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.place.client.database("admin").run_command(off).await.unwrap();
        self.store.close().await;
        self.place.end().await;
    }

    async fn room(&self) -> (User, RoomId) {
        let ann = user(&self.store, "ann").await;
        let room = group(&self.store, &ann, &[]).await;
        (ann, room)
    }
}

/// The majority is not known to have it.
fn unsure() -> Document {
    doc! { "writeConcernError": { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting timed out" } }
}

fn is_unknown(appended: &Appended) -> bool {
    matches!(appended, Appended::Unknown(_))
}

async fn next_two(store: &dyn Store, room: RoomId, ann: &User) -> [Event; 2] {
    let mut pen = Pen::at_tail(store, room).await;
    [pen.event(ann, message(ann, "one")), pen.event(ann, message(ann, "two"))]
}

#[tokio::test]
async fn an_append_that_a_majority_may_not_have_is_unknown_and_sending_it_again_decides() {
    let Some(failing) = Failing::new().await else { return };
    let (ann, room) = failing.room().await;
    let events = next_two(&failing.store, room, &ann).await;
    failing.fail("insert", 1, unsure()).await;
    let appended = failing.store.append(&events).await;
    assert!(is_unknown(&appended), "{appended:?}");
    let appended = failing.store.append(&events).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
    assert_eq!(whole_log(&failing.store, room, 10).await[1..], events);
    failing.end().await;
}

#[tokio::test]
async fn a_duplicate_beside_a_write_concern_error_decides_nothing() {
    let Some(failing) = Failing::new().await else { return };
    let (ann, room) = failing.room().await;
    let [one, two] = next_two(&failing.store, room, &ann).await;
    // Somebody else's is there, which this store does not know.
    let other = failing.place.open().await;
    all(&other, std::slice::from_ref(&one)).await;
    let mine = Event { nonce: two.nonce, client_id: two.client_id.clone(), ..one.clone() };
    // Alone, and at the end of a prefix of which nothing is sure either.
    failing.fail("insert", 1, unsure()).await;
    let appended = failing.store.append(&[mine.clone(), two.clone()]).await;
    assert!(is_unknown(&appended), "{appended:?}");
    let appended = failing.store.append(&[mine]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");

    let three = Event { client_id: one.client_id.clone(), ..two.clone() };
    let four = Event { seq: two.seq, ..two.clone() };
    let three = Event { seq: two.seq.next(), ordinal: two.ordinal + 1, ..three };
    failing.fail("insert", 1, unsure()).await;
    let appended = failing.store.append(&[four.clone(), three.clone()]).await;
    assert!(is_unknown(&appended), "{appended:?}");
    let appended = failing.store.append(&[four.clone(), three]).await;
    assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
    assert_eq!(whole_log(&failing.store, room, 10).await[1..], [one, four]);
    other.close().await;
    failing.end().await;
}

#[tokio::test]
async fn a_server_that_is_no_primary_has_stored_nothing() {
    let Some(failing) = Failing::new().await else { return };
    let (ann, room) = failing.room().await;
    let events = next_two(&failing.store, room, &ann).await;
    // The driver tries once more by itself.
    failing.fail("insert", 2, doc! { "errorCode": 10107 }).await;
    let appended = failing.store.append(&events).await;
    assert!(is_unknown(&appended), "{appended:?}");
    assert_eq!(whole_log(&failing.store, room, 10).await.len(), 1);
    all(&failing.store, &events).await;
    failing.end().await;
}

#[tokio::test]
async fn rooms_whose_shared_insert_is_unknown_go_on_alone() {
    let Some(failing) = Failing::new().await else { return };
    let ann = user(&failing.store, "ann").await;
    let mut events = Vec::new();
    for _ in 0..3 {
        let room = group(&failing.store, &ann, &[]).await;
        events.push([Pen::at_tail(&failing.store, room).await.event(&ann, message(&ann, "one"))]);
    }
    // However many inserts the three make.
    failing.fail("insert", 3, unsure()).await;
    let appends = events.iter().map(|event| failing.store.append(event));
    let appended = futures::future::join_all(appends).await;
    assert!(appended.iter().all(is_unknown), "{appended:?}");
    let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
    failing.place.client.database("admin").run_command(off).await.unwrap();
    for event in &events {
        let appended = failing.store.append(event).await;
        assert!(matches!(appended, Appended::PositionTaken { index: 0 }), "{appended:?}");
        assert_eq!(whole_log(&failing.store, event[0].room, 10).await[1..], *event);
    }
    failing.end().await;
}

#[tokio::test]
async fn what_a_node_that_died_has_left_is_done_by_whoever_reads() {
    let Some(failing) = Failing::new().await else { return };
    let (ann, room) = failing.room().await;
    let bob = user(&failing.store, "bob").await;
    let mut pen = Pen::at_tail(&failing.store, room).await;
    let event = pen.event(&ann, added(&bob, Role::Member, None));
    // The event is stored, and nothing that follows from it.
    failing.fail("update", 100, doc! { "errorCode": 11600 }).await;
    all(&failing.store, std::slice::from_ref(&event)).await;
    let rows = failing.place.database().collection::<Document>("memberships");
    assert_eq!(rows.count_documents(doc! { "id": { "$exists": true } }).await.unwrap(), 1);

    let other = failing.place.open().await;
    let rooms = other.room_ids_of(bob.id).await.unwrap();
    assert_eq!(rooms.iter().map(|(room, _)| *room).collect::<Vec<_>>(), [room]);
    assert!(other.membership(room, bob.id).await.unwrap().is_some());
    let pending = failing.place.database().collection::<Document>("events");
    let pending = pending.count_documents(doc! { "pending": { "$exists": true } }).await.unwrap();
    assert_eq!(pending, 0);
    other.close().await;
    failing.end().await;
}
