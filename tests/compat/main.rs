//! The program under the name `docker-machine`: what scripts depend on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod flags;
mod install;
mod reference;
mod table;
mod url;
mod user;
mod words;
