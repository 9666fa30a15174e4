//! What the tests of several crates share; never part of the product.

pub mod cases;

use std::io::Write;

/// Says that a check was not made and why, past the test harness, which shows nothing of tests that pass.
pub fn skipped(what: &str) {
    // In one piece: other tests write at the same time. A test that cannot write there has nobody to tell.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {what}\n").as_bytes());
}
