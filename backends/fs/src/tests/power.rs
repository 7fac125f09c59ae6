//! Wherever the power fails, what was answered is there, and nothing is there in parts.

use super::{
    disk::{Budget, Traits},
    explorer::{Effort, power_fails},
    scripts::{self, Script},
};

/// Most of what a small script can leave.
fn effort(traits: Traits, states: usize) -> Effort {
    let states = states * Budget::multiplier();
    Effort { traits, budget: Budget::new(128, 8), states, again: (states / 50, 20) }
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
