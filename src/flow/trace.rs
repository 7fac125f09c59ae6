//! The trace of a run, as data. The same events go to `tracing` while they happen.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Action;

/// The path of a node: the names of the enclosing flows, outermost first, then its own.
///
/// Displayed as `save/resolve/ask`. A pass of a batch flow has its position: `keys[2]/read`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePath(Vec<Arc<str>>);

impl NodePath {
    pub(super) fn root(name: &str) -> Self {
        Self(vec![name.into()])
    }

    pub(super) fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.into()]).collect())
    }

    /// The path of pass number `index` of the batch flow at this path.
    pub(super) fn pass(&self, index: usize) -> Self {
        let mut names = self.0.clone();
        if let Some(last) = names.last_mut() {
            *last = format!("{last}[{index}]").into();
        }
        Self(names)
    }

    /// The names, outermost first; never empty.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Every step of a run, in the order in which the steps ended: a nested flow comes after its own steps. Each
/// step takes memory. A flow that runs alone and a pass of a batch flow are here only if a function of their
/// own failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// The steps that ended, successfully or not.
    pub steps: Vec<StepTrace>,
}

/// One visit to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepTrace {
    /// The path of the node.
    pub path: NodePath,
    /// When the visit began, by the run's timer.
    pub began: Duration,
    /// Its duration, including all attempts and waits.
    pub duration: Duration,
    /// The number of attempts at `exec` that began; over all items for a batch node; 0 for a flow.
    pub attempts: u32,
    /// The failed attempts, in order, even if a later one succeeded.
    pub failed: Vec<FailedAttempt>,
    /// The action that the node returned, or the error that ended the run there, with its causes.
    pub result: Result<Action, String>,
}

/// One failed attempt at `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The item of a batch node, from 0.
    pub item: Option<usize>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Its duration.
    pub duration: Duration,
    /// The error, with its causes.
    pub error: String,
}

/// Records the trace.
///
/// Only the items of a batch node and the passes of a batch flow overlap, and they run in one task. So the
/// locks here are never contended; they only allow the steps to share the recorder.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<StepTrace>>);

impl Recorder {
    pub(super) fn record(&self, step: StepTrace) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    pub(super) fn into_trace(self) -> Trace {
        Trace { steps: self.0.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The attempts of one step.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<(u32, Vec<FailedAttempt>)>);

impl Attempts {
    pub(super) fn begun(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    pub(super) fn failed(&self, attempt: FailedAttempt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push(attempt);
    }

    pub(super) fn into_parts(self) -> (u32, Vec<FailedAttempt>) {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats an error and all its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut told: Vec<String> = Vec::new();
    for cause in causes.map(ToString::to_string) {
        // Many errors include their cause in their message.
        if !told.iter().any(|before| before.contains(&cause)) {
            told.push(cause);
        }
    }
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_names_the_flows_from_the_outside_in() {
        let path = NodePath::root("save").child("keys").pass(2).child("read");
        assert_eq!(path.to_string(), "save/keys[2]/read");
        assert_eq!(path.names().next_back(), Some("read"));
    }
}
