//! A generic asynchronous flow runner: typed nodes, joined by named actions into a graph that is checked when
//! it is built.
//!
//! The semantics are those of PocketFlow (<https://github.com/The-Pocket/PocketFlow>, here always version
//! 0.0.3): a visit to a node runs `prep`, `exec` and `post`; only `exec` is retried; `post` returns the
//! action that selects the next node; a flow is a node. `tests/flow/pocketflow` shows the behaviours of
//! PocketFlow's own tests, and `examples/flow.rs` a whole flow.
//!
//! | PocketFlow | here |
//! | --- | --- |
//! | a node with `exec` | [`Node`], [`FlowBuilder::node`], [`FlowBuilder::node_as`] |
//! | a node with only `prep` or `post` | [`FlowBuilder::act`], [`FlowBuilder::act_async`] |
//! | `BatchNode`, `AsyncParallelBatchNode` | [`BatchNode`], [`BatchNode::concurrency`] |
//! | `a >> b >> c`, `a - "more" >> b` | [`FlowBuilder::chain`], [`FlowBuilder::connect`], [`FlowBuilder::end`] |
//! | `node.run(shared)` | [`Flow::of`] |
//! | `Flow.prep` and `Flow.post` | [`FlowBuilder::around`] |
//! | `BatchFlow`, its `prep` and `post` | [`BatchFlow::new`], [`BatchFlow::post`] |
//! | `AsyncParallelBatchFlow` | [`BatchFlow::concurrency`] |
//! | `max_retries`, `wait`, `cur_retry` | [`Retry`], [`Visit::attempt`] |
//! | `params` | [`Params`], [`Run::params`], [`Visit::params`] |
//!
//! # Different on purpose
//!
//! The graph:
//!
//! - Edges belong to a flow and not to a node, and a node belongs to one flow. A node does not know what
//!   follows it.
//! - A flow is checked when it is built. A start that is missing or named twice, a node that cannot be
//!   reached, two edges for one action and two nodes of one name are errors. In PocketFlow a second edge
//!   replaces the first with a warning, and a second start replaces the first without one.
//! - Nodes declare their actions. Each must lead to a node or to a declared end, and an edge for any other
//!   action is refused. So a misspelt action is an error instead of an early end; there, the flow warns and
//!   ends. `post` returns an action and nothing else.
//! - No action means `default`, also in the result of a run; there it is `None`.
//!
//! The nodes:
//!
//! - Results and state are typed. The state is no dictionary.
//! - A [`Node`] has all of `prep`, `exec` and `post`; there, each may be left out. [`FlowBuilder::act`] adds
//!   a node that needs only one of them.
//! - `prep` cannot write the state, and `exec` cannot access it: only `post`, and a node that only acts,
//!   write. So a visit that fails before leaves the state as it was.
//! - A node is shared by all visits and runs and keeps nothing of its own between them; PocketFlow copies it
//!   for each visit, and sets `params` and `cur_retry` in it. One flow can serve several runs at the same
//!   time.
//! - All nodes are asynchronous. There is no second set of classes, and none that must not be mixed.
//!
//! Retries and errors:
//!
//! - Waits may have backoff and jitter, and attempts a timeout; an error may be declared not worth a retry.
//!   Waits never block a thread.
//! - An attempt is counted from 1, for each visit and each item of its own; `cur_retry` counts from 0, and
//!   parallel items share it. 0 attempts count as 1; there, `exec` is skipped.
//! - A fallback gets a [`Failure`], which may be a timeout, and returns a result or the failure.
//! - Errors have one type for each flow, which may be `Box<dyn Error + Send + Sync>`. The error of a run
//!   keeps its source and says where it happened. A panic is not caught; there, an exception of any kind is
//!   retried.
//! - Runs can be cancelled, and endless loops reach a limit: by default 10,000 visits in one pass of a flow.
//! - A run returns its last action with a [`Trace`]. It reports to `tracing` (targets that begin with
//!   `pflow_store::flow`) a span for each flow and step, an event for each that ends, and a warning for each
//!   failed attempt that is followed by another.
//!
//! Batches:
//!
//! - The concurrency is bounded. A failing item or pass drops the others; there, they go on. A failure or a
//!   cancellation also discards the results of the items, and the states of the parallel passes, that have
//!   succeeded.
//! - Parallel passes of a batch flow do not share the state. Each has a fork of it, and the forks are joined
//!   in the order of the sets after all passes have succeeded. So a node in a pass sees nothing of the other
//!   passes: what needs all of them belongs in the join, the batch flow's `post`, or a node behind it.
//! - Params are JSON values, and a node cannot change them.
//! - A flow's own `prep` reads as a node's does. It and `post` do not await; a first and a last node can.
//! - The [`FlowBuilder::around`] of a batch flow's flow is called for each pass, [`BatchFlow::post`] once.
//! - A batch node or a batch flow with nothing to do has an empty list; there, its `prep` may also return
//!   `None`.
//!
//! The runner knows nothing of workflows or storage. Time and randomness come from a [`Timer`]; [`Clock`] is
//! ready made.

mod act;
mod action;
mod around;
mod attempt;
mod batch_flow;
mod batch_node;
mod builder;
mod clock;
mod draw;
mod error;
mod graph;
mod node;
mod params;
mod retry;
mod run;
mod side_by_side;
mod step;
mod trace;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tracing::{Instrument, debug_span};

pub use action::{Action, IntoAction, IntoActions};
pub use batch_flow::BatchFlow;
pub use batch_node::BatchNode;
pub use builder::{FlowBuilder, NodeId};
pub use clock::Clock;
pub use draw::Drawing;
pub use error::{AsError, Cause, Failure, FlowError, Phase};
pub use graph::{Defect, GraphError};
pub use node::Node;
pub use params::Params;
pub use retry::Retry;
pub use run::{Run, Timer};
pub use step::Visit;
/// The token of [`Run::cancelled_by`], from the crate `tokio-util`.
pub use tokio_util::sync::CancellationToken;
pub(crate) use trace::with_causes;
pub use trace::{FailedAttempt, NodePath, StepTrace, Trace};

use around::Around;
use batch_node::BatchStep;
use error::{Stop, View};
use graph::{Graph, Place, Target};
use node::NodeStep;
use step::{Pass, Step};
use trace::{Attempts, Recorder};

/// A graph of nodes over a shared state `S` and the error type `E`. It keeps no state between runs, so one
/// flow can serve any number of runs at the same time.
///
/// # Example
///
/// ```
/// # use std::convert::Infallible;
/// use pflow_store::flow::{Flow, Run};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut flow = Flow::<u32, Infallible>::builder("launch");
/// let fuel = flow.act("fuel", (), |count, _| *count = 3);
/// let count = flow.act("count", ["more", "done"], |count, _| {
///     *count -= 1;
///     if *count == 0 { "done" } else { "more" }
/// });
/// flow.start(fuel).chain([fuel, count]).connect(count, "more", count).end_as(count, "done", "Liftoff");
/// let flow = flow.build()?;
///
/// let mut state = 0;
/// let outcome = flow.run(&mut state, &Run::system()?).await?;
/// assert_eq!(outcome.action, "done");
/// assert_eq!(outcome.trace.steps.len(), 4);
/// # Ok(())
/// # }
/// ```
///
/// A node whose work may fail and be tried again is a [`Node`].
///
/// # Cancellation
///
/// A cancelled run ends with [`Cause::Cancelled`]. The token is checked before every step, pass and attempt.
/// It interrupts `exec`, `exec_fallback`, the waits between attempts and the making of a batch flow's sets by
/// dropping them; `prep`, `post` and nodes that only act run to completion, also in parallel passes.
///
/// An `exec` whose result is ready is not discarded: its `post` runs, and the run stops after it, or succeeds
/// if that was the last step. A batch node needs the results of all its items for that; an incomplete set of
/// results is lost, as are the states of parallel passes. A last failure that is ready ends the run in place
/// of the cancellation.
///
/// So a cancelled run leaves the state of its last complete step; a flow's own `post`, and that of a batch
/// flow, are not called if it stops before them. Effects that a dropped `exec` began outside of the program
/// may or may not have happened. Dropping the future of [`run`](Self::run) can also drop a `prep`, a `post`
/// or a node that acts halfway, and there is no trace then.
pub struct Flow<S, E> {
    graph: Arc<Graph>,
    /// The steps at the graph's places, by the same index.
    steps: Vec<Box<dyn Step<S, E>>>,
    around: Option<Around<S, E>>,
    view: View<E>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The action of the last node, or that of the flow's own `post`.
    pub action: Action,
    /// The trace of the run.
    pub trace: Trace,
}

impl<S, E> Flow<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    /// Begins a flow with this name.
    pub fn builder<As: ?Sized>(name: impl Into<String>) -> FlowBuilder<S, E>
    where
        E: AsError<As>,
    {
        FlowBuilder::new(name.into(), E::as_error)
    }

    /// A flow of one node, to run it alone: `Flow::of(node).run(&mut state, &run)`. It has the node's name,
    /// and ends with the node's action.
    pub fn of<As: ?Sized>(node: impl Node<S, E> + 'static) -> Self
    where
        E: AsError<As>,
    {
        let view: View<E> = E::as_error;
        let graph = Graph::single(node.name().to_owned(), node.actions());
        Self::single(graph, Box::new(NodeStep { node, view }), view)
    }

    /// A flow of one batch node, to run it alone.
    pub fn of_batch<As: ?Sized>(node: impl BatchNode<S, E> + 'static) -> Self
    where
        E: AsError<As>,
    {
        let view: View<E> = E::as_error;
        let graph = Graph::single(node.name().to_owned(), node.actions());
        Self::single(graph, Box::new(BatchStep { node, view }), view)
    }

    fn single(graph: Graph, step: Box<dyn Step<S, E>>, view: View<E>) -> Self {
        Self { graph: Arc::new(graph), steps: vec![step], around: None, view }
    }

    /// Runs the flow from its start until a node returns an action that is declared as an end, and then the
    /// flow's own `post`, if it has one.
    ///
    /// # Errors
    ///
    /// The first error that no retry and no fallback handled, with its place; see [`Cause`]. The state is
    /// that of the last step that succeeded, unless the error has [`Phase::Post`].
    pub async fn run(&self, state: &mut S, run: &Run) -> Result<Outcome, FlowError<E>> {
        recorded(self, self, state, run).await
    }
}

impl<S, E> Flow<S, E> {
    /// The name.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// Draws the flow as a Mermaid flowchart: nodes, actions on the edges, ends with their labels, nested
    /// flows as subgraphs. The same flow always gives the same text.
    pub fn mermaid(&self) -> String {
        draw::mermaid(&self.graph)
    }

    /// Draws the flow in Graphviz' DOT language; otherwise as [`mermaid`](Self::mermaid).
    pub fn dot(&self) -> String {
        draw::dot(&self.graph)
    }

    /// Draws the flow in both languages, for those who do not have the flow itself.
    pub fn drawing(&self) -> Drawing {
        Drawing { name: self.name().to_owned(), mermaid: self.mermaid(), dot: self.dot() }
    }
}

impl<S, E> fmt::Debug for Flow<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("graph", &self.graph).finish_non_exhaustive()
    }
}

/// A flow is a node. Its action is that of its last node, or of its own `post`.
#[async_trait]
impl<S, E> Step<S, E> for Flow<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    async fn visit(&self, state: &mut S, pass: Pass<'_>, _: &Attempts) -> Result<Action, Stop<E>> {
        self.pass(state, pass).await
    }
}

/// Runs a top-level flow or a batch flow over it, and records the trace.
async fn recorded<S, E>(
    step: &dyn Step<S, E>,
    flow: &Flow<S, E>,
    state: &mut S,
    run: &Run,
) -> Result<Outcome, FlowError<E>> {
    let (path, recorder) = (NodePath::root(flow.name()), Recorder::default());
    let pass = Pass { run, params: &run.params, path: &path, recorder: &recorder };
    let began = run.timer.now();
    let result = step.visit(state, pass, &Attempts::default()).await;
    if let Err(stop) = &result {
        pass.record_own_failure(began, stop, flow.view);
    }
    let trace = recorder.into_trace();
    match result {
        Ok(action) => Ok(Outcome { action, trace }),
        Err(stop) => Err(stop.with_trace(trace, flow.view)),
    }
}

impl<S, E> Flow<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    /// Makes one pass from the start to an end. `pass.path` is the flow's own.
    async fn pass(&self, state: &mut S, pass: Pass<'_>) -> Result<Action, Stop<E>> {
        let span = debug_span!("flow", path = %pass.path);
        self.whole(state, pass).instrument(span).await
    }

    async fn whole(&self, state: &mut S, pass: Pass<'_>) -> Result<Action, Stop<E>> {
        let Some(around) = &self.around else {
            return self.walk(state, pass).await;
        };
        pass.enter()?;
        let post = around.prep(state, pass)?;
        let last = self.walk(state, pass).await?;
        pass.returned(post(state, last, pass.visit(0)), &self.graph.actions())
    }

    async fn walk(&self, state: &mut S, pass: Pass<'_>) -> Result<Action, Stop<E>> {
        let mut at = self.graph.start;
        let mut visits = 0;
        loop {
            let (place, step) = self.place(at);
            let path = pass.path.child(&place.name);
            let pass = pass.at(&path);
            pass.enter()?;
            if visits == pass.run.step_limit {
                return Err(pass.stop(Phase::Enter, Cause::StepLimit(visits)));
            }
            visits += 1;
            let span = debug_span!("step", %path);
            let (action, target) = self.visit(place, step, state, pass).instrument(span).await?;
            match target {
                Target::Place(next) => at = *next,
                Target::End(_) => return Ok(action),
            }
        }
    }

    /// Visits one place, records the step in the trace, and returns the action with its target.
    async fn visit<'p>(
        &self,
        place: &'p Place,
        step: &dyn Step<S, E>,
        state: &mut S,
        pass: Pass<'_>,
    ) -> Result<(Action, &'p Target), Stop<E>> {
        let began = pass.run.timer.now();
        let attempts = Attempts::default();
        let result =
            step.visit(state, pass, &attempts).await.and_then(|action| match place.next.get(&action) {
                Some(target) => Ok((action, target)),
                None => Err(pass.stop(Phase::Post, Cause::UndeclaredAction(action))),
            });
        let told = match &result {
            Ok((action, _)) => Ok(action.clone()),
            Err(stop) => Err(stop.told(self.view)),
        };
        pass.record(began, attempts, told);
        result
    }

    #[expect(clippy::indexing_slicing, reason = "indices come from the builder that filled both lists alike")]
    fn place(&self, at: usize) -> (&Place, &dyn Step<S, E>) {
        (&self.graph.places[at], &*self.steps[at])
    }
}
