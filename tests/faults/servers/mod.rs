//! The real servers beneath the nodes: each its own process, on ports of the loopback.

pub(crate) mod mongod;
pub(crate) mod nats;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod weed;

/// A port that is free now can be another's a moment later.
pub(crate) const ATTEMPTS: usize = 3;

/// The program that `variable` names, as `tests/services/run` sets it.
pub(crate) fn program(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `make faults` or `make faults-quick`")
    })
}
