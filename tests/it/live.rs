//! Live rooms without a transport: writer, feed and the seam between history and live, over a real store.

mod errands;
pub(crate) mod hall;
mod model;
mod order;
mod outcomes;
mod peers;
mod presence;
mod queue;
mod stays;
