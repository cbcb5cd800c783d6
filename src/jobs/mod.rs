//! What a node does by the clock. Each is a function `run_once(&App, now)`, safe to run twice and on
//! two nodes at once; the node calls them.

pub mod deletions;
pub mod erasures;
pub mod media_gc;
pub mod retention;
pub mod revocations;
pub mod stays;
