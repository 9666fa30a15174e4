//! End-to-end walks on real hosts, with the stock clients. `tests/run` starts the lab that they need;
//! by hand: `eval "$(tests/lab/up)"; cargo test --test e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests"
)]

mod adopt;
mod certificates;
mod clients;
mod docker;
#[path = "../docker_machine/mod.rs"]
mod docker_machine;
mod drop_in;
mod ec2;
mod generic;
mod hosts;
mod import;
mod middle;
mod refused;
mod route;
mod share;
mod short;
mod support;
mod trust;
mod tunnel;
mod upgrade;
mod userdata;
mod walk;
