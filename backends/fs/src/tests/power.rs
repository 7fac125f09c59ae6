//! Wherever the power fails, what was answered is there, and nothing is there in parts.

use super::{
    disk::{Budget, Traits},
    explorer::{Effort, power_fails},
    scripts::{self, Script},
};

/// Most of what a small script can leave.
fn effort(traits: Traits, states: usize) -> Effort {
    let states = states * Budget::multiplier();
    Effort { traits, budget: Budget::new(128, 8), states, again: (states / 100, 20) }
}

fn on_linux(script: &Script, states: usize) {
    power_fails(script, effort(Traits::LINUX, states));
}

/// Less of it, where there is no sync of everything at once.
fn on_macos(script: &Script, states: usize) {
    power_fails(script, effort(Traits::MACOS, states));
}

/// The same where two names cannot change places either.
fn on_a_poor_medium(script: &Script, states: usize) {
    power_fails(script, effort(Traits::POOR, states));
}

#[test]
fn a_loss_of_power_takes_nothing_of_a_save_that_was_answered() {
    on_linux(&scripts::saves(), 600);
    on_macos(&scripts::saves(), 60);
}

#[test]
fn nor_of_one_that_was_committed_with_others() {
    on_linux(&scripts::groups(), 400);
    on_macos(&scripts::groups(), 60);
}

#[test]
fn nor_of_large_objects() {
    on_linux(&scripts::large(), 60);
    on_macos(&scripts::large(), 20);
}

#[test]
fn nor_while_a_full_journal_begins_anew() {
    on_linux(&scripts::full(), 400);
    on_macos(&scripts::full(), 80);
}

#[test]
fn nor_while_more_files_become_durable_than_are_synced_alone() {
    on_linux(&scripts::full_of_many(), 80);
    on_macos(&scripts::full_of_many(), 30);
}

#[test]
fn nor_while_the_files_follow() {
    on_linux(&scripts::idle(), 500);
    on_a_poor_medium(&scripts::idle(), 150);
}

#[test]
fn nor_of_what_somebody_else_finishes() {
    on_linux(&scripts::reopened(), 400);
    on_macos(&scripts::reopened(), 100);
}

#[test]
fn nor_after_a_sync_that_failed() {
    on_linux(&scripts::renewed(), 400);
    on_macos(&scripts::renewed(), 60);
    on_linux(&scripts::renewed_with_large(), 40);
}

#[test]
fn nor_where_the_system_lost_what_had_followed() {
    on_linux(&scripts::lost_behind_their_backs(), 300);
    on_macos(&scripts::lost_behind_their_backs(), 80);
}

#[test]
fn nor_where_another_handle_ends_what_the_system_lost() {
    on_linux(&scripts::taken_over(), 300);
    on_macos(&scripts::taken_over(), 80);
    on_a_poor_medium(&scripts::taken_over(), 80);
}

#[test]
fn nor_of_a_persons_edit_that_the_system_lost() {
    on_linux(&scripts::taken_over_with_edits(), 200);
    on_a_poor_medium(&scripts::taken_over_with_edits(), 60);
}

#[test]
fn nor_where_a_block_under_a_file_is_bad() {
    on_linux(&scripts::bad_block_under_a_file(), 100);
}

#[test]
fn nor_where_a_person_edits_what_was_saved() {
    on_linux(&scripts::edited(), 400);
    on_a_poor_medium(&scripts::edited(), 150);
}

#[test]
fn nor_where_files_cannot_be_written() {
    on_linux(&scripts::blocked(), 400);
    on_macos(&scripts::blocked(), 60);
    on_a_poor_medium(&scripts::blocked(), 60);
    on_linux(&scripts::blocked_and_full(), 200);
}

#[test]
fn nor_where_objects_become_folders() {
    on_linux(&scripts::renamed(), 300);
    on_macos(&scripts::renamed(), 100);
}

#[test]
fn nor_of_objects_that_are_written_once() {
    on_linux(&scripts::written_once(), 200);
    on_macos(&scripts::written_once(), 40);
}
