//! HTTP: requests in, answers out.

pub(crate) mod client;
pub(crate) mod listener;
pub(crate) mod probes;
pub(crate) mod trace;
