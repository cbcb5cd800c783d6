//! The cases, and where each one of the list is covered.

mod full;
mod quick;
