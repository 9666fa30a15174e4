//! The SSH client against OpenSSH's own server, and `rmachine ssh` on a real terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod binary;
mod commands;
mod config;
mod doctor;
mod keyring;
mod login;
mod route;
mod scp;
mod scp_broken;
mod sshd;
mod stock;
mod terminal;
#[path = "../lab/transcript.rs"]
mod transcript;
mod trust;
mod waiting;
