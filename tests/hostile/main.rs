//! Hosts, SFTP servers and engines that lie: every command that talks to one ends in bounded time and memory, with one
//! clear error and nothing in it that a terminal obeys.
//!
//! The program runs in children of this one, with less time to wait than users have (`rmachine_ssh::Budgets`); a child
//! is this executable again, so it has a `main` of its own. Each says how much memory it had at most.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod child;
#[allow(dead_code, reason = "the fake host of another suite, of which the honest answers are used")]
#[path = "../faults/engine.rs"]
mod engine;
mod engines;
mod files;
#[allow(dead_code, reason = "the fake host of another suite, of which the honest answers are used")]
#[path = "../faults/host.rs"]
mod host;
mod hosts;
mod liar;
mod liar_engine;
mod liar_sftp;
mod world;

use std::{panic::catch_unwind, process::ExitCode, time::Instant};

const TESTS: &[(&str, fn())] = &[
    ("hosts::no_command_hangs_or_swells", hosts::no_command_hangs_or_swells),
    ("hosts::create_ends", hosts::create_ends),
    ("hosts::escapes_are_shown_and_lines_not_forged", hosts::escapes_are_shown_and_lines_not_forged),
    ("hosts::channels_are_refused", hosts::channels_are_refused),
    ("engines::no_command_hangs_or_swells", engines::no_command_hangs_or_swells),
    ("engines::ls_shows_the_others", engines::ls_shows_the_others),
    ("files::a_copy_ends", files::a_copy_ends),
];

fn main() -> ExitCode {
    if let Some(code) = child::run() {
        return code;
    }
    // As the standard harness does it: words without a dash select tests.
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = TESTS.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f)));
    // All at once: nearly all of the time is that of time-outs.
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let run = |name: &'static str, test: fn()| {
            let started = Instant::now();
            let good = catch_unwind(test).is_ok();
            println!(
                "test {name} ... {} ({:.1} s)",
                if good { "ok" } else { "FAILED" },
                started.elapsed().as_secs_f32()
            );
            (!good).then_some(name)
        };
        let spawn = |(name, test): &(&'static str, fn())| {
            let (name, test) = (*name, *test);
            std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || run(name, test)).unwrap()
        };
        let running: Vec<_> = chosen.map(spawn).collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nfailed: {}", failed.join(", "));
    ExitCode::FAILURE
}
