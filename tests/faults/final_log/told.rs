//! The log as a node tells it over HTTP: the messages of it.

use std::net::SocketAddr;

use crate::client::{Person, base, text};
use crate::history::{Kind, Replica};

/// Messages asked for at once.
const PAGE: usize = 500;

/// A message as it is told: its position and its words.
type Message = (u64, String);

/// Every message of a room, oldest first.
pub(crate) async fn read(node: SocketAddr, reader: &Person, room: &str) -> Vec<Message> {
    let mut pages = Vec::new();
    let mut before = String::new();
    loop {
        let path = format!("/chat-rooms/{room}/messages?limit={PAGE}{before}");
        let page = reader.get(&base(node), &path).await;
        let page = page.as_array().expect("a page is an array").clone();
        let Some(first) = page.first() else { break };
        before = format!("&before={}", text(&first["id"]));
        let is_full = page.len() == PAGE;
        pages.push(page);
        if !is_full {
            break;
        }
    }
    let messages = pages.iter().rev().flatten();
    messages
        .map(|one| (one["seq"].as_u64().expect("a position"), text(&one["content"]).to_owned()))
        .collect()
}

/// How what is told of a room differs from the log.
pub(crate) fn differences(told: &[Message], log: &Replica, room: &str) -> Option<String> {
    let stored: Vec<_> = log
        .room(room)
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Message(content) => Some((entry.seq, content.clone())),
            _ => None,
        })
        .collect();
    let place = stored.iter().zip(told).position(|(stored, told)| stored != told);
    let place = place.or((stored.len() != told.len()).then(|| stored.len().min(told.len())))?;
    Some(format!("told {:?}, stored {:?}", told.get(place), stored.get(place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Entry;

    #[test]
    fn what_is_told_is_what_is_stored() {
        let entry = |seq, kind| Entry { seq, sender: String::new(), client_id: None, kind };
        let message = |text: &str| Kind::Message(text.to_owned());
        let entries =
            vec![entry(1, message("one")), entry(2, Kind::Gone), entry(3, message("two"))];
        let log = Replica { name: String::new(), rooms: [("r".to_owned(), entries)].into() };
        let (one, two) = ((1, "one".to_owned()), (3, "two".to_owned()));
        assert_eq!(differences(&[one.clone(), two.clone()], &log, "r"), None);
        let (lost, swapped) = (vec![one.clone()], vec![two.clone(), one.clone()]);
        for told in [vec![], lost, swapped, vec![one, two.clone(), two]] {
            assert!(differences(&told, &log, "r").is_some(), "{told:?}");
        }
    }
}
