//! A cloud for tests, in memory or in a file that processes share: a driver, a provider, and the account behind
//! them, which a test can look into and make fail.
//!
//! The account behaves as EC2 does where that hurts: things show up late, a security group cannot
//! go before its instance, a token answers for one request only, addresses change over stop and start.

mod account;
mod cloud;
mod driver;
mod fault;
mod file;
mod provider;
mod tags;

pub use self::{
    account::Account,
    cloud::Held,
    driver::FakeDriver,
    fault::{Effect, Fault, Operation, When},
};
