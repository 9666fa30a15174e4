//! What drivers share that make machines on this computer: loopback addresses and ports, the
//! notation of published ports and sizes, and build scripts that run as children.

pub mod build;
pub mod loopback;
pub mod publish;
mod size;

pub use size::parse_size;
