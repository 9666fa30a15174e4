//! The SSH client against OpenSSH's own server, and `rmachine ssh` on a real terminal.

mod binary;
mod commands;
mod login;
mod sshd;
mod terminal;
mod trust;
mod waiting;
