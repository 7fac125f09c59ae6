//! What `--json` prints: types of the program, so that no change of what the library stores changes them.
//!
//! `cli/schemas` has a JSON Schema of each, written from these types (see [`schemas`]). They only gain fields.

mod batch;
mod change;
mod content;
mod doctor;
mod drawings;
mod event;
mod head;
mod listing;
mod lock;
#[cfg(test)]
mod schemas;
mod settings;
mod status;
mod store;
mod text;
mod verify;

use serde::Serialize;

pub(crate) use batch::{Batch, Counts, FileResult, Skipped};
pub(crate) use change::{Change, PlannedDeletion};
pub(crate) use content::LoadedContent;
pub(crate) use doctor::{Checked, Diagnosis};
pub(crate) use drawings::{Drawings, Drawn};
pub(crate) use event::{AwaitedLock, Event, LogFields, Logged, Places, Problem, Warning};
pub(crate) use head::Shown;
pub(crate) use listing::{Listing, Unread};
pub(crate) use lock::{Broken, Granted, Lock, Locks, Released};
pub(crate) use settings::Settings;
pub(crate) use status::Status;
pub(crate) use store::{Made, Reindexed};
pub(crate) use text::Generated;
pub(crate) use verify::{FailedRepair, PlannedLoss, Repair, Undecided, Verified, severity};

/// The one document of a command on stdout.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Document<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

impl<'a, T> Document<'a, T> {
    pub(crate) fn new(body: &'a T) -> Self {
        Self { schema_version: 1, body }
    }
}
