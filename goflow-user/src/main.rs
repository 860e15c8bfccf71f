//! The `goflow` command: parses, wires, returns an exit status.

use std::process::ExitCode;

use goflow_user::cli::out_of_memory::Telling;

#[global_allocator]
static ALLOCATOR: Telling = Telling;

fn main() -> ExitCode {
    goflow_user::cli::run()
}
