use pflow_store::{Saved, WorkflowId};
use serde::Serialize;
use serde_json::Value;

use super::{Change, Problem};
use crate::failure::Failure;

/// What `save-all` did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Batch<'a> {
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// How many files were not begun, because a signal came.
    pub(crate) left_out: usize,
    pub(crate) skipped: Vec<Skipped>,
    #[cfg_attr(test, schemars(with = "Vec<FileResult>"))]
    pub(crate) results: &'a [Value],
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Counts {
    pub(crate) saved: usize,
    pub(crate) unchanged: usize,
    pub(crate) failed: usize,
}

/// A path that is not a regular file and was skipped.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Skipped {
    pub(crate) file: String,
    pub(crate) reason: String,
}

/// The result for one file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum FileResult<'a> {
    Saved(SavedFile<'a>),
    Refused(RefusedFile<'a>),
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SavedFile<'a> {
    file: String,
    #[serde(flatten)]
    change: Change<'a>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RefusedFile<'a> {
    file: String,
    error: Problem<'a>,
    /// A valid id similar to the name of the file, which is not a valid id.
    #[serde(skip_serializing_if = "Option::is_none")]
    offered_id: Option<&'a str>,
}

impl<'a> FileResult<'a> {
    pub(crate) fn saved(file: String, saved: &'a Saved) -> Self {
        Self::Saved(SavedFile { file, change: Change::of(saved, None) })
    }

    pub(crate) fn refused(file: String, failure: &'a Failure, offered: Option<&'a WorkflowId>) -> Self {
        let offered_id = offered.map(WorkflowId::as_str);
        Self::Refused(RefusedFile { file, error: Problem::of(failure), offered_id })
    }
}
