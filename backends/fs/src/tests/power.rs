//! Wherever the power fails, what was answered is there, and nothing is there in parts.

use super::{
    disk::{Budget, Traits},
    explorer::{Effort, power_fails},
    scripts::{self, Script},
};

/// Most of what a small script can leave.
fn effort(traits: Traits, states: usize) -> Effort {
    // A quarter of it unless more is asked for: a person waits.
    let states = (states / 4).max(1) * Budget::multiplier();
    Effort { traits, budget: Budget::new(128, 8), states, again: (states / 200, 20) }
}

fn on_linux(script: &Script, states: usize) {
    power_fails(script, effort(Traits::LINUX, states));
}

/// Less of it, on media that cannot sync all at once.
fn elsewhere(script: &Script, states: usize) {
    for traits in [Traits::MACOS, Traits::POOR] {
        power_fails(script, effort(traits, states));
    }
}

#[test]
fn a_loss_of_power_takes_nothing_of_a_save_that_was_answered() {
    on_linux(&scripts::saves(), 1500);
    elsewhere(&scripts::saves(), 200);
}

#[test]
fn nor_of_one_that_was_committed_with_others() {
    on_linux(&scripts::groups(), 800);
    elsewhere(&scripts::groups(), 100);
}

#[test]
fn nor_of_large_objects() {
    on_linux(&scripts::large(), 120);
    elsewhere(&scripts::large(), 30);
}

#[test]
fn nor_while_a_full_journal_begins_anew() {
    on_linux(&scripts::full(), 800);
    elsewhere(&scripts::full(), 200);
}

#[test]
fn nor_while_more_files_become_durable_than_are_synced_alone() {
    on_linux(&scripts::full_of_many(), 200);
    elsewhere(&scripts::full_of_many(), 50);
}

#[test]
fn nor_while_the_files_follow() {
    on_linux(&scripts::idle(), 800);
    elsewhere(&scripts::idle(), 200);
}

#[test]
fn nor_of_what_somebody_else_finishes() {
    on_linux(&scripts::reopened(), 800);
    elsewhere(&scripts::reopened(), 200);
}

#[test]
fn nor_after_a_sync_that_failed() {
    on_linux(&scripts::renewed(), 600);
    elsewhere(&scripts::renewed(), 100);
    on_linux(&scripts::renewed_with_large(), 60);
}

#[test]
fn nor_where_the_system_lost_what_had_followed() {
    on_linux(&scripts::lost_behind_their_backs(), 600);
    elsewhere(&scripts::lost_behind_their_backs(), 100);
}

#[test]
fn nor_where_a_person_edits_what_was_saved() {
    on_linux(&scripts::edited(), 800);
    elsewhere(&scripts::edited(), 200);
}

#[test]
fn nor_where_objects_become_folders() {
    on_linux(&scripts::renamed(), 600);
    elsewhere(&scripts::renamed(), 200);
}
