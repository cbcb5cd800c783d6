//! The cases that `make faults` adds.

mod bus;
mod clients;
mod database;
mod embedded;
mod files;
mod nodes;
mod polling;
mod rights;
mod rolling;
mod unreplicated;
