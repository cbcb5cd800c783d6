//! Accounts.

use std::time::Duration;

use natter::domain::{Email, Generation, Page, Timestamp, User, UserId, Username};
use natter::store::{Conflict, NewUser, Store, StoreError, UserChange};

use super::contract;
use super::world::{at, group, new_user, paged, tick, user};

contract![
    an_account_is_kept_as_it_was_made,
    the_very_first_account_administers_and_no_other,
    of_many_first_accounts_at_once_one_administers,
    addresses_and_names_are_unique_in_their_folded_forms,
    of_many_accounts_of_one_name_at_once_one_is_made,
    one_signs_in_by_address_or_name_in_any_case,
    a_change_changes_what_it_names_and_nothing_else,
    a_change_to_what_is_taken_changes_nothing,
    a_name_may_change_its_case,
    revoking_raises_the_generation,
    revocations_are_known_by_their_time,
    the_last_admin_stays_one,
    two_admins_who_demote_each_other_at_once_leave_one,
    many_ways_to_lose_the_admin_at_once_leave_one,
    a_deleted_account_is_gone_and_its_name_is_free,
    a_deleted_account_leaves_nothing_personal,
    what_is_not_there_cannot_be_changed,
    accounts_page_by_id_without_gap_or_repeat,
    people_are_found_by_the_start_of_their_name,
    every_character_of_a_searched_name_is_literal,
    a_disabled_account_is_answered_but_not_found_by_name,
];

fn conflict<T: std::fmt::Debug>(answer: natter::store::Result<T>) -> Conflict {
    match answer {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("no conflict: {other:?}"),
    }
}

fn is_not_found<T>(answer: &natter::store::Result<T>) -> bool {
    matches!(answer, Err(StoreError::NotFound))
}

fn admin(is_admin: bool) -> UserChange {
    UserChange { is_admin: Some(is_admin), ..UserChange::default() }
}

fn disabled(is_disabled: bool) -> UserChange {
    UserChange { is_disabled: Some(is_disabled), ..UserChange::default() }
}

fn ids(users: &[User]) -> Vec<UserId> {
    users.iter().map(|user| user.id).collect()
}

async fn an_account_is_kept_as_it_was_made(store: &dyn Store) {
    let new = NewUser { is_admin: true, ..new_user("Ann Zoë") };
    let made = store.create_user(new.clone()).await.unwrap();
    let expected = User {
        id: new.id,
        email: new.email,
        username: new.username,
        is_admin: true,
        is_disabled: false,
        generation: Generation(0),
        online_until: None,
        created_at: new.created_at,
    };
    assert_eq!(made, expected);
    assert_eq!(store.user(new.id).await.unwrap(), Some(expected));
    assert_eq!(store.password_hash(new.id).await.unwrap(), Some(new.password_hash));
    assert_eq!(store.user(UserId::new(tick(), 0)).await.unwrap(), None);
    assert_eq!(store.password_hash(UserId::new(tick(), 0)).await.unwrap(), None);
}

async fn the_very_first_account_administers_and_no_other(store: &dyn Store) {
    assert!(user(store, "ann").await.is_admin);
    assert!(!user(store, "bob").await.is_admin);
}

async fn of_many_first_accounts_at_once_one_administers(store: &dyn Store) {
    let made = (0..50).map(|n| store.create_user(new_user(&format!("user {n}"))));
    let made = futures::future::try_join_all(made).await.unwrap();
    assert_eq!(made.iter().filter(|user| user.is_admin).count(), 1);
}

async fn addresses_and_names_are_unique_in_their_folded_forms(store: &dyn Store) {
    user(store, "ann").await;
    let other = new_user("bob");
    let same_email = NewUser { email: Email::parse("ANN@Example.ORG").unwrap(), ..other.clone() };
    assert_eq!(conflict(store.create_user(same_email).await), Conflict::EmailTaken);
    let same_name = NewUser { username: Username::parse("Ａnn").unwrap(), ..other.clone() };
    assert_eq!(conflict(store.create_user(same_name).await), Conflict::UsernameTaken);
    let both = NewUser { id: other.id, ..new_user("ann") };
    assert_eq!(conflict(store.create_user(both).await), Conflict::EmailTaken);
    assert_eq!(store.user(other.id).await.unwrap(), None);
    store.create_user(other).await.unwrap();
}

async fn of_many_accounts_of_one_name_at_once_one_is_made(store: &dyn Store) {
    let made = futures::future::join_all((0..20).map(|_| store.create_user(new_user("ann")))).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    for refused in made.into_iter().filter(Result::is_err) {
        assert_eq!(conflict(refused), Conflict::EmailTaken);
    }
}

async fn one_signs_in_by_address_or_name_in_any_case(store: &dyn Store) {
    let ann = user(store, "Ann").await;
    for login in ["ann", "ANN", "ａnn", "ann@example.org", "ANN@EXAMPLE.org"] {
        let (found, hash) = store.user_by_login(login).await.unwrap().unwrap();
        assert_eq!((found, hash.as_str()), (ann.clone(), "$2b$04$Ann"), "{login}");
    }
    for login in ["", "an", "ann%", "%", "_nn", "ann@example", "ann\0"] {
        assert_eq!(store.user_by_login(login).await.unwrap(), None, "{login}");
    }
}

async fn a_change_changes_what_it_names_and_nothing_else(store: &dyn Store) {
    let before = user(store, "ann").await;
    let same = store.update_user(before.id, UserChange::default()).await.unwrap();
    assert_eq!(same, before);
    let change = UserChange {
        email: Some(Email::parse("new@example.org").unwrap()),
        username: Some(Username::parse("anna").unwrap()),
        password_hash: Some("$2b$04$new".to_owned()),
        online_until: Some(Some(at(5))),
        ..UserChange::default()
    };
    let after = store.update_user(before.id, change).await.unwrap();
    assert_eq!((after.email.as_str(), after.username.as_str()), ("new@example.org", "anna"));
    assert_eq!((after.online_until, after.generation), (Some(at(5)), Generation(0)));
    assert_eq!(store.user(before.id).await.unwrap(), Some(after.clone()));
    assert_eq!(store.password_hash(before.id).await.unwrap().unwrap(), "$2b$04$new");
    assert_eq!(store.user_by_login("ann").await.unwrap(), None);
    assert_eq!(store.user_by_login("anna").await.unwrap().unwrap().0, after);
    let same = store.update_user(before.id, UserChange::default()).await.unwrap();
    assert_eq!(same, after);
    let offline = UserChange { online_until: Some(None), ..UserChange::default() };
    assert_eq!(store.update_user(before.id, offline).await.unwrap().online_until, None);
    user(store, "ann").await;
}

async fn a_change_to_what_is_taken_changes_nothing(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    let taken = UserChange {
        username: Some(Username::parse("bobby").unwrap()),
        email: Some(bob.email.clone()),
        ..UserChange::default()
    };
    assert_eq!(conflict(store.update_user(ann.id, taken).await), Conflict::EmailTaken);
    let taken =
        UserChange { username: Some(Username::parse("BOB").unwrap()), ..UserChange::default() };
    assert_eq!(conflict(store.update_user(ann.id, taken).await), Conflict::UsernameTaken);
    assert_eq!(store.user(ann.id).await.unwrap(), Some(ann));
}

async fn a_name_may_change_its_case(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let change =
        UserChange { username: Some(Username::parse("ANN").unwrap()), ..UserChange::default() };
    assert_eq!(store.update_user(ann.id, change).await.unwrap().username.as_str(), "ANN");
}

async fn revoking_raises_the_generation(store: &dyn Store) {
    let ann = user(store, "ann").await;
    let revoke = UserChange { revoke: true, ..UserChange::default() };
    let once = store.update_user(ann.id, revoke.clone()).await.unwrap();
    let twice = store.update_user(ann.id, revoke).await.unwrap();
    assert_eq!((once.generation, twice.generation), (Generation(1), Generation(2)));
}

async fn revocations_are_known_by_their_time(store: &dyn Store) {
    let before = Timestamp::now();
    let [ann, bob, eve] =
        [user(store, "ann").await, user(store, "bob").await, user(store, "eve").await];
    assert_eq!(store.revoked(before).await.unwrap(), []);
    let revoke = UserChange { revoke: true, ..UserChange::default() };
    store.update_user(ann.id, disabled(false)).await.unwrap();
    store.update_user(bob.id, revoke).await.unwrap();
    store.remove_user(eve.id).await.unwrap();
    let revoked = store.revoked(before).await.unwrap();
    let ids: Vec<_> = revoked.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [bob.id, eve.id]);
    assert!(revoked.iter().all(|(_, at)| (before..=Timestamp::now()).contains(at)));
    assert_eq!(store.revoked(Timestamp::now().plus(Duration::from_secs(1))).await.unwrap(), []);
}

async fn the_last_admin_stays_one(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    for change in [admin(false), disabled(true)] {
        assert_eq!(conflict(store.update_user(ann.id, change).await), Conflict::LastAdmin);
    }
    assert_eq!(conflict(store.remove_user(ann.id).await), Conflict::LastAdmin);
    assert_eq!(store.user(ann.id).await.unwrap(), Some(ann.clone()));
    // A disabled admin administers nothing, so it does not count.
    store.update_user(bob.id, admin(true)).await.unwrap();
    store.update_user(bob.id, disabled(true)).await.unwrap();
    assert_eq!(conflict(store.remove_user(ann.id).await), Conflict::LastAdmin);
    store.update_user(bob.id, disabled(false)).await.unwrap();
    store.remove_user(ann.id).await.unwrap();
    assert_eq!(conflict(store.remove_user(bob.id).await), Conflict::LastAdmin);
}

async fn two_admins_who_demote_each_other_at_once_leave_one(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    store.update_user(bob.id, admin(true)).await.unwrap();
    let answers = tokio::join!(
        store.update_user(ann.id, admin(false)),
        store.update_user(bob.id, admin(false))
    );
    assert!(answers.0.is_ok() ^ answers.1.is_ok(), "{answers:?}");
}

async fn many_ways_to_lose_the_admin_at_once_leave_one(store: &dyn Store) {
    let mut admins = Vec::new();
    for n in 0..9 {
        let one = user(store, &format!("user {n}")).await;
        admins.push(store.update_user(one.id, admin(true)).await.unwrap().id);
    }
    let lost =
        futures::future::join_all(admins.iter().enumerate().map(async |(n, id)| match n % 3 {
            0 => store.update_user(*id, admin(false)).await.map(drop),
            1 => store.update_user(*id, disabled(true)).await.map(drop),
            _ => store.remove_user(*id).await,
        }));
    let kept = lost.await.into_iter().filter(Result::is_err).map(conflict).collect::<Vec<_>>();
    assert_eq!(kept, [Conflict::LastAdmin]);
    let users = store.users(Page::first(100)).await.unwrap();
    assert_eq!(users.iter().filter(|user| user.is_admin && !user.is_disabled).count(), 1);
}

async fn a_deleted_account_is_gone_and_its_name_is_free(store: &dyn Store) {
    let (ann, bob) = (user(store, "ann").await, user(store, "bob").await);
    store.remove_user(bob.id).await.unwrap();
    assert_eq!(store.user(bob.id).await.unwrap(), None);
    assert_eq!(store.password_hash(bob.id).await.unwrap(), None);
    assert_eq!(store.user_by_login("bob").await.unwrap(), None);
    assert_eq!(store.user_by_login("bob@example.org").await.unwrap(), None);
    assert_eq!(store.user_by_login("").await.unwrap(), None);
    assert_eq!(store.user_by_login("(deleted)").await.unwrap(), None);
    assert_eq!(ids(&store.users(Page::first(10)).await.unwrap()), [ann.id]);
    assert!(store.users_by_name("bob", Page::first(10)).await.unwrap().is_empty());
    assert!(is_not_found(&store.update_user(bob.id, UserChange::default()).await));
    assert!(is_not_found(&store.remove_user(bob.id).await));
    let again = user(store, "bob").await;
    assert!(again.id != bob.id && !again.is_admin);
}

async fn a_deleted_account_leaves_nothing_personal(store: &dyn Store) {
    user(store, "ann").await;
    let (bob, cat) = (user(store, "bob").await, user(store, "cat").await);
    let room = group(store, &bob, &[&cat]).await;
    store.remove_user(bob.id).await.unwrap();
    let owner = store.room(room).await.unwrap().unwrap().owner;
    assert_eq!(
        (owner.id, owner.email.as_str(), owner.username.as_str()),
        (bob.id, "", "(deleted)")
    );
    let membership = store.membership(room, bob.id).await.unwrap().unwrap();
    assert_eq!(membership.user.username.as_str(), "(deleted)");
    assert!(membership.user.generation > bob.generation && membership.user.is_disabled);
}

async fn what_is_not_there_cannot_be_changed(store: &dyn Store) {
    let nobody = UserId::new(tick(), 0);
    assert!(is_not_found(&store.update_user(nobody, admin(true)).await));
    assert!(is_not_found(&store.remove_user(nobody).await));
}

async fn accounts_page_by_id_without_gap_or_repeat(store: &dyn Store) {
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(user(store, &format!("user {n}")).await.id);
    }
    for limit in [1, 2, 3, 7, 10] {
        let found = paged!(limit, |user: &User| user.id, |page| store.users(page));
        assert_eq!(ids(&found), made, "{limit}");
        let found = paged!(limit, |user: &User| user.id, |page| store.users_by_name("user ", page));
        assert_eq!(ids(&found), made, "{limit}");
    }
    let skipped = store.users(Page { after: Some(made[1]), skip: 2, limit: 2 }).await.unwrap();
    assert_eq!(ids(&skipped), made[4..6]);
}

async fn people_are_found_by_the_start_of_their_name(store: &dyn Store) {
    let (zoe, ann) = (user(store, "Zoe").await, user(store, "ann").await);
    let anna = user(store, "ANNA").await;
    let joann = user(store, "joann").await;
    for (prefix, found) in [
        ("ann", vec![ann.id, anna.id]),
        ("anna", vec![anna.id]),
        ("annab", vec![]),
        ("z", vec![zoe.id]),
        ("", vec![zoe.id, ann.id, anna.id, joann.id]),
    ] {
        let answer = store.users_by_name(prefix, Page::first(10)).await.unwrap();
        assert_eq!(ids(&answer), found, "{prefix}");
    }
}

async fn every_character_of_a_searched_name_is_literal(store: &dyn Store) {
    user(store, "ann").await;
    let under = user(store, "a_n").await;
    let dotted = user(store, "a.n").await;
    for (prefix, found) in [
        ("a_", vec![under.id]),
        ("a.", vec![dotted.id]),
        ("%", vec![]),
        ("_", vec![]),
        ("a%", vec![]),
        ("a\\", vec![]),
        ("*", vec![]),
        ("[a]", vec![]),
        ("^a", vec![]),
        (".", vec![]),
        ("a\0", vec![]),
        ("'", vec![]),
        ("' or 1=1 --", vec![]),
    ] {
        let answer = store.users_by_name(prefix, Page::first(10)).await.unwrap();
        assert_eq!(ids(&answer), found, "{prefix}");
    }
}

async fn a_disabled_account_is_answered_but_not_found_by_name(store: &dyn Store) {
    user(store, "ann").await;
    let bob = user(store, "bob").await;
    store.update_user(bob.id, disabled(true)).await.unwrap();
    assert!(store.user(bob.id).await.unwrap().unwrap().is_disabled);
    assert!(store.user_by_login("bob").await.unwrap().unwrap().0.is_disabled);
    assert_eq!(store.users(Page::first(10)).await.unwrap().len(), 2);
    assert!(store.users_by_name("bo", Page::first(10)).await.unwrap().is_empty());
}
