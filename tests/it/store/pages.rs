//! Pages of messages.

use natter::domain::{Body, Event, RoomId, Seq};
use natter::store::{History, Store};

use super::contract;
use super::world::{Pen, group, seqs, tick, updated, user};

contract![
    pages_hold_messages_only_and_oldest_first,
    paging_back_and_forth_meets_every_message_once,
    no_page_goes_beyond_its_end,
    pages_step_over_what_is_gone,
    a_page_is_of_its_room_alone,
    all_messages_come_newest_first,
];

/// A room with 3n events, of which every third is a message, and those.
async fn mixed_room(store: &dyn Store, count: usize) -> (RoomId, Vec<Event>) {
    let ann = user(store, &format!("user {}", tick())).await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let mut said = Vec::new();
    for n in 0..count {
        pen.write(&ann, updated(&format!("name {n}"), &ann)).await;
        pen.write(&ann, Body::Reacted { target: Seq(1), emoji: "👍".into(), users: vec![] }).await;
        said.push(pen.say(&ann, "text").await);
    }
    (room, said)
}

const END: Seq = Seq(u64::MAX);

async fn pages_hold_messages_only_and_oldest_first(store: &dyn Store) {
    let (room, said) = mixed_room(store, 6).await;
    let newest = store.messages(room, History::Before(END), END, 4).await.unwrap();
    assert_eq!(newest, said[2..]);
    let oldest = store.messages(room, History::After(Seq(0)), END, 4).await.unwrap();
    assert_eq!(oldest, said[..4]);
    let before = store.messages(room, History::Before(said[3].seq), END, 2).await.unwrap();
    assert_eq!(before, said[1..3]);
    let after = store.messages(room, History::After(said[1].seq), END, 2).await.unwrap();
    assert_eq!(after, said[2..4]);
    // From a position between messages.
    let between = Seq(said[3].seq.0 - 1);
    let before = store.messages(room, History::Before(between), END, 1).await.unwrap();
    assert_eq!(before, said[2..3]);
    let after = store.messages(room, History::After(between), END, 1).await.unwrap();
    assert_eq!(after, said[3..4]);
    for from in [History::Before(said[0].seq), History::After(said[5].seq), History::After(END)] {
        assert!(store.messages(room, from, END, 10).await.unwrap().is_empty(), "{from:?}");
    }
}

async fn paging_back_and_forth_meets_every_message_once(store: &dyn Store) {
    let (room, said) = mixed_room(store, 23).await;
    for limit in [1, 2, 5, 22, 23, 24] {
        let (mut back, mut end) = (Vec::new(), END);
        loop {
            let page = store.messages(room, History::Before(end), END, limit).await.unwrap();
            let Some(first) = page.first() else { break };
            end = first.seq;
            back.splice(0..0, page);
        }
        assert_eq!(back, said, "{limit}");
        let (mut forth, mut begin) = (Vec::new(), Seq(0));
        loop {
            let page = store.messages(room, History::After(begin), END, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            begin = last.seq;
            forth.extend(page);
        }
        assert_eq!(forth, said, "{limit}");
    }
}

async fn no_page_goes_beyond_its_end(store: &dyn Store) {
    let (room, said) = mixed_room(store, 6).await;
    let through = said[3].seq;
    let newest = store.messages(room, History::Before(END), through, 2).await.unwrap();
    assert_eq!(newest, said[2..4]);
    let rest = store.messages(room, History::After(said[1].seq), through, 10).await.unwrap();
    assert_eq!(rest, said[2..4]);
    let none = store.messages(room, History::After(through), through, 10).await.unwrap();
    assert!(none.is_empty());
}

async fn pages_step_over_what_is_gone(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let room = group(store, &ann, &[]).await;
    let mut pen = Pen::at_tail(store, room).await;
    let said = pen.say_often(&ann, 10).await;
    pen.write(&ann, Body::Deleted { target: said[7].seq }).await;
    pen.write(&ann, Body::Cleared { through: said[3].seq }).await;
    let left: Vec<_> = [4, 5, 6, 8, 9].map(|n| said[n].seq.0).to_vec();
    let page = store.messages(room, History::Before(END), END, 5).await.unwrap();
    assert_eq!(seqs(&page), left);
    let page = store.messages(room, History::After(Seq(0)), END, 5).await.unwrap();
    assert_eq!(seqs(&page), left);
    let page = store.messages(room, History::Before(said[8].seq), END, 2).await.unwrap();
    assert_eq!(seqs(&page), left[1..3]);
}

async fn a_page_is_of_its_room_alone(store: &dyn Store) {
    let (one, said) = mixed_room(store, 3).await;
    mixed_room(store, 3).await;
    let page = store.messages(one, History::Before(END), END, 100).await.unwrap();
    assert_eq!(page, said);
    let nowhere = RoomId::new(tick(), 0);
    assert!(store.messages(nowhere, History::Before(END), END, 9).await.unwrap().is_empty());
}

async fn all_messages_come_newest_first(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let mut said = Vec::new();
    let rooms = [group(store, &ann, &[]).await, group(store, &ann, &[]).await];
    for n in 0..8 {
        let mut pen = Pen::at_tail(store, rooms[n % 2]).await;
        pen.tail.timestamp = super::world::at(100 * n as u64);
        said.push(pen.say(&ann, "text").await);
    }
    let gone = said.remove(3);
    let mut pen = Pen::at_tail(store, gone.room).await;
    pen.write(&ann, Body::Deleted { target: gone.seq }).await;
    said.reverse();
    assert_eq!(store.all_messages(0, 100).await.unwrap(), said);
    assert_eq!(store.all_messages(2, 3).await.unwrap(), said[2..5]);
    assert!(store.all_messages(7, 3).await.unwrap().is_empty());
}
