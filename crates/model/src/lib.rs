//! What all crates of the core speak of: the error with its kinds, engines and where they listen, the drivers of a program.

pub mod drivers;
pub mod effect;
mod endpoint;
pub mod engine_options;
mod engine_spec;
pub mod error;
pub mod modes;

pub use self::{
    endpoint::Endpoint,
    engine_spec::{EngineSource, EngineSpec, InvalidOption},
};
