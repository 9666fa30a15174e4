//! A trace of side effects: each is told before and after it happens. Nobody listens but tests, which count them
//! and end the process at one of them.

use std::fmt::Display;

/// Target of the events; the fake cloud's requests have the same one.
macro_rules! tell {
    ($step:literal, $kind:expr, $what:expr) => {
        tracing::trace!(target: "rmachine::effect", step = $step, what = %format_args!("{} {}", $kind, $what))
    };
}

/// `kind` is about to happen to `what`.
pub fn before(kind: &str, what: impl Display) {
    tell!("before", kind, what);
}

/// `kind` has begun to happen to `what`, and is not complete.
pub fn amid(kind: &str, what: impl Display) {
    tell!("amid", kind, what);
}

/// `kind` has happened to `what`.
pub fn after(kind: &str, what: impl Display) {
    tell!("after", kind, what);
}
