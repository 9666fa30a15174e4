//! How many cases the property tests try.

use proptest::test_runner::Config;

/// 10,000; a million where `RMACHINE_PROPTEST_FULL` is set, as `tests/run --full` does. `batch` values count as one
/// case, where one process takes many.
pub(crate) fn config(batch: u32) -> Config {
    let full = std::env::var("RMACHINE_PROPTEST_FULL").is_ok_and(|value| !value.is_empty());
    let cases = if full { 1_000_000 } else { 10_000 };
    // Nothing is written beside the sources; a failure prints its smallest case.
    Config { cases: (cases / batch).max(1), failure_persistence: None, ..Config::default() }
}
