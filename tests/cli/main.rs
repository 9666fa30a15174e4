//! The program's texts: every help, every error that needs no network, what is printed where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod active;
mod audit;
mod completion;
mod data;
mod errors;
mod first_creates;
mod flags;
mod foreign;
mod format;
mod help;
mod import;
#[path = "../core/one_ca.rs"]
mod one_ca;
mod security;
mod strict;
mod user;
