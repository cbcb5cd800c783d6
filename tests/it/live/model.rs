//! Writer and feed against a model: whatever happens in whatever order, every listener sees an unbroken piece of one line.

use std::collections::HashMap;
use std::sync::Arc;

use natter::domain::User;
use natter::room::Connection;
use proptest::prelude::*;

use super::hall::{Hall, Tape};

/// Something that happens in a room.
#[derive(Debug, Clone)]
enum Step {
    /// The person with this number says something, and waits for the answer or does not.
    Say { who: usize },
    /// Somebody new comes in.
    Admit,
    /// The person with this number is sent away.
    Remove { who: usize },
    /// The person with this number connects, from this share of the line on.
    Listen { who: usize, from: u8 },
    /// The connection with this number goes.
    Hang { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<usize>().prop_map(|who| Step::Say { who }),
        1 => Just(Step::Admit),
        1 => any::<usize>().prop_map(|who| Step::Remove { who }),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(who, from)| Step::Listen { who, from }),
        1 => any::<usize>().prop_map(|which| Step::Hang { which }),
    ]
}

/// A connection with where it began and, once it has ended, the last position it may know.
struct Listener {
    who: usize,
    from: u64,
    connection: Arc<Connection>,
    tape: Arc<Tape>,
    until: Option<u64>,
}

/// What the room ought to be.
struct Model {
    people: Vec<(User, bool)>,
    line: HashMap<u64, String>,
    tail: u64,
    listeners: Vec<Listener>,
}

async fn play(steps: Vec<Step>) {
    let hall = Hall::new().await;
    let mut model = Model {
        people: vec![(hall.owner.clone(), true)],
        line: HashMap::from([(1, "member_added".to_owned())]),
        tail: 1,
        listeners: Vec::new(),
    };
    for (nth, step) in steps.into_iter().enumerate() {
        model.take(&hall, nth, step).await;
    }
    for listener in &model.listeners {
        let until = listener.until.unwrap_or(model.tail);
        if until > listener.from {
            listener.tape.wait_for(until).await;
        }
        let expected: Vec<(u64, String)> =
            (listener.from + 1..=until).map(|seq| (seq, model.line[&seq].clone())).collect();
        assert_eq!(listener.tape.lasting(), expected);
    }
    assert_eq!(hall.tail().await, model.tail);
}

impl Model {
    fn follow(&mut self, what: String) {
        self.tail += 1;
        self.line.insert(self.tail, what);
    }

    async fn take(&mut self, hall: &Hall, nth: usize, step: Step) {
        match step {
            Step::Say { who } => {
                let (user, is_member) = self.people[who % self.people.len()].clone();
                let said = hall.say(&user, &format!("words {nth}")).await;
                assert_eq!(said.is_ok(), is_member);
                if is_member {
                    self.follow(format!("words {nth}"));
                }
            }
            Step::Admit => {
                let user = hall.member(&format!("person{nth}")).await;
                self.people.push((user, true));
                self.follow("member_added".into());
            }
            Step::Remove { who } => self.remove(hall, who % self.people.len()).await,
            Step::Listen { who, from } => {
                let who = who % self.people.len();
                let (user, is_member) = self.people[who].clone();
                if is_member {
                    let from = self.tail * u64::from(from) / 255;
                    let (connection, tape) = hall.listen(&user, from).await;
                    self.listeners.push(Listener { who, from, connection, tape, until: None });
                }
            }
            Step::Hang { which } => self.hang(hall, which).await,
        }
    }

    async fn remove(&mut self, hall: &Hall, who: usize) {
        if who == 0 || !self.people[who].1 {
            return; // The owner stays.
        }
        hall.remove(&self.people[who].0).await;
        self.people[who].1 = false;
        self.follow("member_removed".into());
        for listener in self.listeners.iter_mut().filter(|one| one.who == who) {
            listener.until.get_or_insert(self.tail);
        }
    }

    async fn hang(&mut self, hall: &Hall, which: usize) {
        let count = self.listeners.len();
        if let Some(listener) = self.listeners.get_mut(which % count.max(1))
            && listener.until.is_none()
        {
            if self.tail > listener.from {
                listener.tape.wait_for(self.tail).await;
            }
            listener.until = Some(self.tail);
            hall.rooms.disconnect(&listener.connection);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_listener_sees_an_unbroken_piece_of_one_line(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
