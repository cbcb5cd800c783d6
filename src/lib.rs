//! natter
pub mod api;
pub mod app;
pub mod config;
pub mod domain;
pub mod keys;
pub mod media;
pub mod metrics;
pub mod room;
pub mod service;
pub mod store;
