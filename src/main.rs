//! The `natter` command.

use std::process::ExitCode;

/// Takes less time than the system's under many small messages; the price is memory that it keeps after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    natter::cli::run()
}
