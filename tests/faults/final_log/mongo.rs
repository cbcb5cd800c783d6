//! The log as each member of a replica set holds it, once all hold the same.

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReadPreference, SelectionCriteria};
use tokio::time::Instant;

use super::{given, hex, kind};
use crate::history::{Entry, Replica};
use crate::servers::mongod::{Member, ReplicaSet};
use crate::servers::process::LOOK;
use crate::workload::SETTLED_WITHIN;

/// The log of each member, when they agree; as they are if they never do.
pub(crate) async fn read(set: &ReplicaSet) -> Vec<Replica> {
    let end = Instant::now() + SETTLED_WITHIN;
    loop {
        let reading = set.members.iter().map(member);
        if let Ok(replicas) = futures::future::try_join_all(reading).await {
            let agree = replicas.windows(2).all(|pair| pair[0].rooms == pair[1].rooms);
            if agree || Instant::now() >= end {
                return replicas;
            }
        }
        assert!(Instant::now() < end, "a member cannot be read");
        tokio::time::sleep(LOOK).await;
    }
}

/// The log of one member.
pub(crate) async fn member(member: &Member) -> mongodb::error::Result<Replica> {
    let events = member.database().collection::<Document>("events");
    let anywhere = SelectionCriteria::ReadPreference(ReadPreference::Nearest { options: None });
    let found = events.find(doc! {}).sort(doc! { "_id": 1 }).selection_criteria(anywhere);
    let rows: Vec<Document> = found.await?.try_collect().await?;
    let mut replica = Replica { name: member.name(), ..Replica::default() };
    for row in rows {
        let (room, entry) = entry(&row);
        replica.rooms.entry(room).or_default().push(entry);
    }
    Ok(replica)
}

fn entry(row: &Document) -> (String, Entry) {
    let place = row.get_binary_generic("_id").expect("the place is bytes");
    let (room, seq) = place.split_at(12);
    let seq = u64::from_be_bytes(seq.try_into().expect("8 bytes behind the 12 of the room"));
    let text = |name: &str| row.get_str(name).ok();
    let entry = Entry {
        seq,
        sender: id(row.get("sender")),
        client_id: given(text("client_id").map(str::to_owned)),
        kind: kind(text("kind").expect("a kind"), text("body")),
    };
    (hex(room), entry)
}

fn id(stored: Option<&Bson>) -> String {
    match stored {
        Some(Bson::Binary(binary)) => hex(&binary.bytes),
        Some(Bson::ObjectId(id)) => id.to_hex(),
        other => panic!("{other:?} is no id"),
    }
}
