//! The `cordboard` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cordboard::cli::run()
}
