//! The `layerspec` binary: all of it is in `layerspec::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    layerspec::cli::run()
}
