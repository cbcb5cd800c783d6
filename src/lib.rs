//! natter
pub mod domain;
pub mod store;
