//! Building flows.

use std::fmt;
use std::future::ready;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::{BoxFuture, FutureExt};

use super::act::ActStep;
use super::around::Around;
use super::batch_node::{BatchNode, BatchStep};
use super::error::View;
use super::graph::{Defect, Draft, DraftPlace, END, GraphError, Kind, Target};
use super::node::{Node, NodeStep};
use super::step::Step;
use super::{Action, BatchFlow, Flow, IntoAction, IntoActions, Visit};

/// A handle of a node while its flow is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId {
    builder: u64,
    at: usize,
}

/// Builds a [`Flow`]: first its nodes, then the edges between them, then [`build`](Self::build).
///
/// The calls check nothing; `build` reports all defects at once.
pub struct FlowBuilder<S, E> {
    number: u64,
    draft: Draft,
    steps: Vec<Box<dyn Step<S, E>>>,
    around: Option<Around<S, E>>,
    view: View<E>,
}

impl<S, E> FlowBuilder<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    pub(super) fn new(name: String, view: View<E>) -> Self {
        // Distinguishes the handles of different builders; the number has no other use.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let draft = Draft {
            name,
            places: Vec::new(),
            edges: Vec::new(),
            starts: Vec::new(),
            post: None,
            defects: Vec::new(),
        };
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), draft, steps: Vec::new(), around: None, view }
    }

    /// Adds a node.
    pub fn node(&mut self, node: impl Node<S, E> + 'static) -> NodeId {
        let name = node.name().to_owned();
        self.node_as(name, node)
    }

    /// Adds a node under this name instead of its own, so that two nodes of one type can be in a flow:
    /// `flow.node_as("first", Add(1))`, `flow.node_as("second", Add(2))`.
    pub fn node_as(&mut self, name: impl Into<String>, node: impl Node<S, E> + 'static) -> NodeId {
        let actions = node.actions().to_vec();
        self.place(name.into(), actions, Kind::Node, Box::new(NodeStep { node, view: self.view }))
    }

    /// Adds a batch node.
    pub fn batch(&mut self, node: impl BatchNode<S, E> + 'static) -> NodeId {
        let name = node.name().to_owned();
        self.batch_as(name, node)
    }

    /// Adds a batch node under this name instead of its own.
    pub fn batch_as(&mut self, name: impl Into<String>, node: impl BatchNode<S, E> + 'static) -> NodeId {
        let actions = node.actions().to_vec();
        self.place(name.into(), actions, Kind::Node, Box::new(BatchStep { node, view: self.view }))
    }

    /// Adds a node that only acts: `act` takes the place of [`post`](Node::post), and there is no `prep` and
    /// no `exec`. It returns one of `actions`, or a `Result` with one; for a node without a choice they are
    /// `()`, and it returns nothing.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use pflow_store::flow::Flow;
    /// let mut flow = Flow::<i64, Infallible>::builder("countdown");
    /// let subtract = flow.act("subtract", (), |number, _| *number -= 3);
    /// let check = flow.act("check", ["again", "below_zero"], |number, _| {
    ///     if *number >= 0 { "again" } else { "below_zero" }
    /// });
    /// flow.start(subtract).chain([subtract, check]);
    /// flow.connect(check, "again", subtract).end(check, "below_zero");
    /// # flow.build().unwrap();
    /// ```
    pub fn act<R: IntoAction<E>>(
        &mut self,
        name: impl Into<String>,
        actions: impl IntoActions,
        act: impl Fn(&mut S, Visit<'_>) -> R + Send + Sync + 'static,
    ) -> NodeId {
        self.acting(name.into(), actions.into_actions(), move |state, visit| {
            Box::pin(ready(act(state, visit).into_action()))
        })
    }

    /// Adds a node that only acts, and awaits: [`act`](Self::act) with a future in a box. As
    /// [`post`](Node::post), it is not interrupted by a cancellation.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use pflow_store::flow::Flow;
    /// # async fn ask() -> i64 { 7 }
    /// # let mut flow = Flow::<i64, Infallible>::builder("example");
    /// flow.act_async("ask", (), |number, _| {
    ///     Box::pin(async move { *number = ask().await })
    /// });
    /// ```
    pub fn act_async<R: IntoAction<E> + 'static>(
        &mut self,
        name: impl Into<String>,
        actions: impl IntoActions,
        act: impl for<'a> Fn(&'a mut S, Visit<'a>) -> BoxFuture<'a, R> + Send + Sync + 'static,
    ) -> NodeId {
        self.acting(name.into(), actions.into_actions(), move |state, visit| {
            Box::pin(act(state, visit).map(IntoAction::into_action))
        })
    }

    /// Adds a flow as a node. It declares the actions that it can return.
    pub fn flow(&mut self, flow: Flow<S, E>) -> NodeId
    where
        S: 'static,
    {
        self.flow_as(flow.name().to_owned(), flow)
    }

    /// Adds a flow as a node under this name instead of its own.
    pub fn flow_as(&mut self, name: impl Into<String>, flow: Flow<S, E>) -> NodeId
    where
        S: 'static,
    {
        let graph = Arc::clone(&flow.graph);
        self.place(name.into(), graph.actions(), Kind::Flow(graph), Box::new(flow))
    }

    /// Adds a batch flow as a node. It declares only `default`, unless it has a [`post`](BatchFlow::post).
    pub fn batch_flow(&mut self, batch: BatchFlow<S, E>) -> NodeId
    where
        S: 'static,
    {
        self.batch_flow_as(batch.flow.name().to_owned(), batch)
    }

    /// Adds a batch flow as a node under this name instead of its own.
    pub fn batch_flow_as(&mut self, name: impl Into<String>, batch: BatchFlow<S, E>) -> NodeId
    where
        S: 'static,
    {
        let graph = Arc::clone(&batch.flow.graph);
        let actions = batch.actions.clone();
        self.place(name.into(), actions, Kind::BatchFlow(graph), Box::new(batch))
    }

    /// Starts the flow at this node.
    pub fn start(&mut self, node: NodeId) -> &mut Self {
        if let Some(at) = self.own(node) {
            self.draft.starts.push(at);
        }
        self
    }

    /// Makes `to` the next node when `from` returns `action`.
    pub fn connect(&mut self, from: NodeId, action: impl Into<Action>, to: NodeId) -> &mut Self {
        if let (Some(from), Some(to)) = (self.own(from), self.own(to)) {
            self.draft.edges.push((from, action.into(), Target::Place(to)));
        }
        self
    }

    /// Connects each node with the next one by `default`.
    pub fn chain(&mut self, nodes: impl IntoIterator<Item = NodeId>) -> &mut Self {
        let mut before = None;
        for node in nodes {
            if let Some(before) = before.replace(node) {
                self.connect(before, Action::DEFAULT, node);
            }
        }
        self
    }

    /// Ends the flow when `node` returns `action`. It is the flow's action too, unless the flow has a `post`
    /// of its own ([`around`](Self::around)). Drawings show it as `End`.
    pub fn end(&mut self, node: NodeId, action: impl Into<Action>) -> &mut Self {
        self.end_as(node, action, END)
    }

    /// [`end`](Self::end) with a label for drawings: `flow.end_as(check, "valid", "Saved")`.
    pub fn end_as(&mut self, node: NodeId, action: impl Into<Action>, label: impl Into<String>) -> &mut Self {
        if let Some(at) = self.own(node) {
            self.draft.edges.push((at, action.into(), Target::End(label.into())));
        }
        self
    }

    /// Gives the flow its own `prep` and `post`, as a node has them. `prep` reads the state before the first
    /// node. `post` gets the result of `prep` and the action of the flow's end, may write the state, and
    /// returns one of `actions`, which is the flow's action. A second call replaces the first.
    ///
    /// Neither awaits: what takes time belongs in a first or a last node.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use pflow_store::flow::Flow;
    /// let mut flow = Flow::<i64, Infallible>::builder("double");
    /// let double = flow.act("double", (), |number, _| *number *= 2);
    /// flow.start(double).end(double, ());
    /// flow.around(
    ///     ["grew", "shrank"],
    ///     |number, _| Ok(*number),
    ///     |number, before, _, _| if *number > before { "grew" } else { "shrank" },
    /// );
    /// # flow.build().unwrap();
    /// ```
    pub fn around<P, R>(
        &mut self,
        actions: impl IntoActions,
        prep: impl Fn(&S, Visit<'_>) -> Result<P, E> + Send + Sync + 'static,
        post: impl Fn(&mut S, P, Action, Visit<'_>) -> R + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: Send + 'static,
        R: IntoAction<E>,
    {
        self.draft.post = Some(actions.into_actions());
        self.around = Some(Around::new(prep, post));
        self
    }

    /// Builds the flow. Afterwards the builder is empty, and its handles are those of another builder.
    ///
    /// # Errors
    ///
    /// All defects of the flow: each [`Defect`] is a mistake in the program that builds it.
    pub fn build(&mut self) -> Result<Flow<S, E>, GraphError> {
        let empty = Self::new(self.draft.name.clone(), self.view);
        let Self { draft, steps, around, view, .. } = mem::replace(self, empty);
        Ok(Flow { graph: Arc::new(draft.check()?), steps, around, view })
    }

    fn acting(
        &mut self,
        name: String,
        actions: Vec<Action>,
        act: impl for<'a> Fn(&'a mut S, Visit<'a>) -> BoxFuture<'a, Result<Action, E>> + Send + Sync + 'static,
    ) -> NodeId {
        self.place(name, actions, Kind::Node, Box::new(ActStep(act)))
    }

    fn place(&mut self, name: String, actions: Vec<Action>, kind: Kind, step: Box<dyn Step<S, E>>) -> NodeId {
        let at = self.steps.len();
        self.draft.places.push(DraftPlace { name, actions, kind });
        self.steps.push(step);
        NodeId { builder: self.number, at }
    }

    /// The index of the node, unless it belongs to another builder.
    fn own(&mut self, node: NodeId) -> Option<usize> {
        if node.builder == self.number {
            return Some(node.at);
        }
        self.draft.defects.push(Defect::ForeignNode);
        None
    }
}

impl<S, E> fmt::Debug for FlowBuilder<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowBuilder").field("draft", &self.draft).finish_non_exhaustive()
    }
}
