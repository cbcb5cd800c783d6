//! The cases that `make faults` adds.

mod bus;
mod clients;
mod database;
mod embedded;
mod files;
mod nodes;
mod polling;
mod restore;
mod rights;
mod rolling;
mod unreplicated;
