//! Batch nodes: the same work for every item of a list.

use std::future::ready;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::attempt::{Trial, Work};
use super::error::{Stop, View};
use super::node::type_name;
use super::side_by_side::side_by_side;
use super::step::{Pass, Step, Visit};
use super::trace::Attempts;
use super::{Action, Cause, Failure, Phase, Retry};

/// A node whose `prep` returns a list and whose `exec` handles one item of it.
///
/// Retries, timeout and fallback apply to each item, as does the attempt counter. `post` gets the results in
/// the order of the items, whichever was ready first. An item that finally fails ends the run: no further
/// item begins, and items in progress are dropped.
///
/// Otherwise it is like [`Node`](super::Node), which documents the common methods.
pub trait BatchNode<S, E>: Send + Sync
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    /// One item of the list that `prep` returns.
    type Item: Send + Sync;
    /// The result of `exec` for an item.
    type Output: Send;

    /// The name, unique in its flow; by default that of the type.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// Every action that `post` may return.
    fn actions(&self) -> &[Action] {
        Action::DEFAULT_ONLY
    }

    /// The maximum number of items in progress at a time. 1, the default, handles them one after another, in
    /// order; 0 counts as 1.
    ///
    /// The items overlap while they wait. They all run in the task that runs the flow, so CPU-bound work
    /// gains nothing.
    fn concurrency(&self) -> usize {
        1
    }

    /// How often `exec` is tried for each item.
    fn retry(&self) -> Retry {
        Retry::ONCE
    }

    /// Whether this failure is worth another attempt.
    fn is_retryable(&self, _failure: &Failure<E>) -> bool {
        true
    }

    /// How long one attempt at one item may take.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Reads the items from the state. The list may be empty; `post` then gets an empty list.
    fn prep(&self, state: &S, visit: Visit<'_>) -> impl Future<Output = Result<Vec<Self::Item>, E>> + Send;

    /// Does the work for one item.
    fn exec(
        &self,
        item: &Self::Item,
        visit: Visit<'_>,
    ) -> impl Future<Output = Result<Self::Output, E>> + Send;

    /// Decides after the last failure of an item: returns a result for it, or the error that ends the run.
    fn exec_fallback(
        &self,
        _item: &Self::Item,
        failure: Failure<E>,
        _visit: Visit<'_>,
    ) -> impl Future<Output = Result<Self::Output, Failure<E>>> + Send {
        ready(Err(failure))
    }

    /// Writes the results, one for each item in the order of the items, and chooses the action.
    fn post(
        &self,
        state: &mut S,
        items: Vec<Self::Item>,
        outputs: Vec<Self::Output>,
        visit: Visit<'_>,
    ) -> impl Future<Output = Result<Action, E>> + Send;
}

/// A [`BatchNode`] in a flow.
pub(super) struct BatchStep<N, E> {
    pub(super) node: N,
    pub(super) view: View<E>,
}

#[async_trait]
impl<S, E, N> Step<S, E> for BatchStep<N, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    N: BatchNode<S, E>,
{
    async fn visit(&self, state: &mut S, pass: Pass<'_>, log: &Attempts) -> Result<Action, Stop<E>> {
        let node = &self.node;
        let fail = |phase| move |error| pass.stop(phase, Cause::Node(error));
        let items = node.prep(state, pass.visit(0)).await.map_err(fail(Phase::Prep))?;
        let (outputs, attempt) = self.exec_all(&items, pass, log).await?;
        node.post(state, items, outputs, pass.visit(attempt)).await.map_err(fail(Phase::Post))
    }
}

impl<N, E> BatchStep<N, E> {
    /// Runs all items. Returns their outputs, in the order of the items, and the largest number of attempts
    /// that one of them needed.
    async fn exec_all<S>(
        &self,
        items: &[N::Item],
        pass: Pass<'_>,
        log: &Attempts,
    ) -> Result<(Vec<N::Output>, u32), Stop<E>>
    where
        S: Send + Sync,
        E: Send + Sync + 'static,
        N: BatchNode<S, E>,
    {
        let work = items.iter().enumerate().map(|(index, item)| self.exec_one(index, item, pass, log));
        let done = side_by_side(self.node.concurrency(), work).await?;
        let attempt = done.iter().map(|&(_, attempt)| attempt).max().unwrap_or(0);
        Ok((done.into_iter().map(|(output, _)| output).collect(), attempt))
    }

    /// Runs one item. Returns its output and the number of its last attempt.
    async fn exec_one<S>(
        &self,
        index: usize,
        item: &N::Item,
        pass: Pass<'_>,
        log: &Attempts,
    ) -> Result<(N::Output, u32), Stop<E>>
    where
        S: Send + Sync,
        E: Send + Sync + 'static,
        N: BatchNode<S, E>,
    {
        let node = &self.node;
        let mut work = ItemWork::<S, E, N> { node, index, item, pass, output: None };
        let (retry, timeout) = (node.retry(), node.timeout());
        let mut trial = Trial { pass, log, item: Some(index), retry, timeout, view: self.view, attempt: 0 };
        loop {
            trial.attempt(&mut work).await?;
            if let Some(output) = work.output.take() {
                return Ok((output, trial.attempt));
            }
        }
    }
}

/// The `exec` of one item.
struct ItemWork<'a, S, E, N>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    N: BatchNode<S, E>,
{
    node: &'a N,
    index: usize,
    item: &'a N::Item,
    pass: Pass<'a>,
    output: Option<N::Output>,
}

impl<S, E, N> Work<E> for ItemWork<'_, S, E, N>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    N: BatchNode<S, E>,
{
    fn exec(&mut self, attempt: u32) -> BoxFuture<'_, Result<(), E>> {
        let exec = self.node.exec(self.item, self.pass.attempt(attempt, Some(self.index)));
        Box::pin(async {
            self.output = Some(exec.await?);
            Ok(())
        })
    }

    fn is_retryable(&self, failure: &Failure<E>) -> bool {
        self.node.is_retryable(failure)
    }

    fn fallback(&mut self, failure: Failure<E>, attempt: u32) -> BoxFuture<'_, Result<(), Failure<E>>> {
        let visit = self.pass.attempt(attempt, Some(self.index));
        let fallback = self.node.exec_fallback(self.item, failure, visit);
        Box::pin(async {
            self.output = Some(fallback.await?);
            Ok(())
        })
    }
}
