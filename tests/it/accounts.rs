//! Accounts: signing up and in, tokens and their end, passwords, finding people.

use std::time::Duration;

use natter::config::{FirstAdmin, Limit, Secret, Signup};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Person, TestNode};

fn account(name: &str) -> Value {
    json!({"email": format!("{name}@example.org"), "username": name, "password": PASSWORD})
}

#[tokio::test]
async fn the_first_account_administers_also_when_many_sign_up_at_once() {
    let node = TestNode::start().await;
    let people: Vec<Person> = (0..8).map(|_| node.anonymous()).collect();
    let signing_up =
        people.iter().enumerate().map(|(i, one)| one.post("/signup", account(&format!("p{i}"))));
    let answers = futures::future::join_all(signing_up).await;
    let admins = answers.into_iter().filter(|one| one.body["is_admin"] == true).count();
    assert_eq!(admins, 1);
}

#[tokio::test]
async fn signing_up_answers_the_user_without_the_password() {
    let node = TestNode::start().await;
    let user = node.anonymous().post("/signup", account("ann")).await.is(201);
    let id = user["id"].as_str().unwrap();
    let expected = json!({"id": id, "email": "ann@example.org", "username": "ann", "is_online": false, "is_admin": true});
    assert_eq!(user, expected);
}

#[tokio::test]
async fn a_taken_address_or_name_is_told_and_costs_as_much_as_an_account() {
    let node = TestNode::start().await;
    node.sign_up("ann").await;
    for (email, username, code) in [
        ("Ann@Example.ORG", "other", "email_taken"),
        ("other@example.org", "ANN", "username_taken"),
        ("other@example.org", "ａnn", "username_taken"),
    ] {
        let before = node.app().passwords.calls();
        let body = json!({"email": email, "username": username, "password": PASSWORD});
        node.anonymous().post("/signup", body).await.refused(400, code);
        assert_eq!(node.app().passwords.calls() - before, 1, "{username}");
    }
}

#[tokio::test]
async fn a_malformed_sign_up_names_every_wrong_field_and_hashes_nothing() {
    let node = TestNode::start().await;
    let wrong = json!({"email": "x", "username": "a\u{200b}b", "password": "x".repeat(73)});
    let refused = node.anonymous().post("/signup", wrong).await.refused(422, "invalid");
    let fields: Vec<&Value> =
        refused["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["email", "username", "password"]);
    for field in ["email", "username", "password"] {
        for value in
            [json!(null), json!(""), json!(5), json!({"$gt": ""}), json!(["x"]), json!("\0")]
        {
            let mut body = account("ann");
            body[field] = value;
            let refused = node.anonymous().post("/signup", body).await.refused(422, "invalid");
            assert_eq!(refused["errors"][0]["field"], field);
        }
    }
    let long =
        json!({"email": "a@example.org", "username": "a", "password": "x".repeat(1_000_000)});
    node.anonymous().post("/signup", long).await.refused(422, "invalid");
    assert_eq!(node.app().passwords.calls(), 0);
}

#[tokio::test]
async fn whoever_cannot_sign_in_hears_the_same_at_the_same_cost() {
    let node = TestNode::start().await;
    node.sign_up("boss").await;
    let ann = node.sign_up("ann").await;
    let boss = node.sign_in("boss", PASSWORD).await;
    let path = format!("/admin/users/{}", node.sign_up("shut").await.id());
    boss.patch(&path, json!({"is_disabled": true})).await.is(200);
    let mut answers = Vec::new();
    let long = "x".repeat(100);
    for (name, password) in [
        ("ann", "wrong"),
        ("nobody", "wrong"),
        ("shut", PASSWORD),
        ("ann", &long),
        ("ann", "a\0b"),
        ("ann", ""),
        ("", ""),
    ] {
        let before = node.app().passwords.calls();
        let refused = node.anonymous().token(name, password).await.refused(401, "unauthorized");
        assert_eq!(node.app().passwords.calls() - before, 1, "{name}");
        answers.push(refused);
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    ann.get("/users/me").await.is(200);
}

#[tokio::test]
async fn a_token_is_given_for_the_name_and_the_address_in_any_case() {
    let node = TestNode::start().await;
    let ann = node.sign_up("Ann").await;
    for name in ["Ann", "ann", "ANN@EXAMPLE.ORG", "ann@example.org"] {
        let answer = node.anonymous().token(name, PASSWORD).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        let token = answer.is(200);
        assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("bearer"), &json!(1800)));
        let one = Person::with_token(node.url(), token["access_token"].as_str().unwrap());
        assert_eq!(one.get("/users/me").await.is(200)["id"], ann.id());
    }
    let renewed = ann.post("/refresh-token", Value::Null).await.is(200);
    let renewed = Person::with_token(node.url(), renewed["access_token"].as_str().unwrap());
    assert_eq!(renewed.get("/users/me").await.is(200)["id"], ann.id());
}

#[tokio::test]
async fn a_token_form_without_its_fields_and_json_are_422() {
    let node = TestNode::start().await;
    let one = node.anonymous();
    for form in [
        vec![],
        vec![("username", "x")],
        vec![("username[$gt]", ""), ("password", "x")],
        vec![("username", "a"), ("username", "b"), ("password", "c")],
    ] {
        Answer::of(one.request(Method::POST, "/token").form(&form)).await.refused(422, "invalid");
    }
    let nothing = one.request(Method::POST, "/token").body("");
    Answer::of(nothing).await.refused(422, "invalid");
    let json = json!({"username": {"$gt": ""}, "password": "x"});
    one.post("/token", json).await.refused(422, "invalid");
    let json = json!({"username": "ann", "password": "x"});
    one.post("/token", json).await.refused(422, "invalid");
}

#[tokio::test]
async fn only_the_authorization_header_opens_anything() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let token = ann.token.clone().unwrap();
    let one = node.anonymous();
    for request in [
        one.request(Method::GET, &format!("/users/me?token={token}")),
        one.request(Method::GET, &format!("/users/me?access_token={token}")),
        one.request(Method::GET, "/users/me").header("cookie", format!("access_token={token}")),
        one.request(Method::GET, "/users/me").header("authorization", &token),
        one.request(Method::GET, "/users/me").header("authorization", format!("Basic {token}")),
        one.request(Method::GET, "/users/me").header("authorization", format!("Bearer {token} x")),
        one.request(Method::GET, "/users/me").bearer_auth(&token).bearer_auth(&token),
        one.request(Method::GET, "/users/me").bearer_auth("x".repeat(8_000)),
    ] {
        Answer::of(request).await.refused(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_new_password_ends_every_older_token() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    let other = node.sign_in("ann", PASSWORD).await;
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let path = "/users/me/password";
    ann.put(path, change("wrong", "new one")).await.refused(403, "forbidden");
    ann.put(path, change(PASSWORD, &"€".repeat(25))).await.refused(422, "invalid");
    ann.get("/users/me").await.is(200);
    let token = ann.put(path, change(PASSWORD, "new one")).await.is(200);
    for older in [&ann, &other] {
        older.get("/users/me").await.refused(401, "unauthorized");
    }
    let renewed = Person::with_token(node.url(), token["access_token"].as_str().unwrap());
    renewed.get("/users/me").await.is(200);
    node.anonymous().token("ann", PASSWORD).await.refused(401, "unauthorized");
    node.sign_in("ann", "new one").await.get("/users/me").await.is(200);
}

#[tokio::test]
async fn logging_out_everywhere_ends_tokens_and_the_declared_status() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    ann.put("/user/online-status", json!(true)).await.is(200);
    ann.post("/users/me/log-out-everywhere", Value::Null).await.is(204);
    for (method, path) in [(Method::GET, "/users/me"), (Method::POST, "/refresh-token")] {
        Answer::of(ann.request(method, path)).await.refused(401, "unauthorized");
    }
    let again = node.sign_in("ann", PASSWORD).await;
    assert_eq!(again.get("/users/me").await.is(200)["is_online"], false);
}

#[tokio::test]
async fn a_declared_status_is_a_boolean_bare_or_named() {
    let node = TestNode::start().await;
    let ann = node.sign_up("ann").await;
    for (body, is_online) in [
        (json!(true), true),
        (json!(false), false),
        (json!({"is_online": true}), true),
        (json!({"is_online": false}), false),
    ] {
        let said = ann.put("/user/online-status", body).await.is(200);
        assert!(said["message"].is_string());
        assert_eq!(ann.get("/users/me").await.is(200)["is_online"], is_online);
    }
    for body in
        [json!(null), json!(1), json!("true"), json!([true]), json!({}), json!({"is_online": null})]
    {
        ann.put("/user/online-status", body).await.refused(422, "invalid");
    }
}

#[tokio::test]
async fn a_declared_status_ends_with_its_token() {
    let node = TestNode::with(|config| config.auth.token_lifetime = Duration::from_secs(1)).await;
    let ann = node.sign_up("ann").await;
    ann.put("/user/online-status", json!(true)).await.is(200);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let mut now_and_then = tokio::time::interval(Duration::from_millis(100));
    // A token is accepted for five seconds more, for clocks that differ.
    while ann.get("/users/me").await.is(200)["is_online"] == true {
        assert!(tokio::time::Instant::now() < deadline, "still online");
        now_and_then.tick().await;
    }
}

#[tokio::test]
async fn people_are_found_by_the_literal_start_of_their_name_in_pages() {
    let node = TestNode::start().await;
    let ann = node.sign_up("Ann").await;
    for name in ["anna", "Anton", "bert", "a_b", "axb"] {
        node.sign_up(name).await;
    }
    let names = async |query: &str| {
        let found = ann.get(&format!("/users?name={query}")).await.is(200);
        let names = found.as_array().unwrap().iter();
        names.map(|one| one["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("an").await, ["Ann", "anna", "Anton"]);
    assert_eq!(names("AN").await, ["Ann", "anna", "Anton"]);
    assert_eq!(names("a_").await, ["a_b"]);
    for none in ["%25", ".*", "nn", "(a%2B)%2B$", "'%20OR%201=1--", &"a".repeat(10_000)] {
        assert_eq!(names(none).await, [""; 0], "{none}");
    }
    let first = ann.get("/users?name=an&limit=2").await;
    let next = first.header("link").to_owned();
    let next = next.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    assert_eq!(first.is(200).as_array().unwrap().len(), 2);
    let last = ann.get(next).await;
    assert_eq!(last.header("link"), "");
    assert_eq!(last.is(200)[0]["username"], "Anton");
    ann.get("/users").await.refused(422, "invalid");
    ann.get("/users?name=").await.refused(422, "invalid");
    ann.get("/users?name=a&limit=0").await.refused(422, "invalid");
    ann.get("/users?name=a&limit=x").await.refused(422, "invalid");
}

#[tokio::test]
async fn the_eleventh_attempt_within_a_minute_waits_whoever_it_is_for() {
    let node = TestNode::start().await;
    node.sign_up("ann").await;
    for name in ["ann", "nobody"] {
        let attempts = if name == "ann" { 9 } else { 10 }; // Ann has signed in once.
        for _ in 0..attempts {
            node.anonymous().token(name, "wrong").await.refused(401, "unauthorized");
        }
        let answer = node.anonymous().token(&name.to_uppercase(), PASSWORD).await;
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait));
        answer.refused(429, "rate_limited");
    }
    // From an address that a proxy of ours vouches for, the owner still gets in.
    let proxied =
        TestNode::with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()])
            .await;
    proxied.sign_up("ann").await;
    let from = async |address: &str, password: &str| {
        let form = [("username", "ann"), ("password", password)];
        let one = proxied.anonymous();
        let request = one.request(Method::POST, "/token").header("x-forwarded-for", address);
        Answer::of(request.form(&form)).await.status
    };
    for _ in 0..10 {
        assert_eq!(from("192.0.2.1", "wrong").await, 401);
    }
    assert_eq!(from("192.0.2.1", PASSWORD).await, 429);
    assert_eq!(from("198.51.100.1", PASSWORD).await, 200);
}

#[tokio::test]
async fn sign_ups_are_limited_by_address_and_can_be_closed() {
    let node = TestNode::with(|config| config.limits.signups_per_minute = Limit::new(2)).await;
    for name in ["a", "b"] {
        node.anonymous().post("/signup", account(name)).await.is(201);
    }
    node.anonymous().post("/signup", account("c")).await.refused(429, "rate_limited");
    let closed = TestNode::with(|config| config.signup = Signup::Closed).await;
    closed.anonymous().post("/signup", account("a")).await.refused(403, "signup_closed");
}

#[tokio::test]
async fn the_first_administrator_can_be_fixed_in_advance() {
    let node = TestNode::with(|config| {
        config.auth.first_admin = Some(FirstAdmin {
            email: "boss@example.org".to_owned(),
            username: "boss".to_owned(),
            password: Secret::new(PASSWORD),
            password_file: None,
        });
    })
    .await;
    let ann = node.sign_up("ann").await;
    assert_eq!(ann.user["is_admin"], false);
    let boss = node.sign_in("boss", PASSWORD).await;
    assert_eq!(boss.get("/users/me").await.is(200)["is_admin"], true);
    // Once there is an administrator, what is configured opens nothing any more.
    let me = boss.get("/users/me").await.body["id"].as_str().unwrap().to_owned();
    boss.patch(
        &format!("/admin/users/{me}"),
        json!({"email": "new@example.org", "username": "chief"}),
    )
    .await
    .is(200);
    natter::service::accounts::ensure_first_admin(node.app()).await.unwrap();
    node.anonymous().token("boss", PASSWORD).await.refused(401, "unauthorized");
}
