//! Everything that needs more than one module, in one binary.
#![allow(clippy::unwrap_used, reason = "clippy's own exception does not reach helper functions")]

mod access;
mod accounts;
mod admin_rooms;
mod administration;
mod architecture;
mod attachments;
mod backup;
mod bucket;
mod bus;
mod cluster;
mod commands;
mod config;
mod documents;
mod draining;
mod files;
mod frame;
mod live;
mod media;
mod memberships;
mod messages;
mod metrics;
mod node;
mod nodes;
mod personal;
mod put_back;
mod restored;
mod retention;
mod revocations;
mod rooms;
mod sockets;
mod store;
mod support;
mod traces;
mod waiting;
mod x31_crash;
