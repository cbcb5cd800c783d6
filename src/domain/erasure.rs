//! What of an event tells of a person, and what is left of it without that.

use super::message::Digest;
use super::{Body, Email, Event, MemberAdded, Message, UserId, Username};

/// The name that an account leaves where it is still named. No account can take it, for its brackets.
pub const DELETED: &str = "(deleted)";

/// What becomes of what a person has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Nothing is left of it.
    Erased,
    /// It stays, without its author's name.
    Kept,
}

/// What is left of `event` once it tells nothing of `user`; `None` if it does not now. Positions, times and ids stay: they name
/// nobody any more.
pub fn erased(event: &Event, user: UserId, words: Words) -> Option<Body> {
    let nobody = || Username::stored(DELETED.to_owned());
    let nowhere = || Email::stored(String::new());
    match &event.body {
        Body::Message(message) if message.sender == user => match words {
            // Not even the digest: nobody is left to send it again.
            Words::Erased => Some(Body::Gone { digest: Digest::default() }),
            Words::Kept => (message.username != nobody())
                .then(|| Body::Message(Message { username: nobody(), ..message.clone() })),
        },
        Body::Gone { digest } if event.sender == user && words == Words::Erased => {
            (*digest != Digest::default()).then(|| Body::Gone { digest: Digest::default() })
        }
        Body::Edited { target, text } if event.sender == user && words == Words::Erased => {
            (!text.is_empty()).then(|| Body::Edited { target: *target, text: String::new() })
        }
        Body::MemberAdded(added) if added.user == user => {
            let is_left = added.username != nobody() || !added.email.as_str().is_empty();
            let (email, username) = (nowhere(), nobody());
            is_left.then(|| Body::MemberAdded(MemberAdded { email, username, ..added.clone() }))
        }
        Body::MemberRemoved { user: gone, username, reason } if *gone == user => (*username
            != nobody())
        .then(|| Body::MemberRemoved { user, username: nobody(), reason: *reason }),
        Body::RoomUpdated { name, owner, owner_email, owner_username } if *owner == user => {
            let is_left = *owner_username != nobody() || !owner_email.as_str().is_empty();
            is_left.then(|| Body::RoomUpdated {
                name: name.clone(),
                owner: user,
                owner_email: nowhere(),
                owner_username: nobody(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ClientId, MembershipId, MessageType, Nonce, RemovalReason, Role, RoomId, Seq, Timestamp,
    };

    const ANN: UserId = UserId::from_bytes([1; 12]);
    const BEN: UserId = UserId::from_bytes([2; 12]);

    fn event(sender: UserId, body: Body) -> Event {
        Event {
            room: RoomId::new(1, 1),
            seq: Seq(7),
            ordinal: 3,
            sender,
            nonce: Nonce(Default::default()),
            client_id: Some(ClientId::stored("c".to_owned())),
            timestamp: Timestamp(5),
            body,
        }
    }

    /// One event of each kind that tells of `user`.
    fn of(user: UserId) -> Vec<Event> {
        let (username, email) =
            (Username::stored("ann".to_owned()), Email::stored("ann@example.org".to_owned()));
        let message = Message {
            sender: user,
            username: username.clone(),
            text: "a secret of ann's".to_owned(),
            message_type: MessageType::Text,
            attachment: None,
            digest: [9; 16],
        };
        let added = MemberAdded {
            membership: MembershipId::new(1, 2),
            user,
            email: email.clone(),
            username: username.clone(),
            role: Role::Member,
            request: None,
        };
        let reason = RemovalReason::Left;
        vec![
            event(user, Body::Message(message)),
            event(user, Body::Gone { digest: [9; 16] }),
            event(user, Body::Edited { target: Seq(1), text: "a secret of ann's".to_owned() }),
            event(BEN, Body::MemberAdded(added)),
            event(BEN, Body::MemberRemoved { user, username: username.clone(), reason }),
            event(
                BEN,
                Body::RoomUpdated {
                    name: "room".to_owned(),
                    owner: user,
                    owner_email: email,
                    owner_username: username,
                },
            ),
        ]
    }

    #[test]
    fn nothing_that_tells_of_a_person_is_left_and_a_second_time_changes_nothing() {
        for event in of(ANN) {
            let body = erased(&event, ANN, Words::Erased).expect("it tells of her");
            let left = format!("{body:?}");
            assert!(!left.contains("ann") && !left.contains("[9"), "{left}");
            assert_eq!(body.is_message(), event.body.is_message(), "ordinals stay as they are");
            let again = Event { body, ..event };
            assert_eq!(erased(&again, ANN, Words::Erased), None);
        }
    }

    #[test]
    fn words_that_are_kept_have_no_author() {
        for event in of(ANN) {
            let Some(body) = erased(&event, ANN, Words::Kept) else { continue };
            let left = format!("{body:?}");
            assert!(!left.contains("\"ann\"") && !left.contains("ann@example.org"), "{left}");
            if let Body::Message(message) = &body {
                assert_eq!(message.text, "a secret of ann's");
            }
            assert_eq!(erased(&Event { body, ..event }, ANN, Words::Kept), None);
        }
    }

    #[test]
    fn what_tells_of_others_stays() {
        for event in of(ANN) {
            assert_eq!(erased(&event, BEN, Words::Kept), None);
            let is_bens = event.sender == BEN;
            let body = erased(&event, BEN, Words::Erased);
            assert!(body.is_none(), "{is_bens} {body:?}");
        }
    }
}
