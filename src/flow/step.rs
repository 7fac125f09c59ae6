//! What the runner sees of whatever stands at a place of a flow: a node, a batch node, a flow, a batch flow.

use async_trait::async_trait;

use super::error::Stop;
use super::trace::{Attempts, Recorder};
use super::{Action, Cause, NodePath, Params, Phase, Run};

/// One place of a flow, its types erased.
#[async_trait]
pub(super) trait Step<S, E>: Send + Sync {
    /// Does all that one visit does. The action may be any; the flow checks it.
    async fn visit(&self, state: &mut S, pass: Pass<'_>, attempts: &Attempts) -> Result<Action, Stop<E>>;
}

/// Where the run is, and what it was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<'a> {
    pub(super) run: &'a Run,
    pub(super) params: &'a Params,
    pub(super) path: &'a NodePath,
    pub(super) recorder: &'a Recorder,
}

impl<'a> Pass<'a> {
    /// The same run one place further in or on.
    pub(super) fn at(self, path: &'a NodePath) -> Self {
        Self { path, ..self }
    }

    pub(super) fn stop<E>(self, phase: Phase, cause: impl Into<Cause<E>>) -> Stop<E> {
        Stop { path: self.path.clone(), phase, cause: cause.into() }
    }

    /// What a node sees outside of `exec`.
    pub(super) fn visit(self) -> Visit<'a> {
        self.attempt(0, None)
    }

    /// What a node sees at an attempt at `exec`.
    pub(super) fn attempt(self, attempt: u32, item: Option<usize>) -> Visit<'a> {
        Visit { pass: self, attempt, item }
    }
}

/// What a node may know about the visit that it is called for.
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

    /// Where the node stands.
    pub fn path(&self) -> &'a NodePath {
        self.pass.path
    }

    /// Which attempt at `exec` this is, from 1, counted anew at every visit and for every item of a batch; in
    /// `exec_fallback` the last attempt; in `prep` and `post` 0.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Which item of a batch node `exec` is at, from 0; none anywhere else.
    pub fn item(&self) -> Option<usize> {
        self.item
    }
}
