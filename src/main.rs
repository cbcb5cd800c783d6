//! The `natter` command.

fn main() {}
