//! rmachine: makes hosts in a cloud, installs the Docker Engine on them and hands the stock
//! `docker` client a remote engine. This is the command line and the list of drivers; the binary is a thin shell around
//! it, and what it does is done by `rmachine-core`.
//!
//! The way of the data is in `ARCHITECTURE.md`.

pub mod cli;
pub mod drivers;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
