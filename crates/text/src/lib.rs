//! Words on their way to a terminal: near names for "did you mean", and the filter for text that others wrote.

pub mod near;
pub mod printable;
pub mod url;
