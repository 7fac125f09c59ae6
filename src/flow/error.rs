//! The errors of a run.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::{Action, NodePath, Trace};

/// Why an attempt at `exec` failed.
///
/// A caller's error is converted by `?` or [`From`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure<E> {
    /// `exec` returned this error.
    #[error(transparent)]
    Error(#[from] E),
    /// `exec` was dropped because it did not return within the node's timeout. Effects that it began outside
    /// of the program may or may not have happened.
    #[error("no result within {0:?}")]
    Timeout(Duration),
}

/// Why a run ended without an action.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Cause<E> {
    /// A node returned this error.
    #[error(transparent)]
    Node(E),
    /// The last attempt at `exec` took longer than the node's timeout.
    #[error("no result within {0:?}")]
    Timeout(Duration),
    /// The run's token was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// The flow visited as many nodes as the run allows and did not end: most likely it loops forever. Check
    /// the trace, or raise [`Run::step_limit`](super::Run::step_limit).
    #[error("the flow did not end within {0} steps")]
    StepLimit(u32),
    /// `post` returned an action that the node does not declare. This is a bug in the program.
    #[error("the action `{0}` is not declared by the node")]
    UndeclaredAction(Action),
}

impl<E> From<Failure<E>> for Cause<E> {
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Error(error) => Self::Node(error),
            Failure::Timeout(limit) => Self::Timeout(limit),
        }
    }
}

/// The part of a visit in which a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Before the node began; it has had no effect.
    Enter,
    /// In `prep`, or while a batch flow made its sets of params.
    Prep,
    /// In `exec`, in the wait after a failed attempt, or in `exec_fallback`.
    Exec {
        /// The last attempt that began, from 1; 0 if there was none.
        attempt: u32,
        /// The item of a batch node, from 0.
        item: Option<usize>,
    },
    /// In `post`. It may have changed the state before it failed.
    Post,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enter => f.write_str("before it began"),
            Self::Prep => f.write_str("in prep"),
            Self::Exec { attempt, item: None } => write!(f, "in exec, attempt {attempt}"),
            Self::Exec { attempt, item: Some(item) } => {
                write!(f, "in exec of item {item}, attempt {attempt}")
            }
            Self::Post => f.write_str("in post"),
        }
    }
}

/// A run that ended without an action: where, why, and what had happened until then.
///
/// `Display` shows the place. Its `source` is the cause; for [`Cause::Node`] it is the node's own error.
#[derive(Debug)]
#[non_exhaustive]
pub struct FlowError<E> {
    /// The node.
    pub path: NodePath,
    /// The part of its visit.
    pub phase: Phase,
    /// The cause.
    pub cause: Cause<E>,
    /// The steps that ended, including this one unless it never began.
    pub trace: Trace,
}

impl<E> fmt::Display for FlowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failed at {}, {}", self.path, self.phase)
    }
}

impl<E: Error + 'static> Error for FlowError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Node(error) => Some(error),
            cause => Some(cause),
        }
    }
}

/// A [`FlowError`] without its trace, while it is returned through nested flows.
#[derive(Debug)]
pub(super) struct Stop<E> {
    pub(super) path: NodePath,
    pub(super) phase: Phase,
    pub(super) cause: Cause<E>,
}

impl<E> Stop<E> {
    pub(super) fn with_trace(self, trace: Trace) -> FlowError<E> {
        FlowError { path: self.path, phase: self.phase, cause: self.cause, trace }
    }
}
