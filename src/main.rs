//! The `rmachine` program.

use std::process::ExitCode;

/// Wipes what is freed: keys, passphrases and tokens pass through parsers, templates and buffers that do not.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    rmachine::cli::keep_memory_private();
    rmachine::cli::main(std::env::args_os())
}
