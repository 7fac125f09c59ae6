use std::collections::BTreeMap;

use pflow_store::{WorkflowId, format::Lease, merge};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// One line of `--json` on stderr.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Event<'a, T> {
    pub(crate) r#type: &'static str,
    #[serde(flatten)]
    pub(crate) body: &'a T,
}

/// Why a command failed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Problem<'a> {
    /// The kind, a word in snake case that never changes.
    code: &'static str,
    exit_code: u8,
    /// What failed and why.
    message: &'a str,
    /// What the caller can do.
    hint: Option<&'a str>,
    /// All defects of a document, or all places of a conflict.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [String],
    #[serde(flatten)]
    places: Option<&'a Places>,
}

/// Where a conflict is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Places {
    /// What both sides of a merge changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overlaps: Vec<Overlap>,
    /// What other writers changed since the version that the caller built on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangedPlace>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Overlap {
    path: String,
    base: Option<Value>,
    ours: Option<Value>,
    theirs: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChangedPlace {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// What a person should know.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Warning<'a> {
    pub(crate) message: &'a str,
    #[serde(flatten)]
    pub(crate) logged: Option<LogFields<'a>>,
}

/// What the library does, under `-v`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Logged<'a> {
    pub(crate) message: &'a str,
    #[serde(flatten)]
    pub(crate) logged: LogFields<'a>,
}

/// What the library's log adds to a message.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LogFields<'a> {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) level: String,
    /// The steps of the flow that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    pub(crate) fields: BTreeMap<&'a str, &'a str>,
}

/// The holder of the lock that the program waits for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AwaitedLock<'a> {
    id: &'a str,
    lease_id: &'a str,
    /// `user@host`.
    holder: String,
    pid: u32,
    operation: &'a str,
}

impl<'a> Problem<'a> {
    pub(crate) fn of(failure: &'a Failure) -> Self {
        Self {
            code: failure.code,
            exit_code: failure.exit,
            message: &failure.message,
            hint: failure.hint.as_deref(),
            details: &failure.details,
            places: failure.places.as_deref(),
        }
    }
}

impl Places {
    /// These, if there are any.
    pub(crate) fn of(overlaps: &[merge::Overlap], changes: &[merge::Change]) -> Option<Box<Self>> {
        let (overlaps, changes): (Vec<Overlap>, Vec<ChangedPlace>) =
            (overlaps.iter().map(Overlap::of).collect(), changes.iter().map(ChangedPlace::of).collect());
        (!overlaps.is_empty() || !changes.is_empty()).then(|| Box::new(Self { overlaps, changes }))
    }
}

impl Overlap {
    fn of(overlap: &merge::Overlap) -> Self {
        let merge::Overlap { path, base, ours, theirs, .. } = overlap;
        Self {
            path: path.to_string(),
            base: base.as_ref().map(merge::Fragment::to_value),
            ours: ours.as_ref().map(merge::Fragment::to_value),
            theirs: theirs.as_ref().map(merge::Fragment::to_value),
        }
    }
}

impl ChangedPlace {
    fn of(change: &merge::Change) -> Self {
        let merge::Change { path, before, after, .. } = change;
        Self {
            path: path.to_string(),
            before: before.as_ref().map(merge::Fragment::to_value),
            after: after.as_ref().map(merge::Fragment::to_value),
        }
    }
}

impl<'a> AwaitedLock<'a> {
    pub(crate) fn of(id: &'a WorkflowId, lease: &'a Lease) -> Self {
        Self {
            id: id.as_str(),
            lease_id: lease.id.as_str(),
            holder: lease.holder(),
            pid: lease.pid,
            operation: &lease.operation,
        }
    }
}
