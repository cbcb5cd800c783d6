//! What tests of behaviours stand on: a real node on a free port, and people who call it.

mod client;
mod cluster;
mod faulty;
mod ground;
pub(crate) mod http;
mod judged;
pub(crate) mod nats;
mod node;
mod rooms;
pub(crate) mod services;
pub(crate) mod shelf;
mod wire;

pub(crate) use client::{Answer, PASSWORD, Person};
pub(crate) use cluster::{Cluster, SECRET};
pub(crate) use faulty::{Fault, Faulty};
pub(crate) use ground::{Ground, on_every_ground};
pub(crate) use judged::{Fate, Judged};
pub(crate) use node::{TestNode, config as config_of};
pub(crate) use shelf::{Shelf, TestBucket, on_every_shelf};
pub(crate) use wire::Wire;

/// The longest that anything is waited for.
pub(crate) const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
