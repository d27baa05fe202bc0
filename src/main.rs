//! The `layerspec` binary: all of it is in `layerspec::cli`.

use std::process::ExitCode;

/// A model's rows are many small allocations: docs/decisions/0009-allocator.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    layerspec::cli::run()
}
