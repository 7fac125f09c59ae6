use chrono::{DateTime, Utc};
use pflow_store::{
    Loaded, Saved, WorkflowId,
    conflict::{How, Resolved},
    format::Lease,
};
use serde::Serialize;

/// The result of a change of a workflow: of `save`, `edit`, `delete` and `undelete`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Change<'a> {
    id: &'a str,
    generation: u64,
    /// The hash of the content. Null for a deletion.
    hash: Option<String>,
    /// Whether nothing had to be written.
    unchanged: bool,
    #[serde(flatten)]
    resolution: Option<Resolution<'a>>,
    #[serde(flatten)]
    lease: Option<Held<'a>>,
}

/// How a conflict was resolved. Absent if there was no conflict.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Resolution<'a> {
    /// `ours`, `theirs`, `merged`, `kept_both`, `overridden`, or `waited` if the lock ended by itself.
    resolved: &'static str,
    waited_ms: u64,
    /// The workflow that was not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead_of: Option<&'a str>,
    /// The lease that was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_lease: Option<&'a str>,
    /// The generation that keeps an edit of the working copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_edit: Option<u64>,
}

/// The lease that `save --hold` took.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Held<'a> {
    lease_id: &'a str,
    fence: u64,
    expires: DateTime<Utc>,
}

/// What `delete --dry-run` would do.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PlannedDeletion<'a> {
    id: &'a str,
    /// The current generation.
    generation: u64,
    dry_run: bool,
    /// Whether the workflow is deleted already.
    unchanged: bool,
}

impl<'a> Change<'a> {
    /// That nothing had to be saved.
    pub(crate) fn unchanged(id: &'a WorkflowId, loaded: &Loaded) -> Self {
        Self {
            id: id.as_str(),
            generation: loaded.record.generation,
            hash: loaded.record.hash.map(|hash| hash.to_string()),
            unchanged: true,
            resolution: None,
            lease: None,
        }
    }

    pub(crate) fn of(saved: &'a Saved, held: Option<&'a Lease>) -> Self {
        Self {
            id: saved.id.as_str(),
            generation: saved.generation,
            hash: saved.hash.map(|hash| hash.to_string()),
            unchanged: saved.unchanged,
            resolution: saved.resolved.as_ref().map(Resolution::of),
            lease: held.map(|lease| Held {
                lease_id: lease.id.as_str(),
                fence: lease.fence,
                expires: lease.expires,
            }),
        }
    }
}

impl<'a> Resolution<'a> {
    fn of(resolved: &'a Resolved) -> Self {
        let instead_of = match &resolved.how {
            Some(How::KeptBoth { instead_of }) => Some(instead_of.as_str()),
            _ => None,
        };
        Self {
            resolved: resolved.how.as_ref().map_or("waited", How::as_str),
            waited_ms: u64::try_from(resolved.waited.as_millis()).unwrap_or(u64::MAX),
            instead_of,
            broken_lease: resolved.broken.as_ref().map(|lease| lease.id.as_str()),
            kept_edit: resolved.kept_edit,
        }
    }
}

impl<'a> PlannedDeletion<'a> {
    pub(crate) fn of(id: &'a WorkflowId, generation: u64, unchanged: bool) -> Self {
        Self { id: id.as_str(), generation, dry_run: true, unchanged }
    }
}
