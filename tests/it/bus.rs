//! The contract of the bus, run on every adapter.

use bytes::Bytes;
use natter::bus::{Bus, Delivery, LocalBus, Reply, SUBSCRIPTION_QUEUE, Subject};
use natter::domain::{RoomId, UserId};

/// Makes of each function a test per adapter.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod local {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&super::LocalBus::shared()).await;
                }
            )+
        }
    };
}

contract![
    everybody_who_listens_hears_everything_in_order,
    a_subject_is_heard_alone,
    who_does_not_listen_any_more_holds_up_nobody,
    who_does_not_keep_up_loses_the_rest_and_holds_up_nobody,
    who_asks_hears_every_answer_and_nobody_else_does,
    who_asks_where_nobody_listens_is_told_so,
];

fn subject() -> Subject {
    Subject::room_events(RoomId::new(1, 1))
}

fn number(nth: usize) -> Bytes {
    nth.to_string().into()
}

async fn everybody_who_listens_hears_everything_in_order(bus: &dyn Bus) {
    assert!(bus.reaches_others());
    let (mut one, mut other) = (bus.subscribe(&subject()), bus.subscribe(&subject()));
    bus.settled().await;
    for nth in 0..100 {
        bus.publish(&subject(), number(nth));
    }
    for nth in 0..100 {
        assert_eq!(one.next().await.unwrap().payload, number(nth));
        assert_eq!(other.next().await.unwrap().payload, number(nth));
    }
}

async fn a_subject_is_heard_alone(bus: &dyn Bus) {
    let mut heard = bus.subscribe(&subject());
    bus.settled().await;
    let room = RoomId::new(1, 1);
    for other in [
        Subject::room_signals(room),
        Subject::room_events(RoomId::new(1, 2)),
        Subject::user(UserId::new(1, 1)),
    ] {
        bus.publish(&other, number(1));
    }
    bus.publish(&subject(), number(2));
    assert_eq!(heard.next().await.unwrap().payload, number(2));
}

async fn who_does_not_listen_any_more_holds_up_nobody(bus: &dyn Bus) {
    drop(bus.subscribe(&subject()));
    bus.publish(&subject(), number(1));
    let mut heard = bus.subscribe(&subject());
    bus.settled().await;
    bus.publish(&subject(), number(2));
    assert_eq!(heard.next().await.unwrap().payload, number(2));
}

async fn who_does_not_keep_up_loses_the_rest_and_holds_up_nobody(bus: &dyn Bus) {
    let before = bus.link().borrow().losses;
    let mut slow = bus.subscribe(&subject());
    let mut quick = bus.subscribe(&subject());
    bus.settled().await;
    for nth in 0..2 * SUBSCRIPTION_QUEUE {
        bus.publish(&subject(), number(nth));
        assert_eq!(quick.next().await.unwrap().payload, number(nth));
    }
    assert_eq!(slow.next().await.unwrap().payload, number(0));
    assert!(bus.link().borrow().losses > before, "nobody knows of the loss");
}

async fn who_asks_hears_every_answer_and_nobody_else_does(bus: &dyn Bus) {
    let mut heard = bus.subscribe(&subject());
    bus.settled().await;
    let (mut one, mut other) =
        (bus.request(&subject(), number(1)), bus.request(&subject(), number(2)));
    for _ in 0..2 {
        let Delivery { payload, reply } = heard.next().await.unwrap();
        let reply = reply.unwrap();
        assert!(reply.is_inbox());
        bus.publish(&reply, payload.clone());
        bus.publish(&reply, number(9));
    }
    for (replies, nth) in [(&mut one, 1), (&mut other, 2)] {
        assert_eq!(replies.next().await, Some(Reply::Answer(number(nth))));
        assert_eq!(replies.next().await, Some(Reply::Answer(number(9))));
    }
}

async fn who_asks_where_nobody_listens_is_told_so(bus: &dyn Bus) {
    let mut replies = bus.request(&Subject::user(UserId::new(9, 9)), number(1));
    assert_eq!(replies.next().await, Some(Reply::NoResponders));
}
