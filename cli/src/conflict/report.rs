//! What was in the way of a change, and how it was resolved, in words and for `--json`.

use pflow_store::{
    LeaseId, Saved, WorkflowId,
    conflict::{How, Resolved},
};
use serde::Serialize;

use crate::{leases::who, output::Output};

/// The fields that a change gains in `--json` when something was in its way.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome<'a> {
    /// `ours`, `theirs`, `merged`, `kept_both`, `overridden`, or `waited` where a lock ended by itself.
    resolved: &'static str,
    waited_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead_of: Option<&'a WorkflowId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_lease: Option<&'a LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_edit: Option<u64>,
}

impl<'a> Outcome<'a> {
    pub(crate) fn of(resolved: &'a Resolved) -> Self {
        let instead_of = match &resolved.how {
            Some(How::KeptBoth { instead_of }) => Some(instead_of),
            _ => None,
        };
        Self {
            resolved: resolved.how.as_ref().map_or("waited", How::as_str),
            waited_ms: u64::try_from(resolved.waited.as_millis()).unwrap_or(u64::MAX),
            instead_of,
            broken_lease: resolved.broken.as_ref().map(|lease| &lease.id),
            kept_edit: resolved.kept_edit,
        }
    }
}

/// `, merged with what was there`, or nothing.
pub(crate) fn describe_outcome(saved: &Saved) -> String {
    match saved.resolved.as_ref().and_then(|resolved| resolved.how.as_ref()) {
        Some(How::Ours) => ", on top of what was there".to_owned(),
        Some(How::Theirs) => ", theirs; yours was dropped".to_owned(),
        Some(How::Merged) if saved.unchanged => ", which has your changes".to_owned(),
        Some(How::Merged) => ", merged with what was there".to_owned(),
        Some(How::KeptBoth { instead_of }) => format!(", instead of {instead_of}, which is as it was"),
        _ => String::new(),
    }
}

/// What nobody should have to find out later.
pub(crate) fn tell(output: &Output, saved: &Saved) {
    let Some(resolved) = &saved.resolved else { return };
    if let Some(lease) = &resolved.broken {
        let lost =
            format!("took the lock away from {} ({}): lease {}", who(lease), lease.operation, lease.id);
        output.warn(&format!("{}: {lost} is lost, and its holder cannot save any more", saved.id));
    }
    if let Some(generation) = resolved.kept_edit {
        output.note(&format!("{}: what stood in workflow.json is kept as generation {generation}", saved.id));
    }
}
