//! natter
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
mod http;
pub mod jobs;
pub mod keys;
pub mod lifecycle;
mod link;
pub mod log;
pub mod media;
pub mod metrics;
pub mod node;
pub mod room;
pub mod service;
pub mod store;
