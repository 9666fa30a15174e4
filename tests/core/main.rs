//! The core over the fake cloud: library tests, no network but loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod access;
mod archive;
mod audit;
mod authority;
mod console;
mod create_faults;
#[path = "../docker_machine/mod.rs"]
mod docker_machine;
mod doctor;
#[path = "../faults/engine.rs"]
mod engine;
mod first_contact;
mod gc;
#[path = "../faults/host.rs"]
mod host;
mod hostile;
mod import;
mod lifecycle;
mod list;
mod locks;
mod memory;
mod one_ca;
mod refused;
mod rename;
mod resume;
mod rotate;
mod rotate_keys;
mod secrets;
mod send;
mod share;
mod ssh_config;
mod support;
mod trust;

/// As the program has it: memory.rs looks for what is not wiped.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);
