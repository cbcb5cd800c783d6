//! The contract of the bus, run on every adapter, and what NATS alone has.

mod accounts;
mod credentials;
pub(crate) mod foreign;
mod nats;
mod rooms;

use std::time::Duration;

use bytes::Bytes;
use natter::bus::{
    self, Bus, BusError, Delivery, DynBus, LocalBus, Replies, Reply, SUBSCRIPTION_QUEUE, Subject,
    Subscription,
};
use natter::config::{BusAccess, BusUrl, Secret};
use natter::domain::{BootId, RoomId, UserId};
use natter::metrics::Metrics;
use natter::tls;

use crate::support::services;

/// The longest that anything is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

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

        mod over_nats {
            $(
                #[tokio::test]
                async fn $name() {
                    if let Some(url) = super::services::server("NATTER_TEST_NATS_URL") {
                        super::$name(&*super::connect(&url).await.unwrap()).await;
                    }
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
    what_is_too_large_is_lost_and_holds_up_nobody,
];

/// A room that no other test has.
fn room() -> RoomId {
    RoomId::new(1, rand::random())
}

fn subject() -> Subject {
    Subject::room_events(room())
}

fn number(nth: usize) -> Bytes {
    nth.to_string().into()
}

/// What `waited` comes to; whatever is waited for here happens soon, or never.
async fn soon<T>(what: &str, waited: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, waited).await;
    waited.unwrap_or_else(|_| panic!("{what} did not come"))
}

async fn hears(heard: &mut Subscription, nth: usize) {
    let delivery = soon(&format!("number {nth}"), heard.next()).await.unwrap();
    assert_eq!(delivery.payload, number(nth));
}

/// The first answer.
async fn asked(mut replies: Replies) -> Option<Reply> {
    soon("an answer", replies.next()).await
}

/// Whether the link is up, or down.
async fn link_is(bus: &dyn Bus, is_up: bool) {
    let mut link = bus.link();
    let waited = soon(&format!("is_up: {is_up}"), link.wait_for(|link| link.is_up == is_up)).await;
    assert!(waited.is_ok());
}

/// A node of its own on the servers of `url`.
async fn connect(url: &str) -> Result<DynBus, BusError> {
    connect_counted(url, &Metrics::new()).await
}

async fn connect_counted(url: &str, metrics: &Metrics) -> Result<DynBus, BusError> {
    connect_as(url, &BusAccess::default(), metrics).await
}

async fn connect_as(url: &str, access: &BusAccess, metrics: &Metrics) -> Result<DynBus, BusError> {
    tls::install();
    let url = BusUrl::Nats { url: Secret::new(url) };
    bus::connect(&url, access, BootId::new(1, rand::random()), metrics.clone()).await
}

async fn everybody_who_listens_hears_everything_in_order(bus: &dyn Bus) {
    assert!(bus.reaches_others());
    let subject = subject();
    let (mut one, mut other) = (bus.subscribe(&subject), bus.subscribe(&subject));
    bus.settled().await;
    for nth in 0..100 {
        bus.publish(&subject, number(nth));
    }
    for nth in 0..100 {
        hears(&mut one, nth).await;
        hears(&mut other, nth).await;
    }
}

async fn a_subject_is_heard_alone(bus: &dyn Bus) {
    let room = room();
    let mut heard = bus.subscribe(&Subject::room_events(room));
    bus.settled().await;
    for other in [Subject::room_signals(room), subject(), Subject::user(UserId::new(1, 1))] {
        bus.publish(&other, number(1));
    }
    bus.publish(&Subject::room_events(room), number(2));
    hears(&mut heard, 2).await;
}

async fn who_does_not_listen_any_more_holds_up_nobody(bus: &dyn Bus) {
    let (subject, other) = (subject(), subject());
    drop(bus.subscribe(&subject));
    let dropped_later = bus.subscribe(&subject);
    bus.settled().await;
    drop(dropped_later);
    bus.publish(&subject, number(1));
    let mut heard = bus.subscribe(&other);
    bus.settled().await;
    bus.publish(&other, number(2));
    hears(&mut heard, 2).await;
    assert_eq!(asked(bus.request(&subject, number(3))).await, Some(Reply::NoResponders));
}

async fn who_does_not_keep_up_loses_the_rest_and_holds_up_nobody(bus: &dyn Bus) {
    let mut link = bus.link();
    let before = link.borrow().losses;
    let subject = subject();
    let mut slow = bus.subscribe(&subject);
    let mut quick = bus.subscribe(&subject);
    bus.settled().await;
    for nth in 0..2 * SUBSCRIPTION_QUEUE {
        bus.publish(&subject, number(nth));
        hears(&mut quick, nth).await;
    }
    for nth in 0..SUBSCRIPTION_QUEUE {
        hears(&mut slow, nth).await;
    }
    soon("word of the loss", link.wait_for(|link| link.losses > before)).await.unwrap();
    // It hears what comes after.
    bus.publish(&subject, number(7));
    hears(&mut slow, 7).await;
}

async fn who_asks_hears_every_answer_and_nobody_else_does(bus: &dyn Bus) {
    let subject = subject();
    let mut heard = bus.subscribe(&subject);
    bus.settled().await;
    let (mut one, mut other) = (bus.request(&subject, number(1)), bus.request(&subject, number(2)));
    for _ in 0..2 {
        let Delivery { payload, reply } = soon("a question", heard.next()).await.unwrap();
        let reply = reply.unwrap();
        assert!(reply.is_inbox());
        bus.publish(&reply, payload.clone());
        bus.publish(&reply, number(9));
    }
    for (replies, nth) in [(&mut one, 1), (&mut other, 2)] {
        for answer in [nth, 9] {
            let told = soon("an answer", replies.next()).await;
            assert_eq!(told, Some(Reply::Answer(number(answer))));
        }
    }
}

async fn who_asks_where_nobody_listens_is_told_so(bus: &dyn Bus) {
    assert_eq!(asked(bus.request(&subject(), number(1))).await, Some(Reply::NoResponders));
}

async fn what_is_too_large_is_lost_and_holds_up_nobody(bus: &dyn Bus) {
    let subject = subject();
    let mut heard = bus.subscribe(&subject);
    bus.settled().await;
    let large = Bytes::from(vec![b'a'; bus.max_payload()]);
    bus.publish(&subject, large.clone());
    let told = soon("the largest", heard.next()).await.unwrap();
    assert_eq!(told.payload.len(), large.len());
    bus.publish(&subject, [large, number(1)].concat().into());
    bus.publish(&subject, number(2));
    hears(&mut heard, 2).await;
}
