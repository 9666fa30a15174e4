//! A driver for a toy cloud, as docs/write-a-driver.md has it made: the control plane is a directory, and each instance is a
//! JSON file in it. Nothing runs there.
//!
//! `driver.rs` turns flags into a client, `provider.rs` keeps the promises of
//! [`Provider`](rmachine_provider_api::Provider), and `cloud.rs` stands for the cloud's own SDK.

mod cloud;
mod driver;
mod provider;

pub use driver::Papercloud;
