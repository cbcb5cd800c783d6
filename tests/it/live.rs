//! Live rooms without a transport: writer, feed and the seam between history and live, over a real store.

mod desk;
mod errands;
mod fleet;
pub(crate) mod hall;
mod inbox;
mod model;
mod moves;
mod order;
mod outcomes;
mod owners;
mod peers;
mod presence;
mod queue;
mod stays;
