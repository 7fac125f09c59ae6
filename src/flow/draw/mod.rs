//! Drawings of a flow. The walk over the graph is the same for both languages; a [`Pen`] writes one of them.
//!
//! Every flow has a start mark, and one end for each label. An edge into a nested flow goes to its start
//! mark. An edge out of it begins at the ends that return the edge's action; at all ends if the flow has a
//! `post`, which decides. A nested batch flow returns to its start mark after every pass, so edges out of it
//! begin there.

mod dot;
mod mermaid;

use std::collections::BTreeSet;

use super::Action;
use super::graph::{Graph, Kind, Place, Target};

pub(super) use dot::dot;
pub(super) use mermaid::mermaid;

/// A drawing of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drawing {
    /// The name of the flow.
    pub name: String,
    /// The flow as a Mermaid flowchart.
    pub mermaid: String,
    /// The flow in Graphviz' DOT language.
    pub dot: String,
}

/// Writes the parts of a drawing in one language. Ids are letters and digits; all other text is escaped.
trait Pen {
    fn open(&mut self, id: &str, name: &str, batch: bool);
    fn start(&mut self, id: &str);
    fn node(&mut self, id: &str, name: &str);
    fn end(&mut self, id: &str, label: &str);
    fn edge(&mut self, from: &str, action: Option<&Action>, to: &str);
    fn close(&mut self);
}

/// Draws the inside of a flow. All its ids begin with `id`.
fn draw(pen: &mut impl Pen, graph: &Graph, id: &str) {
    pen.start(&mark(id));
    for (at, place) in graph.places.iter().enumerate() {
        let inside = place_id(id, at);
        match &place.kind {
            Kind::Node => pen.node(&inside, &place.name),
            Kind::Flow(inner) | Kind::BatchFlow(inner) => {
                pen.open(&inside, &place.name, matches!(place.kind, Kind::BatchFlow(_)));
                draw(pen, inner, &inside);
                pen.close();
            }
        }
    }
    let labels = end_labels(graph);
    for (number, label) in labels.iter().enumerate() {
        pen.end(&end_id(id, number), label);
    }
    pen.edge(&mark(id), None, &head(graph, id, graph.start));
    for (at, place) in graph.places.iter().enumerate() {
        for (action, target) in &place.next {
            let to = match target {
                Target::Place(next) => head(graph, id, *next),
                Target::End(label) => end_id(id, number_of(&labels, label)),
            };
            for from in tails(place, &place_id(id, at), action) {
                pen.edge(&from, Some(action), &to);
            }
        }
    }
}

/// The id at which an edge to this place ends.
fn head(graph: &Graph, id: &str, at: usize) -> String {
    let inside = place_id(id, at);
    match graph.places.get(at).map(|place| &place.kind) {
        Some(Kind::Flow(_) | Kind::BatchFlow(_)) => mark(&inside),
        _ => inside,
    }
}

/// The ids at which the edges for this action begin.
fn tails(place: &Place, id: &str, action: &Action) -> Vec<String> {
    match &place.kind {
        Kind::Node => vec![id.to_owned()],
        Kind::BatchFlow(_) => vec![mark(id)],
        Kind::Flow(inner) => {
            let labels = end_labels(inner);
            // A flow's own `post` may return any of its actions after every end.
            let returning =
                inner.places.iter().flat_map(|place| &place.next).filter_map(|(end, target)| match target {
                    Target::End(label) if inner.post.is_some() || end == action => {
                        Some(number_of(&labels, label))
                    }
                    _ => None,
                });
            let numbers: BTreeSet<_> = returning.collect();
            numbers.into_iter().map(|number| end_id(id, number)).collect()
        }
    }
}

/// The labels of a flow's ends, each once, in the order of the places and actions that lead there.
fn end_labels(graph: &Graph) -> Vec<&str> {
    let mut labels = Vec::new();
    for target in graph.places.iter().flat_map(|place| place.next.values()) {
        match target {
            Target::End(label) if !labels.contains(&label.as_str()) => labels.push(label.as_str()),
            _ => {}
        }
    }
    labels
}

fn number_of(labels: &[&str], label: &str) -> usize {
    labels.iter().take_while(|known| **known != label).count()
}

fn mark(id: &str) -> String {
    format!("{id}s")
}

fn place_id(id: &str, at: usize) -> String {
    format!("{id}n{at}")
}

fn end_id(id: &str, number: usize) -> String {
    format!("{id}e{number}")
}

/// Text of indented lines.
struct Page {
    text: String,
    depth: usize,
}

impl Page {
    fn line(&mut self, line: &str) {
        for _ in 0..self.depth {
            self.text.push_str("    ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}
