//! The `natter` command.

use std::process::ExitCode;

/// Faster than the system's under many small messages, and it gives memory back after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    natter::cli::run()
}
