//! The `rmachine` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rmachine::cli::keep_memory_private();
    rmachine::cli::main(std::env::args_os())
}
