//! People who come, go and come again, and what their session sockets are served of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use natter::domain::{Role, Seq, User};
use natter::room::{Change, NotServed, Scope};

use super::hall::{DEADLINE, Hall, added, command, connection, fresh_connection, sign_up};

impl Hall {
    /// Lets somebody in who has an account; the position of it.
    async fn let_in(&self, user: &User) -> Seq {
        let change = Change::Add(added(user, Role::Member));
        self.rooms.commit(self.room, command(&self.owner, change)).await.unwrap().event.seq
    }
}

/// Two stays, 2 to 4 and 6 on, with something said in and between them; the tail is 7.
async fn two_stays() -> (Hall, User) {
    let hall = Hall::new().await;
    let guest = sign_up(&hall.store, "guest").await;
    hall.let_in(&guest).await;
    hall.say(&hall.owner, "in the first stay").await.unwrap();
    hall.remove(&guest).await;
    hall.say(&hall.owner, "between").await.unwrap();
    hall.let_in(&guest).await;
    hall.say(&hall.owner, "in the second stay").await.unwrap();
    (hall, guest)
}

#[tokio::test]
async fn a_late_word_of_an_old_stay_replays_nothing() {
    let (hall, guest) = two_stays().await;
    let (session, tape) = connection(&guest, Scope::Session);
    hall.rooms.connect(&session).unwrap();
    hall.rooms.entered_here(guest.id, hall.room, Seq(2));
    hall.rooms.entered_here(guest.id, hall.room, Seq(6));
    tape.wait_for(7).await;
    let told = [(6, "member_added".to_owned()), (7, "in the second stay".to_owned())];
    assert_eq!(tape.lasting(), told);
    // Of the stay that is served, and of one before.
    hall.rooms.entered_here(guest.id, hall.room, Seq(6));
    hall.rooms.entered_here(guest.id, hall.room, Seq(2));
    hall.remove(&guest).await;
    tape.wait_for(8).await;
    hall.rooms.entered_here(guest.id, hall.room, Seq(6));
    hall.let_in(&guest).await;
    tape.wait_for(9).await;
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, [6, 7, 8, 9]);
}

#[tokio::test]
async fn a_room_that_a_session_is_told_of_at_the_start_is_not_begun_anew() {
    let (hall, guest) = two_stays().await;
    let (session, tape) = fresh_connection(&guest, Scope::Session);
    hall.rooms.connect(&session).unwrap();
    // Heard before the list is told, after it, and while the room is served.
    hall.rooms.entered_here(guest.id, hall.room, Seq(6));
    assert_eq!(session.ready([hall.room]), []);
    hall.rooms.entered_here(guest.id, hall.room, Seq(6));
    let live = hall.rooms.live_room(hall.room).await.unwrap().unwrap();
    live.serve(&session, Seq(7), Seq(7)).await.unwrap();
    hall.rooms.entered_here(guest.id, hall.room, Seq(6));
    hall.say(&hall.owner, "live").await.unwrap();
    tape.wait_for(8).await;
    assert_eq!(tape.lasting(), [(8, "live".to_owned())]);
}

#[tokio::test]
async fn a_room_entered_before_the_session_is_told_where_it_stands_comes_behind_that() {
    let hall = Hall::new().await;
    let guest = sign_up(&hall.store, "guest").await;
    let (session, tape) = fresh_connection(&guest, Scope::Session);
    hall.rooms.connect(&session).unwrap();
    let seq = hall.let_in(&guest).await;
    hall.say(&hall.owner, "welcome").await.unwrap();
    // The word of it has been taken when it is among what the list leaves over.
    let left_over = tokio::time::timeout(DEADLINE, async {
        loop {
            let left_over = session.ready([]);
            if !left_over.is_empty() {
                return left_over;
            }
            tokio::task::yield_now().await;
        }
    });
    // The first look may come before the word: then the room is served without more ado.
    tokio::select! {
        left_over = left_over => {
            for (room, came) in left_over.unwrap() {
                assert_eq!((room, came), (hall.room, seq));
                hall.rooms.entered_here(guest.id, room, came);
            }
        }
        () = tape.wait_for(3) => {}
    }
    tape.wait_for(3).await;
    assert_eq!(tape.lasting(), [(2, "member_added".to_owned()), (3, "welcome".to_owned())]);
}

#[tokio::test]
async fn who_is_gone_and_back_while_being_brought_up_is_served_again() {
    let hall = Hall::new().await;
    let guest = hall.member("guest").await;
    let long = "x".repeat(16 * 1024);
    for _ in 0..100 {
        hall.say(&hall.owner, &long).await.unwrap();
    }
    let (session, tape) = connection(&guest, Scope::Session);
    hall.rooms.connect(&session).unwrap();
    tape.stuck.store(true, Ordering::SeqCst);
    let live = hall.rooms.live_room(hall.room).await.unwrap().unwrap();
    let serving = {
        let (live, session) = (Arc::clone(&live), Arc::clone(&session));
        tokio::spawn(async move { live.serve(&session, Seq(2), Seq(102)).await })
    };
    tape.wait_for(3).await; // It is under way, and cannot go on.
    hall.remove(&guest).await;
    let back = hall.let_in(&guest).await;
    hall.say(&hall.owner, "back").await.unwrap();
    let reading = async {
        while tape.lasting().last().is_none_or(|(seq, _)| *seq <= back.0) {
            tape.flush();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap();
    assert!(matches!(serving.await.unwrap(), Err(NotServed::Over)));
    let positions: Vec<u64> = tape.lasting().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, (3..=back.0 + 1).collect::<Vec<_>>());
}
