//! The cases of `make faults-quick`, which every run of all tests includes.

pub(super) mod bus;
pub(super) mod database;
pub(super) mod nodes;
mod owner;
mod people;
mod restore;
