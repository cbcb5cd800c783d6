//! Everything that needs more than one module, in one binary.
#![allow(clippy::unwrap_used, reason = "clippy's own exception does not reach helper functions")]

mod access;
mod accounts;
mod administration;
mod architecture;
mod attachments;
mod commands;
mod config;
mod documents;
mod draining;
mod files;
mod frame;
mod live;
mod media;
mod node;
mod openapi;
mod revocations;
mod sockets;
mod store;
mod support;
mod x31_crash;
