//! Loads a chat server with Socket.IO clients: a plan in JSON on standard input, what was measured in JSON on standard output.
//!
//! Everything is as cheap as it can be, for it shares the machine with what it measures: frames are counted, and read
//! no further than it takes to know what they are.

mod chat;
mod cpu;
mod crew;
mod frames;
mod idle;
mod plan;
mod socket;

use std::io::Read;

use plan::{Plan, Work};

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("a plan on standard input");
    let plan: Plan = serde_json::from_str(&text).expect("a plan in JSON");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let measured = runtime.expect("a runtime").block_on(async {
        match plan.work {
            Work::Chat(work) => chat::run(&plan, work).await,
            Work::Idle(work) => idle::run(&plan, work).await,
        }
    });
    println!("{measured}");
}
