//! The errors of a run.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::{Action, NodePath, Trace, with_causes};

/// An error type of a flow: any [`Error`], or `Box<dyn Error + Send + Sync>`.
///
/// The box is not an `Error` itself, and the compiler rejects two implementations that would overlap if it
/// became one. `As`, the type that the error is viewed as, distinguishes the two implementations. It is
/// always inferred. A crate can implement this for another type that contains an error, with a type of its
/// own as `As`.
pub trait AsError<As: ?Sized> {
    /// The error with its sources.
    fn as_error(&self) -> &(dyn Error + 'static);
}

impl<E: Error + 'static> AsError<E> for E {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

impl AsError<dyn Error + Send + Sync> for Box<dyn Error + Send + Sync> {
    fn as_error(&self) -> &(dyn Error + 'static) {
        &**self
    }
}

/// [`AsError::as_error`] of the error type of a flow.
pub(super) type View<E> = fn(&E) -> &(dyn Error + 'static);

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
    /// `post` returned an action that the node, or the flow whose `post` it is, does not declare. This is a
    /// bug in the program.
    #[error("the action `{0}` is not declared by the node or flow")]
    UndeclaredAction(Action),
}

impl<E> Failure<E> {
    /// The failure with its causes, in one line.
    pub(super) fn told(&self, view: View<E>) -> String {
        match self {
            Self::Error(error) => with_causes(view(error)),
            Self::Timeout(limit) => Failure::<Infallible>::Timeout(*limit).to_string(),
        }
    }
}

impl<E> Cause<E> {
    /// The error of a node, or the other cause.
    fn split(&self) -> Result<&E, Cause<Infallible>> {
        match self {
            Self::Node(error) => Ok(error),
            Self::Timeout(limit) => Err(Cause::Timeout(*limit)),
            Self::Cancelled => Err(Cause::Cancelled),
            Self::StepLimit(steps) => Err(Cause::StepLimit(*steps)),
            Self::UndeclaredAction(action) => Err(Cause::UndeclaredAction(action.clone())),
        }
    }
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
    /// Before the node, flow or pass began; it has had no effect.
    Enter,
    /// In `prep` of a node or a flow, or while a batch flow made its sets of params.
    Prep,
    /// In `exec`, in the wait after a failed attempt, or in `exec_fallback`.
    Exec {
        /// The last attempt that began, from 1; 0 if there was none.
        attempt: u32,
        /// The item of a batch node, from 0.
        item: Option<usize>,
    },
    /// In `post`, in a node that only acts, or in the join of a batch flow. It may have changed the state
    /// before it failed.
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
#[non_exhaustive]
pub struct FlowError<E> {
    /// The node, flow or pass.
    pub path: NodePath,
    /// The part of its visit.
    pub phase: Phase,
    cause: Cause<E>,
    /// The steps that ended, including this one unless it never began.
    pub trace: Trace,
    source: Source<E>,
}

/// The source of a [`FlowError`].
enum Source<E> {
    Node(View<E>),
    /// The same as the cause. `Cause<E>` itself is an error only if `E` is one.
    Other(Cause<Infallible>),
}

impl<E> FlowError<E> {
    /// The cause.
    pub fn cause(&self) -> &Cause<E> {
        &self.cause
    }

    /// The cause, with the node's own error.
    pub fn into_cause(self) -> Cause<E> {
        self.cause
    }
}

impl<E> fmt::Display for FlowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failed at {}, {}", self.path, self.phase)
    }
}

impl<E: fmt::Debug> fmt::Debug for FlowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowError")
            .field("path", &self.path)
            .field("phase", &self.phase)
            .field("cause", &self.cause)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

impl<E: fmt::Debug> Error for FlowError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.cause, &self.source) {
            (Cause::Node(error), Source::Node(view)) => Some(view(error)),
            (_, Source::Other(cause)) => Some(cause),
            // `with_trace` gives a view exactly to an error of a node.
            (_, Source::Node(_)) => None,
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
    pub(super) fn with_trace(self, trace: Trace, view: View<E>) -> FlowError<E> {
        let source = self.cause.split().map_or_else(Source::Other, |_| Source::Node(view));
        FlowError { path: self.path, phase: self.phase, cause: self.cause, trace, source }
    }

    /// The cause with its own causes, in one line.
    pub(super) fn told(&self, view: View<E>) -> String {
        self.cause.split().map_or_else(|cause| cause.to_string(), |error| with_causes(view(error)))
    }
}
