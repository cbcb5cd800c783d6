//! Clients that come in the middle, all at once, or do not read.

use std::ops::Range;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::{NotConnected, Person, Socket, Told, create_room, sign_up};
use crate::cluster::{Cluster, Node, Shape};
use crate::history::{Clock, Sent, Tape};
use crate::run::{Run, Vitals, case};
use crate::workload::{Ear, Pace, Plan, answer};

/// How long anything of these may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x18_subscribers_come_in_the_middle_of_a_burst() {
    case("x18", async |run| {
        let pace = Pace { every: Duration::from_millis(50), burst: 6 };
        let plan = Plan { rooms: 1, writers: 3, pace, readers: 2, guests: 0, ..Plan::default() };
        let mut scene = Scene::begin(run, &Shape::of(3, 1), &plan).await;
        let room = scene.crew.rooms[0].clone();
        let joining = (0..1_000).map(|number| {
            let node = scene.cluster.nodes[number % 3].direct();
            join(node, &scene.crew.owner, &room, scene.stage.clock, number)
        });
        let tapes: Vec<_> = futures::stream::iter(joining).buffer_unordered(16).collect().await;
        scene.pass(seconds(1)).await;
        let mut history = scene.end(run).await;
        history.sends.clear();
        history.tapes = tapes.into_iter().flatten().collect();
        run.did(format!("{} joined", history.tapes.len()));
        joined_well(run, &history.tapes);
    });
}

/// Comes in, hears what follows, and goes: without a gap between what it begins with and what follows.
async fn join(
    node: std::net::SocketAddr,
    person: &Person,
    room: &str,
    clock: Clock,
    number: usize,
) -> Option<Tape> {
    let mut ear = Ear::new(&format!("joiner {number}"), person, clock);
    let mut socket = Socket::connect(node, ear.auth_of(room)).await.ok()?;
    let mut newest = 0;
    let mut live = 0;
    while live < 3 {
        let Ok(Told::Event(name, payload)) = tokio::time::timeout(PATIENCE, socket.next()).await
        else {
            break;
        };
        if name == "initial_messages" {
            let messages = payload.as_array().expect("an array").last();
            newest = messages.map_or(0, |message| message["seq"].as_u64().expect("a position"));
        }
        live += usize::from(name == "chat");
        ear.hear(&name, &payload);
    }
    socket.close().await;
    let mut tape = ear.tape;
    tape.name = format!("{} (history up to {newest})", tape.name);
    Some(tape)
}

/// Each of them heard everything from where it came in.
fn joined_well(run: &mut Run, tapes: &[Tape]) {
    use crate::history::Said;
    let mut broken = 0;
    for tape in tapes {
        let mut position = None;
        for heard in &tape.heard {
            match (&heard.said, position) {
                (Said::From(seq), _) => position = Some(*seq),
                (Said::Event(seq, _), Some(before)) if *seq == before + 1 => position = Some(*seq),
                (said, before) => {
                    broken += 1;
                    if broken <= 3 {
                        let name = &tape.name;
                        run.violated(Rule::V4, format!("{name}: {said:?} behind {before:?}"));
                    }
                    break;
                }
            }
        }
    }
    assert!(tapes.len() > 500, "too few came in");
}

#[test]
#[ignore = "two minutes of real processes: make faults"]
fn x19_thousands_drop_and_come_back_at_once() {
    case("x19", async |run| {
        let settings = vec![
            ("NATTER_LIMITS_SOCKETS_PER_USER", "0".to_owned()),
            ("NATTER_LIMITS_SOCKETS_PER_ADDRESS", "0".to_owned()),
        ];
        let shape = Shape { settings, ..Shape::of(3, 1) };
        let mut cluster = Cluster::start(&run.folder, &shape).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        const CROWD: usize = 5_000;
        let first = crowd(&cluster.nodes, &owner, &room, CROWD).await;
        assert_eq!(first.len(), CROWD, "all come in at first");
        cluster.nodes[0].kill().await;
        drop(first);
        let began = Instant::now();
        let back = crowd(&cluster.nodes[1..], &owner, &room, CROWD).await;
        let took = began.elapsed();
        if back.len() < CROWD {
            run.violated(Rule::Own, format!("{} of {CROWD} came back", back.len()));
        }
        run.did(format!("{} came back within {took:.1?}", back.len()));
        cluster.nodes[0].start().await;
        let mut vitals = Vitals::default();
        for node in &mut cluster.nodes {
            vitals.look(node);
        }
        vitals.judge_memory(run, &cluster.nodes);
    });
}

/// So many sockets of one person, over all of these nodes.
async fn crowd(nodes: &[Node], person: &Person, room: &str, count: usize) -> Vec<Socket> {
    let coming = (0..count).map(|number| {
        let node = nodes[number % nodes.len()].direct();
        let auth = json!({"token": person.token, "chat_room_id": room});
        async move {
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                match Socket::connect(node, auth.clone()).await {
                    Ok(socket) => return Some(socket),
                    Err(NotConnected::Away) => tokio::time::sleep(Duration::from_millis(200)).await,
                    Err(NotConnected::Refused(why)) => panic!("{why}"),
                }
            }
            None
        }
    });
    futures::stream::iter(coming).buffer_unordered(256).filter_map(async |one| one).collect().await
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x20_one_who_does_not_read_is_cut_off_alone_and_misses_nothing() {
    case("x20", async |run| {
        let cluster = Cluster::start(&run.folder, &Shape::of(2, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let room = create_room(cluster.first(), &owner, &[]).await;
        let clock = Clock::start();
        let node = cluster.nodes[1].direct();
        let mut slow = Ear::new("who does not read", &owner, clock);
        let mut quick = Ear::new("who reads", &owner, clock);
        let stalled = Socket::connect_narrow(node, slow.auth_of(&room)).await.expect("let in");
        let mut reading = Socket::connect(node, quick.auth_of(&room)).await.expect("let in");
        let (mut sends, ()) = tokio::join!(
            fill(&cluster.nodes[0], &owner, &room, large(1..FLOOD)),
            listen(&mut quick, &mut reading, &room, FLOOD),
        );
        run.did(format!("{} large messages", sends.len()));
        // Now it reads, and is told what comes from then on only behind all that came before.
        let mut stalled = Some(stalled);
        listen(&mut slow, stalled.as_mut().expect("it is there"), &room, SIP).await;
        let count = FLOOD + SIP;
        let (more, ()) = tokio::join!(
            fill(&cluster.nodes[0], &owner, &room, large(FLOOD..count)),
            listen(&mut quick, &mut reading, &room, count),
        );
        sends.extend(more);
        if !quick.is_at(&room, count) {
            run.violated(Rule::V4, "who reads was cut off as well");
        }
        // It comes back as often as it has to.
        let mut connections = 0;
        let end = Instant::now() + PATIENCE;
        while !slow.is_at(&room, count) && Instant::now() < end {
            let mut socket = match stalled.take() {
                Some(socket) => socket,
                None => match Socket::connect(node, slow.auth_of(&room)).await {
                    Ok(socket) => socket,
                    Err(_) => continue,
                },
            };
            connections += 1;
            listen(&mut slow, &mut socket, &room, count).await;
        }
        run.did(format!("who did not read came back {} times", connections - 1));
        if connections < 2 {
            run.violated(Rule::Own, "who did not read was not cut off");
        }
        let tapes = vec![slow.tape, quick.tape];
        let history = crate::history::History { sends, tapes, changes: Vec::new() };
        run.judge(&history, &run.replicas(&cluster).await);
    });
}

/// Positions that are filled while one does not read: more than what waits for it may be, in bytes, several times over.
const FLOOD: u64 = 500;

/// Positions up to which it reads what had come before it did not, and as many as are filled then.
const SIP: u64 = 20;

/// Large messages with these numbers.
fn large(numbers: Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("{number} {}", "x".repeat(12_000))).collect()
}

/// Listens until a position is heard, or the connection ends.
async fn listen(ear: &mut Ear, socket: &mut Socket, room: &str, through: u64) {
    while !ear.is_at(room, through) {
        match tokio::time::timeout(PATIENCE, socket.next()).await {
            Ok(Told::Event(name, payload)) => ear.hear(&name, &payload),
            Ok(Told::Closed | Told::Disconnected) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x38_one_who_reads_slowly_resumes_thousands_of_events() {
    case("x38", async |run| {
        let cluster = Cluster::start(&run.folder, &Shape::of(2, 1)).await;
        let owner = sign_up(cluster.first(), "owner").await;
        let clock = Clock::start();
        let mut ear = Ear::new("who reads slowly", &owner, clock);
        let mut rooms = Vec::new();
        for _ in 0..5 {
            rooms.push(create_room(cluster.first(), &owner, &[]).await);
        }
        let address = cluster.nodes[1].direct();
        let mut socket = Socket::connect(address, ear.auth()).await.expect("let in");
        let ready = socket.event("ready").await.expect("ready");
        ear.hear("ready", &ready);
        socket.close().await;
        let filling = rooms.iter().map(|room| {
            let contents = (0..990).map(|number| format!("{number} of {room}")).collect();
            fill(&cluster.nodes[0], &owner, room, contents)
        });
        let sends: Vec<Sent> =
            futures::future::join_all(filling).await.into_iter().flatten().collect();
        let mut socket = Socket::connect_narrow(address, ear.auth()).await.expect("let in");
        let (began, mut heard) = (Instant::now(), 0);
        let is_done = |ear: &Ear| rooms.iter().all(|room| ear.is_at(room, 991));
        while !is_done(&ear) && began.elapsed() < PATIENCE {
            match socket.next().await {
                Told::Event(name, payload) => ear.hear(&name, &payload),
                Told::Closed | Told::Disconnected => {
                    run.violated(Rule::V4, "who reads slowly was cut off");
                    break;
                }
                _ => {}
            }
            heard += 1;
            if heard % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        run.did(format!("{heard} events in {:.1?}", began.elapsed()));
        let tapes = vec![ear.tape];
        let history = crate::history::History { sends, tapes, changes: Vec::new() };
        run.judge(&history, &run.replicas(&cluster).await);
    });
}

/// Says all of this, as fast as the window allows.
async fn fill(node: &Node, person: &Person, room: &str, contents: Vec<String>) -> Vec<Sent> {
    let auth = json!({"token": person.token, "chat_room_id": room});
    let mut socket = Socket::connect(node.address(), auth).await.expect("it is let in");
    let mut sends = Vec::new();
    for contents in contents.chunks(30) {
        let say = |content: &String| json!({"content": content, "message_type": "text"});
        let payloads: Vec<Value> = contents.iter().map(say).collect();
        let first = socket.send_all("chat", &payloads).await;
        let mut answers = std::collections::HashMap::new();
        while answers.len() < contents.len() {
            match socket.next().await {
                Told::Ack(number, told) => {
                    answers.insert(number, answer(&told));
                }
                Told::Closed | Told::Disconnected => panic!("the connection ended"),
                _ => {}
            }
        }
        for (number, content) in (first..).zip(contents) {
            let answered = answers.remove(&number);
            sends.push(sent(person, room, content, answered.expect("each has one")));
        }
    }
    sends
}

fn sent(person: &Person, room: &str, content: &str, told: crate::history::Answer) -> Sent {
    let at = crate::history::At::default();
    let attempts = vec![crate::history::Attempt {
        connection: 0,
        place: 0,
        invoked: at,
        answered: Some((at, told)),
    }];
    let (sender, room, content) = (person.id.clone(), room.to_owned(), content.to_owned());
    Sent { sender, room, client_id: None, content, attempts }
}
