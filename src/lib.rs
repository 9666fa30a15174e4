//! rmachine: makes hosts in a cloud, installs the Docker Engine on them and hands the stock
//! `docker` client a remote engine. The binary is a thin shell around this library.
//!
//! The way of the data is in `ARCHITECTURE.md`.

pub mod audit;
pub mod bootstrap;
pub mod certs;
pub mod cli;
pub mod drivers;
mod effect;
pub mod engine;
pub mod env;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod machine;
pub mod modes;
pub mod ssh;
pub mod store;
