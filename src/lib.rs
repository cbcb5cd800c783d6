//! natter
pub mod api;
pub mod config;
pub mod domain;
pub mod keys;
pub mod service;
pub mod store;
