//! Nodes: one piece of work each, in three phases.

use std::future::ready;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::attempt::{Trial, Work};
use super::error::{Stop, View};
use super::step::{Pass, Step, Visit};
use super::trace::Attempts;
use super::{Action, Cause, Failure, Phase, Retry};

/// One step of a flow over the shared state `S`, with the error type `E`.
///
/// A visit runs `prep`, `exec` and `post`, in this order. `prep` reads the state, `exec` works without it,
/// and only `post` writes it. So a visit that fails or is cancelled before `post` leaves the state unchanged,
/// and `exec` can be retried safely.
///
/// The methods are plain `async fn`s in an implementation:
///
/// ```
/// # use std::convert::Infallible;
/// # use pflow_store::flow::{Action, Node, Visit};
/// struct Double;
///
/// impl Node<u64, Infallible> for Double {
///     type Prep = u64;
///     type Exec = u64;
///
///     async fn prep(&self, state: &u64, _: Visit<'_>) -> Result<u64, Infallible> {
///         Ok(*state)
///     }
///     async fn exec(&self, number: &u64, _: Visit<'_>) -> Result<u64, Infallible> {
///         Ok(number * 2)
///     }
///     async fn post(&self, state: &mut u64, _: u64, doubled: u64, _: Visit<'_>) -> Result<Action, Infallible> {
///         *state = doubled;
///         Ok(Action::DEFAULT)
///     }
/// }
/// ```
pub trait Node<S, E>: Send + Sync
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    /// The input that `prep` reads from the state for `exec`.
    type Prep: Send + Sync;
    /// The result of `exec`.
    type Exec: Send;

    /// The name, unique in its flow; used in errors, traces and drawings. By default it is that of the type.
    /// Called once, when the node is added, unless [`node_as`](super::FlowBuilder::node_as) gives it another
    /// name.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// Every action that `post` may return. Each must have a target when the flow is built. Called once, when
    /// the node is added.
    fn actions(&self) -> &[Action] {
        Action::DEFAULT_ONLY
    }

    /// How often `exec` is tried, and the waits in between. Once by default.
    fn retry(&self) -> Retry {
        Retry::ONCE
    }

    /// Whether this failure is worth another attempt. If not, `exec_fallback` is called at once.
    fn is_retryable(&self, _failure: &Failure<E>) -> bool {
        true
    }

    /// How long one attempt at `exec` may take before it is dropped and counts as failed.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Reads the input of `exec` from the state.
    fn prep(&self, state: &S, visit: Visit<'_>) -> impl Future<Output = Result<Self::Prep, E>> + Send;

    /// Does the work. It may be called again after a failure, and be dropped at any await by a timeout or a
    /// cancellation.
    fn exec(&self, prep: &Self::Prep, visit: Visit<'_>)
    -> impl Future<Output = Result<Self::Exec, E>> + Send;

    /// Decides after the last failure: returns a result to continue with, or the error that ends the run, by
    /// default the failure itself. Not limited by `timeout`; a cancellation drops it too.
    fn exec_fallback(
        &self,
        _prep: &Self::Prep,
        failure: Failure<E>,
        _visit: Visit<'_>,
    ) -> impl Future<Output = Result<Self::Exec, Failure<E>>> + Send {
        ready(Err(failure))
    }

    /// Writes the result into the state and chooses the action. A cancellation does not interrupt it. It is
    /// dropped only with the future of the run, or when another pass fails that runs beside its own: see
    /// [`BatchFlow::concurrency`](super::BatchFlow::concurrency).
    fn post(
        &self,
        state: &mut S,
        prep: Self::Prep,
        exec: Self::Exec,
        visit: Visit<'_>,
    ) -> impl Future<Output = Result<Action, E>> + Send;
}

/// The name of a type without its path and parameters.
pub(super) fn type_name<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let path = name.split_once('<').map_or(name, |(path, _)| path);
    path.rsplit_once("::").map_or(path, |(_, last)| last)
}

/// A [`Node`] in a flow.
pub(super) struct NodeStep<N, E> {
    pub(super) node: N,
    pub(super) view: View<E>,
}

#[async_trait]
impl<S, E, N> Step<S, E> for NodeStep<N, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    N: Node<S, E>,
{
    async fn visit(&self, state: &mut S, pass: Pass<'_>, log: &Attempts) -> Result<Action, Stop<E>> {
        let node = &self.node;
        let fail = |phase| move |error| pass.stop(phase, Cause::Node(error));
        let prep = node.prep(state, pass.visit(0)).await.map_err(fail(Phase::Prep))?;
        let mut work = NodeWork::<S, E, N> { node, prep: &prep, pass, output: None };
        let (retry, timeout) = (node.retry(), node.timeout());
        let mut trial = Trial { pass, log, item: None, retry, timeout, view: self.view, attempt: 0 };
        let exec = loop {
            trial.attempt(&mut work).await?;
            if let Some(output) = work.output.take() {
                break output;
            }
        };
        node.post(state, prep, exec, pass.visit(trial.attempt)).await.map_err(fail(Phase::Post))
    }
}

/// The `exec` of one visit.
struct NodeWork<'a, S, E, N>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    N: Node<S, E>,
{
    node: &'a N,
    prep: &'a N::Prep,
    pass: Pass<'a>,
    output: Option<N::Exec>,
}

impl<S, E, N> Work<E> for NodeWork<'_, S, E, N>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    N: Node<S, E>,
{
    fn exec(&mut self, attempt: u32) -> BoxFuture<'_, Result<(), E>> {
        let exec = self.node.exec(self.prep, self.pass.attempt(attempt, None));
        Box::pin(async {
            self.output = Some(exec.await?);
            Ok(())
        })
    }

    fn is_retryable(&self, failure: &Failure<E>) -> bool {
        self.node.is_retryable(failure)
    }

    fn fallback(&mut self, failure: Failure<E>, attempt: u32) -> BoxFuture<'_, Result<(), Failure<E>>> {
        let fallback = self.node.exec_fallback(self.prep, failure, self.pass.attempt(attempt, None));
        Box::pin(async {
            self.output = Some(fallback.await?);
            Ok(())
        })
    }
}
