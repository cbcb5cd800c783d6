//! natter: a chat server that a team puts behind its own product, in one binary.
//!
//! A request comes in through [`http`] or [`socket`], which decode it, call one use case in [`service`] and encode the answer. What lasts
//! in a room is an [event](domain::Event) in the room's log. The [live room](room) decides and numbers events and appends
//! them to the [`store`], many at a time, and tells every connection every event once and in order. A [`node`] puts the
//! parts together from a [`config`], serves, and comes to a clean end.
//!
//! The map, and what must never stop being true, is docs/ARCHITECTURE.md; the wire is docs/PROTOCOL.md. A module uses only the
//! layers below it; `tests/it/architecture.rs` knows them and fails on a path upward.

pub mod api;
pub mod app;
pub mod backup;
pub mod bus;
pub mod cli;
mod client;
pub mod config;
pub mod domain;
mod http;
pub mod jobs;
pub mod keys;
pub mod lifecycle;
pub mod limits;
mod link;
pub mod log;
pub mod media;
pub mod metrics;
pub mod node;
pub mod nodes;
pub mod passwords;
mod record;
pub mod room;
pub mod service;
mod socket;
pub mod store;
pub mod telemetry;
pub mod tls;
