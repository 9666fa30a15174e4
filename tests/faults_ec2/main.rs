//! Creates that die anywhere, and clouds that fail: afterwards the account holds what it held before.
//!
//! `api`, `gc`, `hostile`, `lost`, `refused` and `crowd` start labs of their own, without hosts; `hosts`, `chaos` and `races` need the one that
//! `tests/run` starts. By hand: `eval "$(tests/lab/up)"; cargo test --workspace --test faults_ec2`.
//! `RMACHINE_FAULTS_FULL=1` runs all points and full numbers, as `tests/run --full` does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests"
)]

mod account;
mod api;
mod capacity;
mod chaos;
mod crowd;
mod gc;
mod gitlab;
mod gitlab_hosts;
mod hostile;
mod hosts;
mod lost;
mod races;
mod refused;
mod report;
mod running;
mod steps;
#[path = "../e2e/support.rs"]
#[allow(dead_code, reason = "the walks use more of it")]
mod support;
