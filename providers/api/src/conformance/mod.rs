//! The behaviour that every provider owes, as checks over `&dyn Provider`.
//!
//! A provider crate's test implements [`Harness`] and calls [`all`]; each check states one promise
//! of [`crate::Provider`]'s documentation. A broken promise panics with the promise's words.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a suite of checks: a broken promise has to fail the test that runs it"
)]

mod cancel;
mod create;
mod failed;
mod harness;
mod look;
mod power;
mod remove;

pub use self::{
    cancel::{a_cancelled_call_changes_nothing, create_ends_before_its_next_effect},
    create::{create_twice_makes_one, journal_comes_first, preflight_makes_nothing},
    failed::{
        a_journal_that_fails_is_undone, a_lost_answer_is_found_again, a_refusal_leaves_nothing_and_is_not_repeated,
    },
    harness::{Entry, Harness, Recorder, Support, Trouble, machine_ref},
    look::{checkup_of_a_good_account, find_tells_owners_apart, observe_answers_for_each},
    power::{power, reboot},
    remove::{
        allow, destroy_ends_with_nothing, destroy_needs_tags_only, destroy_refuses_what_is_of_others,
        destroy_spares_others,
    },
};

/// Runs every check, one after the other; leaves nothing behind when all hold.
pub async fn all(harness: &dyn Harness) {
    checkup_of_a_good_account(harness).await;
    preflight_makes_nothing(harness).await;
    journal_comes_first(harness).await;
    a_journal_that_fails_is_undone(harness).await;
    create_twice_makes_one(harness).await;
    a_refusal_leaves_nothing_and_is_not_repeated(harness).await;
    a_lost_answer_is_found_again(harness).await;
    create_ends_before_its_next_effect(harness).await;
    a_cancelled_call_changes_nothing(harness).await;
    observe_answers_for_each(harness).await;
    find_tells_owners_apart(harness).await;
    power(harness).await;
    reboot(harness).await;
    allow(harness).await;
    destroy_ends_with_nothing(harness).await;
    destroy_needs_tags_only(harness).await;
    destroy_spares_others(harness).await;
    destroy_refuses_what_is_of_others(harness).await;
}
