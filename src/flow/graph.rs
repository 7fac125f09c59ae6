//! The graph of a flow without its nodes' work: it is checked when a flow is built, and drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::Action;

/// A checked graph: every declared action has a target and every place can be reached from the start.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) start: usize,
    pub(super) places: Vec<Place>,
    /// The actions that the flow's own `post` declares, if it has one. It may return any of them after every
    /// end.
    pub(super) post: Option<Vec<Action>>,
}

#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The targets of exactly the declared actions.
    pub(super) next: BTreeMap<Action, Target>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Node,
    Flow(Arc<Graph>),
    BatchFlow(Arc<Graph>),
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Place(usize),
    /// The flow ends here; the label is for people.
    End(String),
}

/// The label of an end that has none of its own.
pub(super) const END: &str = "End";

impl Graph {
    /// A flow of one node, all of whose actions end it.
    pub(super) fn single(name: String, actions: &[Action]) -> Self {
        let next = actions.iter().map(|action| (action.clone(), Target::End(END.to_owned()))).collect();
        let place = Place { name: name.clone(), kind: Kind::Node, next };
        Self { name, start: 0, places: vec![place], post: None }
    }

    /// The actions that a pass of this flow can return.
    pub(super) fn actions(&self) -> Vec<Action> {
        if let Some(actions) = &self.post {
            return actions.clone();
        }
        let ends =
            self.places.iter().flat_map(|place| &place.next).filter_map(|(action, target)| match target {
                Target::End(_) => Some(action.clone()),
                Target::Place(_) => None,
            });
        ends.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// An unchecked graph, with its defects.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) places: Vec<DraftPlace>,
    /// Edges: from where, on which action, to where. All places named here exist.
    pub(super) edges: Vec<(usize, Action, Target)>,
    pub(super) starts: Vec<usize>,
    /// The actions that the flow's own `post` declares.
    pub(super) post: Option<Vec<Action>>,
    /// Defects that were found while it was built.
    pub(super) defects: Vec<Defect>,
}

#[derive(Debug)]
pub(super) struct DraftPlace {
    pub(super) name: String,
    pub(super) actions: Vec<Action>,
    pub(super) kind: Kind,
}

/// One defect of a flow.
#[derive(Clone, Debug, Error, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
#[non_exhaustive]
pub enum Defect {
    /// A node handle came from another builder, so the call with it had no effect.
    #[error("a node of another flow is used")]
    ForeignNode,
    /// No start was named.
    #[error("there is no start")]
    MissingStart,
    /// The start was named more than once.
    #[error("there is more than one start")]
    SeveralStarts,
    /// Two nodes have the same name, so errors and traces could not distinguish them.
    #[error("there is more than one node `{node}`")]
    DuplicateName { node: String },
    /// A node, or the flow's own `post`, has an empty list of actions. A nested flow without an end has none.
    #[error("`{node}` declares no actions")]
    NoActions { node: String },
    /// The flow has a `post` of its own, and no end that leads to it.
    #[error("the flow's `post` is never called, because the flow has no end")]
    PostWithoutEnd,
    /// The action needs an edge, or must be declared as an end.
    #[error("action `{action}` of node `{node}` leads nowhere")]
    LeadsNowhere { node: String, action: Action },
    /// An edge or an end for an action that the node can never return.
    #[error("node `{node}` does not declare action `{action}`, which an edge leaves it on")]
    UndeclaredAction { node: String, action: Action },
    /// Two edges or ends for one action.
    #[error("action `{action}` of node `{node}` leads to more than one place")]
    DuplicateEdge { node: String, action: Action },
    /// No path from the start leads to the node.
    #[error("node `{node}` cannot be reached from the start")]
    Unreachable { node: String },
}

/// A flow that cannot be built. The program that builds it must be corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphError {
    /// The name of the flow.
    pub flow: String,
    /// All its defects, never empty; each defect once.
    pub defects: Vec<Defect>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defects: Vec<_> = self.defects.iter().map(ToString::to_string).collect();
        write!(f, "Failed to build flow `{}`: {}", self.flow, defects.join("; "))
    }
}

impl std::error::Error for GraphError {}

impl Draft {
    /// Returns the graph if it has no defects.
    pub(super) fn check(self) -> Result<Graph, GraphError> {
        let mut defects: BTreeSet<Defect> = self.defects.iter().cloned().collect();
        defects.extend(self.misnamed());
        defects.extend(self.mute());
        if self.post.is_some() && !self.edges.iter().any(|(_, _, target)| matches!(target, Target::End(_))) {
            defects.insert(Defect::PostWithoutEnd);
        }
        defects.extend(self.misled());
        match self.starts.as_slice() {
            // Without a start everything is unreachable; reporting that would not help.
            [] => drop(defects.insert(Defect::MissingStart)),
            [_] => defects.extend(self.unreachable()),
            _ => {
                defects.insert(Defect::SeveralStarts);
                defects.extend(self.unreachable());
            }
        }
        match self.starts.first() {
            Some(&start) if defects.is_empty() => Ok(self.into_graph(start)),
            _ => Err(GraphError { flow: self.name, defects: defects.into_iter().collect() }),
        }
    }

    /// Finds names of more than one place.
    fn misnamed(&self) -> impl Iterator<Item = Defect> {
        let mut names = BTreeSet::new();
        let again = self.places.iter().filter(move |place| !names.insert(place.name.as_str()));
        again.map(|place| Defect::DuplicateName { node: place.name.clone() })
    }

    /// Finds places without actions, and a `post` without actions under the name of the flow.
    fn mute(&self) -> impl Iterator<Item = Defect> {
        let places = self.places.iter().map(|place| (&place.name, &place.actions));
        let post = self.post.iter().map(|actions| (&self.name, actions));
        let mute = places.chain(post).filter(|(_, actions)| actions.is_empty());
        mute.map(|(name, _)| Defect::NoActions { node: name.clone() })
    }

    /// Finds actions that do not have exactly one target, and edges for undeclared actions.
    fn misled(&self) -> Vec<Defect> {
        let mut edges: BTreeMap<(usize, &Action), usize> = BTreeMap::new();
        for (from, action, _) in &self.edges {
            *edges.entry((*from, action)).or_default() += 1;
        }
        let mut defects = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            for action in &place.actions {
                if !edges.contains_key(&(at, action)) {
                    defects.push(Defect::LeadsNowhere { node: place.name.clone(), action: action.clone() });
                }
            }
            // `Action` has no smallest value to start a range at, so this scans all edges.
            for (&(_, action), &count) in edges.iter().filter(|((from, _), _)| *from == at) {
                let (node, action) = (place.name.clone(), action.clone());
                if count > 1 {
                    defects.push(Defect::DuplicateEdge { node: node.clone(), action: action.clone() });
                }
                if !place.actions.contains(&action) {
                    defects.push(Defect::UndeclaredAction { node, action });
                }
            }
        }
        defects
    }

    /// Finds places that cannot be reached from any start.
    fn unreachable(&self) -> impl Iterator<Item = Defect> {
        let mut reached = BTreeSet::new();
        let mut ahead = self.starts.clone();
        while let Some(at) = ahead.pop() {
            if reached.insert(at) {
                ahead.extend(self.edges.iter().filter_map(|(from, _, target)| match target {
                    Target::Place(to) if *from == at => Some(*to),
                    _ => None,
                }));
            }
        }
        let missed = self.places.iter().enumerate().filter(move |(at, _)| !reached.contains(at));
        missed.map(|(_, place)| Defect::Unreachable { node: place.name.clone() })
    }

    fn into_graph(self, start: usize) -> Graph {
        let mut places: Vec<_> = self
            .places
            .into_iter()
            .map(|place| Place { name: place.name, kind: place.kind, next: BTreeMap::new() })
            .collect();
        for (from, action, target) in self.edges {
            if let Some(place) = places.get_mut(from) {
                place.next.insert(action, target);
            }
        }
        Graph { name: self.name, start, places, post: self.post }
    }
}
