//! Who may call what: every documented route, called by everybody. A route that is not in the table fails.

use std::collections::BTreeSet;

use futures::StreamExt;
use reqwest::{Method, RequestBuilder, multipart};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Person, TestNode};

/// Who calls, in the order of the columns. The administrator is in no room; nor is the outsider.
const CALLERS: [&str; 5] = ["anonymous", "outsider", "member", "owner", "admin"];

type Statuses = [u16; 5];
/// Method, path, what each caller gets.
type Rule = (&'static str, &'static str, Statuses);

const fn everybody(status: u16) -> Statuses {
    [status; 5]
}

const fn users(status: u16) -> Statuses {
    [401, status, status, status, status]
}

const fn members(status: u16) -> Statuses {
    [401, 403, status, status, 403]
}

const fn the_owner(status: u16) -> Statuses {
    [401, 403, 403, status, 403]
}

const fn admins(status: u16) -> Statuses {
    [401, 403, 403, 403, status]
}

/// What each caller gets for a call that is right, about a group room.
const RULES: &[Rule] = &[
    ("POST", "/signup", everybody(201)),
    ("POST", "/token", everybody(200)),
    ("GET", "/media/{token}", everybody(404)), // The link itself is the right; this one is made up.
    ("POST", "/refresh-token", users(200)),
    ("GET", "/users", users(200)),
    ("GET", "/users/me", users(200)),
    ("GET", "/users/me/export", users(200)),
    ("PUT", "/users/me/password", users(200)),
    ("POST", "/users/me/log-out-everywhere", users(204)),
    ("PUT", "/user/online-status", users(200)),
    ("POST", "/user/submitted-chat-rooms", users(200)),
    ("POST", "/chat-rooms", users(200)),
    ("GET", "/chat-rooms", users(200)),
    ("GET", "/search-chat-rooms", users(200)),
    ("GET", "/chat-room/{id}", users(200)),
    ("POST", "/pv-chat-room", users(200)),
    ("GET", "/pv-online-users", users(200)),
    ("POST", "/join-request", [401, 200, 400, 400, 200]),
    ("GET", "/chat-room-details", the_owner(200)),
    ("DELETE", "/delete-chat-room", the_owner(204)),
    ("GET", "/join-request-details", the_owner(200)),
    ("POST", "/handle-join-request", the_owner(200)),
    ("GET", "/rooms-online-users", members(200)),
    ("GET", "/chat-rooms/{id}/members", members(200)),
    ("DELETE", "/chat-rooms/{id}/members/me", [401, 403, 204, 409, 403]),
    ("DELETE", "/chat-rooms/{id}/members/{user_id}", the_owner(204)),
    ("GET", "/chat-rooms/{id}/messages", members(200)),
    ("POST", "/chat-rooms/{id}/messages", members(201)),
    ("GET", "/chat-rooms/{id}/messages/{message_id}", members(200)),
    ("PUT", "/chat-rooms/{id}/read-marker", members(200)),
    ("GET", "/chat-rooms/{id}/retention", members(200)),
    ("PUT", "/chat-rooms/{id}/retention", the_owner(200)),
    ("POST", "/chat-rooms/{id}/typing", members(204)),
    ("POST", "/chat-rooms/{id}/attachments", members(201)),
    ("GET", "/admin/users", admins(200)),
    ("POST", "/admin/users", admins(201)),
    ("GET", "/admin/users/{id}", admins(200)),
    ("PATCH", "/admin/users/{id}", admins(200)),
    ("DELETE", "/admin/users/{id}", admins(204)),
    ("POST", "/admin/users/{id}/erasure", admins(202)),
    ("GET", "/admin/users/{id}/export", admins(200)),
    ("GET", "/admin/chat-rooms", admins(200)),
    ("POST", "/admin/chat-rooms", admins(200)),
    ("GET", "/admin/chat-rooms/{id}", admins(200)),
    ("PATCH", "/admin/chat-rooms/{id}", admins(200)),
    ("DELETE", "/admin/chat-rooms/{id}", admins(204)),
    ("GET", "/admin/chat-rooms/{id}/retention", admins(200)),
    ("PUT", "/admin/chat-rooms/{id}/retention", admins(200)),
    ("GET", "/admin/chat-rooms/private/{id}", admins(200)),
    ("GET", "/admin/join-requests", admins(200)),
    ("GET", "/admin/join-requests/{id}", admins(200)),
    ("DELETE", "/admin/join-requests/{id}", admins(204)),
    ("GET", "/admin/chat-room-sessions", admins(200)),
    ("GET", "/admin/chat-room-sessions/{id}", admins(200)),
    ("DELETE", "/admin/chat-room-sessions/{id}", admins(204)),
    ("GET", "/admin/messages", admins(200)),
    ("DELETE", "/admin/clear_messages", admins(204)),
];

/// A group room and a private one, with people around them.
struct World {
    callers: Vec<Person>,
    bystander: String,
    room: String,
    private: String,
    member: String,
    membership: String,
    request: String,
    message: String,
    number: usize,
}

impl World {
    async fn make(node: &TestNode, boss: &Person, number: usize) -> Self {
        let sign_up = async |role: &str| node.sign_up(&format!("{role}{number}")).await;
        let (outsider, member) = (sign_up("outsider").await, sign_up("member").await);
        let (owner, admin) = (sign_up("owner").await, sign_up("deputy").await);
        let (asker, bystander) = (sign_up("asker").await, sign_up("bystander").await);
        let path = format!("/admin/users/{}", admin.id());
        boss.patch(&path, json!({"is_admin": true})).await.is(200);

        let room = owner.create_room("a room").await;
        let membership = member.enter(&room, &owner).await;
        let asked = asker.post("/join-request", json!({"chat_room_id": room})).await.is(200);
        let said = json!({"content": "hello"});
        let message = owner.post(&format!("/chat-rooms/{room}/messages"), said).await.is(201);
        let pair = json!({"addressed_users_id": member.id()});
        let private = owner.post("/pv-chat-room", pair).await.is(200);
        Self {
            bystander: bystander.id().to_owned(),
            private: text(&private["chat_room"]["id"]),
            request: text(&asked["id"]),
            message: text(&message["id"]),
            member: member.id().to_owned(),
            callers: vec![node.anonymous(), outsider, member, owner, admin],
            room,
            membership,
            number,
        }
    }

    /// The path of `route` with its query, about `room`.
    fn path(&self, route: &str, room: &str) -> String {
        let (id, query) = match route {
            "/users" => ("", "?name=outsider".to_owned()),
            "/join-request-details" => ("", format!("?join_request_id={}", self.request)),
            "/chat-room-details"
            | "/delete-chat-room"
            | "/search-chat-rooms"
            | "/rooms-online-users" => ("", format!("?chat_room_id={room}")),
            "/admin/users/{id}" | "/admin/users/{id}/erasure" | "/admin/users/{id}/export" => {
                (&*self.bystander, String::new())
            }
            "/admin/join-requests/{id}" => (&*self.request, String::new()),
            "/admin/chat-room-sessions/{id}" => (&*self.membership, String::new()),
            "/admin/chat-rooms/private/{id}" => (&*self.private, String::new()),
            "/admin/chat-rooms" => ("", "?is_group=true".to_owned()),
            _ => (room, String::new()),
        };
        let path = route.replace("{id}", id).replace("{user_id}", &self.member);
        path.replace("{message_id}", &self.message).replace("{token}", "made-up") + &query
    }

    fn with_body(&self, request: RequestBuilder, route: &str, room: &str) -> RequestBuilder {
        let name = format!("new{}x{}", self.number, rand::random::<u16>());
        let account =
            json!({"email": format!("{name}@example.org"), "username": name, "password": PASSWORD});
        let body = match route {
            "POST /token" => {
                let name = format!("bystander{}", self.number);
                return request.form(&[("username", &*name), ("password", PASSWORD)]);
            }
            "POST /chat-rooms/{id}/attachments" => {
                let part = multipart::Part::text("a file").file_name("a.txt");
                return request.multipart(multipart::Form::new().part("file", part));
            }
            "POST /signup" | "POST /admin/users" => account,
            "PUT /users/me/password" => {
                json!({"current_password": PASSWORD, "new_password": "another"})
            }
            "PUT /user/online-status" => json!(true),
            "POST /user/submitted-chat-rooms" => json!({"is_group": true}),
            "POST /chat-rooms" | "POST /admin/chat-rooms" => json!({"name": "another room"}),
            "POST /pv-chat-room" => json!({"addressed_users_id": self.bystander}),
            "POST /join-request" => json!({"chat_room_id": room}),
            "POST /handle-join-request" => {
                json!({"join_request_id": self.request, "approval_status": true})
            }
            "POST /chat-rooms/{id}/messages" => json!({"content": "hello"}),
            "PUT /chat-rooms/{id}/read-marker" => json!({"seq": 1}),
            "PUT /chat-rooms/{id}/retention" | "PUT /admin/chat-rooms/{id}/retention" => {
                json!({"days": 30})
            }
            "POST /chat-rooms/{id}/typing" => json!({"is_typing": true}),
            "POST /admin/users/{id}/erasure"
            | "PATCH /admin/users/{id}"
            | "PATCH /admin/chat-rooms/{id}" => json!({}),
            _ => return request,
        };
        request.json(&body)
    }

    async fn call(&self, caller: usize, method: &str, route: &str, room: &str) -> Answer {
        let method: Method = method.parse().unwrap();
        let request = self.callers[caller].request(method.clone(), &self.path(route, room));
        Answer::of(self.with_body(request, &format!("{method} {route}"), room)).await
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn documented(node: &TestNode) -> BTreeSet<(String, String)> {
    let document = node.anonymous().get("/openapi.json").await.is(200);
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| (method.to_uppercase(), path.clone()))
    });
    calls.collect()
}

/// The rules of the routes that are served.
async fn rules(node: &TestNode) -> Vec<&'static Rule> {
    let documented = documented(node).await;
    let is_served =
        |(method, path, _): &&Rule| documented.contains(&(method.to_string(), path.to_string()));
    RULES.iter().filter(is_served).collect()
}

#[tokio::test]
async fn every_route_says_who_may_call_it() {
    let node = TestNode::start().await;
    for (method, path) in documented(&node).await {
        let is_ruled = RULES.iter().any(|(m, p, _)| (*m, *p) == (&*method, &*path));
        assert!(is_ruled, "{method} {path} is served, but nothing here says who may call it");
    }
}

#[tokio::test]
async fn everybody_gets_what_the_table_says() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let rules = rules(&node).await;
    // What takes something from everybody is tried when the others are through.
    let (last, first): (Vec<_>, Vec<_>) =
        rules.into_iter().enumerate().partition(|(_, rule)| rule.1.contains("clear_messages"));
    for rules in [first, last] {
        let (node, boss) = (&node, &boss);
        futures::stream::iter(rules)
            .for_each_concurrent(8, |(row, rule)| async move { obey(node, boss, row, rule).await })
            .await;
    }
}

async fn obey(node: &TestNode, boss: &Person, row: usize, (method, route, statuses): &Rule) {
    let number = row * 10;
    let shared = World::make(node, boss, number).await;
    // Whoever changes nothing, by reading or by being refused, comes first and shares a world.
    let changes = |status: u16| *method != "GET" && status < 400;
    let mut callers: Vec<(usize, u16)> = statuses.iter().copied().enumerate().collect();
    callers.sort_by_key(|(_, status)| changes(*status));
    for (caller, status) in callers {
        let fresh = match changes(status) {
            true => Some(World::make(node, boss, number + 1 + caller).await),
            false => None,
        };
        let world = fresh.as_ref().unwrap_or(&shared);
        let answer = world.call(caller, method, route, &world.room).await;
        let who = CALLERS[caller];
        assert_eq!(answer.status, status, "{who} {method} {route}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_private_room_of_others_is_as_if_it_were_not() {
    let node = TestNode::start().await;
    let boss = node.sign_up("boss").await;
    let world = World::make(&node, &boss, 0).await;
    let unknown = "0".repeat(24);
    let about_a_room = |route: &&Rule| {
        let is_private_matter = !route.1.starts_with("/admin") && !route.1.contains("join-request");
        is_private_matter && world.path(route.1, &world.private).contains(&world.private)
    };
    for (method, route, _) in rules(&node).await.into_iter().filter(about_a_room) {
        let anonymous = world.call(0, method, route, &world.private).await;
        assert_eq!(anonymous.status, 401, "{method} {route}");
        for caller in [1, 4] {
            let private = world.call(caller, method, route, &world.private).await;
            let nothing = world.call(caller, method, route, &unknown).await;
            assert_eq!(
                private.status, 404,
                "{} {method} {route}: {}",
                CALLERS[caller], private.body
            );
            assert_eq!(private.body, nothing.body, "{method} {route}");
        }
    }
}

#[tokio::test]
async fn nothing_is_told_before_it_is_known_who_asks() {
    let node = TestNode::start().await;
    let outsider = {
        node.sign_up("boss").await;
        node.sign_up("outsider").await
    };
    for (method, route, statuses) in rules(&node).await {
        let path =
            route.replace("{id}", "x").replace("{user_id}", "x").replace("{message_id}", "x");
        let request = |person: &Person| {
            let request = person.request(method.parse().unwrap(), &format!("{path}?limit=x"));
            request.header("content-type", "text/plain").body("{")
        };
        if statuses[0] == 401 {
            Answer::of(request(&node.anonymous())).await.refused(401, "unauthorized");
        }
        if route.starts_with("/admin/") {
            Answer::of(request(&outsider)).await.refused(403, "forbidden");
        }
    }
}
