//! What a provider is: the only crate that a provider crate depends on.
//!
//! A provider makes, finds, powers and destroys instances. It knows nothing of SSH, engines,
//! certificates or the store: the core hands it a [`CreateRequest`] and keeps what it answers.
//!
//! Three types are kept apart: the *config* (what was asked, JSON made by [`Driver::configure`]),
//! the *instance* (what exists, [`Instance`]) and the *client* (how to talk, [`Provider`]).

pub mod conformance;
mod cx;
mod driver;
mod elsewhere;
mod error;
mod finding;
mod flags;
mod legacy;
mod model;
mod names;
mod provider;
mod values;

pub use cx::Cx;
pub use driver::{Capabilities, Configured, Driver, DriverInfo, Notify, Secrets, Silent, one_place};
pub use elsewhere::{Elsewhere, Vetted, no_fields};
pub use error::{Error, Kind, LeftBehind, Result, Retry};
pub use finding::{Finding, Health};
pub use flags::{Flag, FlagKind, Value};
pub use legacy::{Imported, LegacyFields};
pub use model::{
    Addresses, Alternative, BootData, BootForm, Console, CreateRequest, HostTrust, Instance, Login, LoginKey,
    MachineRef, MachineState, Observed, Plan, PreflightRequest, Resource, ResourceKind, StopMode, Stray,
};
pub use names::{AttemptToken, HostAddress, InstanceId, MachineToken, Malformed, Owner};
pub use provider::{Journal, Provider};
pub use tokio_util::sync::CancellationToken;
pub use values::{Source, Values};
