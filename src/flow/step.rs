//! The runner's view of a place in a flow: a node, a batch node, a flow or a batch flow.

use std::time::Duration;

use async_trait::async_trait;
use tracing::debug;

use super::error::{Stop, View};
use super::trace::{Attempts, Recorder, StepTrace};
use super::{Action, Cause, NodePath, Params, Phase, Run};

/// One place of a flow, with its types erased.
#[async_trait]
pub(super) trait Step<S, E>: Send + Sync {
    /// Makes one visit. It may return any action; the flow checks it.
    async fn visit(&self, state: &mut S, pass: Pass<'_>, attempts: &Attempts) -> Result<Action, Stop<E>>;
}

/// The position and the inputs of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<'a> {
    pub(super) run: &'a Run,
    pub(super) params: &'a Params,
    pub(super) path: &'a NodePath,
    pub(super) recorder: &'a Recorder,
}

impl<'a> Pass<'a> {
    /// The same run at another place.
    pub(super) fn at(self, path: &'a NodePath) -> Self {
        Self { path, ..self }
    }

    /// Fails if the run is cancelled before something here begins.
    pub(super) fn enter<E>(self) -> Result<(), Stop<E>> {
        if self.run.cancel.is_cancelled() {
            return Err(self.stop(Phase::Enter, Cause::Cancelled));
        }
        Ok(())
    }

    pub(super) fn stop<E>(self, phase: Phase, cause: impl Into<Cause<E>>) -> Stop<E> {
        Stop { path: self.path.clone(), phase, cause: cause.into() }
    }

    /// What the `post` of a flow returned, which declares these actions.
    pub(super) fn returned<E>(self, post: Result<Action, E>, declared: &[Action]) -> Result<Action, Stop<E>> {
        match post {
            Ok(action) if declared.contains(&action) => Ok(action),
            Ok(action) => Err(self.stop(Phase::Post, Cause::UndeclaredAction(action))),
            Err(error) => Err(self.stop(Phase::Post, Cause::Node(error))),
        }
    }

    /// Records and reports the step here, which began then and has this result.
    pub(super) fn record(self, began: Duration, attempts: Attempts, result: Result<Action, String>) {
        let duration = self.run.timer.now().saturating_sub(began);
        let (attempts, failed) = attempts.into_parts();
        match &result {
            Ok(action) => debug!(%action, attempts, ?duration, "step ended"),
            Err(error) => debug!(error, attempts, ?duration, "step failed"),
        }
        let path = self.path.clone();
        self.recorder.record(StepTrace { path, began, duration, attempts, failed, result });
    }

    /// Records and reports what began here then, if it failed in a function of its own. A step does that in
    /// any case; this is for a flow that runs alone and for a pass of a batch flow, which are no steps.
    pub(super) fn record_own_failure<E>(self, began: Duration, stop: &Stop<E>, view: View<E>) {
        if stop.path == *self.path && stop.phase != Phase::Enter {
            self.record(began, Attempts::default(), Err(stop.told(view)));
        }
    }

    /// The view of a node outside of `exec`, after this attempt.
    pub(super) fn visit(self, attempt: u32) -> Visit<'a> {
        self.attempt(attempt, None)
    }

    /// The view of a node in an attempt at `exec`.
    pub(super) fn attempt(self, attempt: u32, item: Option<usize>) -> Visit<'a> {
        Visit { pass: self, attempt, item }
    }
}

/// What a node may know about the present visit.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) attempt: u32,
    pub(super) item: Option<usize>,
}

impl<'a> Visit<'a> {
    /// The params of the flow around the node.
    pub fn params(&self) -> &'a Params {
        self.pass.params
    }

    /// The path of the node.
    pub fn path(&self) -> &'a NodePath {
        self.pass.path
    }

    /// The number of the attempt at `exec`, from 1, counted separately for every visit and for every item of
    /// a batch. In `exec_fallback` and `post` it is the last attempt: the one that succeeded, unless the
    /// fallback made the result. In `post` of a batch node it is the largest of its items. It is 0 where no
    /// attempt was made: in `prep`, and in a flow's own functions.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The item of a batch node that `exec` handles, from 0; none anywhere else.
    pub fn item(&self) -> Option<usize> {
        self.item
    }
}
