//! Faults: real processes on real links that break, a workload, and a checker. See README.md here.
#![allow(clippy::unwrap_used, reason = "clippy's own exception does not reach helper functions")]

mod cases;
mod check;
mod client;
mod cluster;
mod final_log;
mod history;
mod proxy;
mod run;
mod servers;
mod workload;
