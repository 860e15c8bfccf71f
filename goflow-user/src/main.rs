//! The `goflow` command: parses, wires, returns an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    goflow_user::cli::run()
}
