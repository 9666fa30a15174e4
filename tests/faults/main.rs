//! Processes that die anywhere, and disks that fail: nothing may be left in the account, and no machine lost.
//!
//! The program itself runs in children of this one, over the fake cloud in a file and a fake host; a child is killed
//! at one of its side effects. It is this executable again, so it has a `main` of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod child;
mod create;
mod disk;
mod engine;
mod host;
mod keys;
mod many;
#[path = "../core/one_ca.rs"]
mod one_ca;
mod power;
mod records;
mod remove;
mod rotate;
mod share;
mod tunnel;
mod world;

use std::{panic::catch_unwind, process::ExitCode, time::Instant};

const TESTS: &[(&str, fn())] = &[
    ("create::killed_then_removed", create::killed_then_removed),
    ("create::killed_then_repeated", create::killed_then_repeated),
    ("create::killed_then_collected", create::killed_then_collected),
    ("create::interrupted", create::interrupted),
    ("create::the_seed_is_dropped", create::the_seed_is_dropped),
    ("remove::killed_then_repeated", remove::killed_then_repeated),
    ("power::stop_killed_then_repeated", power::stop_killed_then_repeated),
    ("power::start_killed_then_repeated", power::start_killed_then_repeated),
    ("power::regenerate_killed_then_repeated", power::regenerate_killed_then_repeated),
    ("rotate::begin_killed_then_repeated", rotate::begin_killed_then_repeated),
    ("rotate::finish_killed_then_repeated", rotate::finish_killed_then_repeated),
    ("rotate::now_killed_then_repeated", rotate::now_killed_then_repeated),
    ("rotate::move_killed_then_repeated", rotate::move_killed_then_repeated),
    ("keys::killed_then_repeated", keys::killed_then_repeated),
    ("share::killed_then_repeated", share::killed_then_repeated),
    ("share::killed_then_ended", share::killed_then_ended),
    ("share::unshare_killed_then_repeated", share::unshare_killed_then_repeated),
    ("tunnel::starter_killed_then_repeated", tunnel::starter_killed_then_repeated),
    ("tunnel::killed_then_repeated", tunnel::killed_then_repeated),
    ("tunnel::stop_killed_then_repeated", tunnel::stop_killed_then_repeated),
    ("tunnel::killed_while_it_runs", tunnel::killed_while_it_runs),
    ("tunnel::ended_while_it_opens", tunnel::ended_while_it_opens),
    ("tunnel::connections_have_an_owner_and_a_number", tunnel::connections_have_an_owner_and_a_number),
    ("many::fifty_first_creates_at_once", many::fifty_first_creates_at_once),
    ("many::rm_waits_for_start", many::rm_waits_for_start),
    ("many::start_waits_for_rm", many::start_waits_for_rm),
    ("disk::full", disk::full),
    ("disk::full_at_a_rename", disk::full_at_a_rename),
    ("disk::read_only", disk::read_only),
    ("records::truncated", records::truncated),
];

fn main() -> ExitCode {
    if let Some(code) = child::run() {
        return code;
    }
    // As the standard harness does it: words without a dash select tests.
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut failed = Vec::new();
    let chosen = TESTS.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f)));
    for (name, test) in chosen {
        let started = Instant::now();
        // Where it hangs, `tests/timed` names it.
        println!("test {name} ... begins");
        let good = catch_unwind(test).is_ok();
        println!("test {name} ... {} ({:.1} s)", if good { "ok" } else { "FAILED" }, started.elapsed().as_secs_f32());
        if !good {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nfailed: {}", failed.join(", "));
    ExitCode::FAILURE
}
