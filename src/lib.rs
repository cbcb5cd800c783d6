//! natter: a chat server that a team puts behind its own product.
pub mod config;
pub mod domain;
pub mod store;
