//! The contract of the bus, run on every adapter.

use bytes::Bytes;
use natter::bus::{Bus, LocalBus, SUBSCRIPTION_QUEUE, Subject};
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
    for nth in 0..100 {
        bus.publish(&subject(), number(nth));
    }
    for nth in 0..100 {
        assert_eq!(one.next().await.unwrap(), number(nth));
        assert_eq!(other.next().await.unwrap(), number(nth));
    }
}

async fn a_subject_is_heard_alone(bus: &dyn Bus) {
    let mut heard = bus.subscribe(&subject());
    let room = RoomId::new(1, 1);
    for other in [
        Subject::room_signals(room),
        Subject::room_events(RoomId::new(1, 2)),
        Subject::user(UserId::new(1, 1)),
    ] {
        bus.publish(&other, number(1));
    }
    bus.publish(&subject(), number(2));
    assert_eq!(heard.next().await.unwrap(), number(2));
}

async fn who_does_not_listen_any_more_holds_up_nobody(bus: &dyn Bus) {
    drop(bus.subscribe(&subject()));
    bus.publish(&subject(), number(1));
    let mut heard = bus.subscribe(&subject());
    bus.publish(&subject(), number(2));
    assert_eq!(heard.next().await.unwrap(), number(2));
}

async fn who_does_not_keep_up_loses_the_rest_and_holds_up_nobody(bus: &dyn Bus) {
    let mut slow = bus.subscribe(&subject());
    let mut quick = bus.subscribe(&subject());
    for nth in 0..2 * SUBSCRIPTION_QUEUE {
        bus.publish(&subject(), number(nth));
        assert_eq!(quick.next().await.unwrap(), number(nth));
    }
    assert_eq!(slow.next().await.unwrap(), number(0));
}
