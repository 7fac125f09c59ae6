//! What happened in a run, as data. The same is told to `tracing` while it happens.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Action;

/// Where a node stands: the names of the flows around it, outermost first, then its own.
///
/// Displayed as `save/resolve/ask`. A pass of a batch flow carries its position: `keys[2]/read`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePath(Vec<Arc<str>>);

impl NodePath {
    pub(super) fn root(name: &str) -> Self {
        Self(vec![name.into()])
    }

    pub(super) fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.into()]).collect())
    }

    /// The path of pass number `index` of the batch flow that stands here.
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

/// Every step of a run, in the order in which the steps ended: a nested flow stands after its own steps.
/// It takes memory for each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The steps that ended, well or badly.
    pub steps: Vec<StepTrace>,
}

/// One visit to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTrace {
    /// Which node of which flow.
    pub path: NodePath,
    /// When the visit began, by the run's timer.
    pub began: Duration,
    /// How long it took, all attempts and waits included.
    pub duration: Duration,
    /// How many attempts at `exec` were begun; over all items, for a batch node; 0 for a flow.
    pub attempts: u32,
    /// The attempts that failed, in the order in which they did, also when a later one went well.
    pub failed: Vec<FailedAttempt>,
    /// The action that the node returned, or the error that ended the run there, with its causes.
    pub result: Result<Action, String>,
}

/// One failed attempt at `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Which item of a batch node, from 0.
    pub item: Option<usize>,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How long it took.
    pub duration: Duration,
    /// The error, with its causes.
    pub error: String,
}

/// The trace while it grows.
///
/// Steps run one after another, and only the items of one step run side by side, all in one task. So the
/// locks here are never contended; they are there to let the steps share what they write to.
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

/// An error and all its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut told: Vec<String> = Vec::new();
    for cause in causes.map(ToString::to_string) {
        // Many errors tell their cause themselves.
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
    fn a_path_names_the_flows_from_the_outside_in() {
        let path = NodePath::root("save").child("keys").pass(2).child("read");
        assert_eq!(path.to_string(), "save/keys[2]/read");
        assert_eq!(path.names().next_back(), Some("read"));
    }
}
