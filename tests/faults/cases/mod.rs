//! The cases. README.md has their table.

mod full;
mod quick;
mod scene;
mod table;
