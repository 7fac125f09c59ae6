//! Resolves conflicts by the policy that was given, or by a question at the terminal.

mod options;
mod patient;
mod places;
mod report;
mod talk;
mod terminal;

pub(super) use options::{Decider, OnConflict, check_choice};
pub(super) use places::overlaps;
pub(super) use report::{describe_outcome, tell};
