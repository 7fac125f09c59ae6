//! Building flows.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::batch_node::{BatchNode, BatchStep};
use super::error::View;
use super::graph::{Defect, Draft, DraftPlace, GraphError, Kind, Target};
use super::node::{Node, NodeStep};
use super::step::Step;
use super::{Action, BatchFlow, Flow};

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
        let draft =
            Draft { name, places: Vec::new(), edges: Vec::new(), starts: Vec::new(), defects: Vec::new() };
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), draft, steps: Vec::new(), view }
    }

    /// Adds a node.
    pub fn node(&mut self, node: impl Node<S, E> + 'static) -> NodeId {
        let (name, actions) = (node.name().to_owned(), node.actions().to_vec());
        self.place(name, actions, Kind::Node, Box::new(NodeStep { node, view: self.view }))
    }

    /// Adds a batch node.
    pub fn batch(&mut self, node: impl BatchNode<S, E> + 'static) -> NodeId {
        let (name, actions) = (node.name().to_owned(), node.actions().to_vec());
        self.place(name, actions, Kind::Node, Box::new(BatchStep { node, view: self.view }))
    }

    /// Adds a flow as a node. It declares the actions that it can end with.
    pub fn flow(&mut self, flow: Flow<S, E>) -> NodeId
    where
        S: 'static,
    {
        let graph = Arc::clone(&flow.graph);
        self.place(graph.name.clone(), graph.end_actions(), Kind::Flow(graph), Box::new(flow))
    }

    /// Adds a batch flow as a node. It declares only `default`.
    pub fn batch_flow(&mut self, batch: BatchFlow<S, E>) -> NodeId
    where
        S: 'static,
    {
        let graph = Arc::clone(&batch.flow.graph);
        let actions = Action::DEFAULT_ONLY.to_vec();
        self.place(graph.name.clone(), actions, Kind::BatchFlow(graph), Box::new(batch))
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

    /// Ends the flow when `node` returns `action`; the flow's final action is the same. The label is shown in
    /// drawings.
    pub fn end(&mut self, node: NodeId, action: impl Into<Action>, label: impl Into<String>) -> &mut Self {
        if let Some(at) = self.own(node) {
            self.draft.edges.push((at, action.into(), Target::End(label.into())));
        }
        self
    }

    /// Builds the flow.
    ///
    /// # Errors
    ///
    /// All defects of the flow: each [`Defect`] is a mistake in the program that builds it.
    pub fn build(self) -> Result<Flow<S, E>, GraphError> {
        Ok(Flow { graph: Arc::new(self.draft.check()?), steps: self.steps, view: self.view })
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
