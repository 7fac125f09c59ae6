//! Paths to the places where two documents differ.

use std::fmt;
use std::sync::Arc;

use crate::document::{is_identifier, quoted};

/// The path from the root of a document to a value. Nodes are named by their ids and edges by what they
/// connect, so that a path means the same in every version of the workflow.
///
/// It is displayed as `nodes[id=fetch].params.url`, with long names cut; [`steps`](Self::steps) has the full
/// names. Paths share their prefixes, so that many paths take little memory.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(Option<Arc<Joint>>);

#[derive(PartialEq, Eq, Hash)]
struct Joint {
    parent: Path,
    step: Step,
}

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The value of an object under this key.
    Key(String),
    /// The node with this id in a list of nodes.
    Node(String),
    /// An edge in a list of edges.
    Edge(EdgeName),
    /// A tag in a list of tags.
    Tag {
        /// The tag.
        tag: String,
        /// Its position among equal tags, from 0.
        nth: usize,
    },
    /// The order of a list of nodes, not one of its elements.
    Order,
    /// Some lines of a text.
    Lines {
        /// The first of them, from 1: in the new version if it is about a change, in the common ancestor if
        /// it is about an overlap.
        first: usize,
    },
}

/// The identity of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EdgeName {
    /// The node that it leaves.
    pub from: String,
    /// Its action: `action`, else `condition`, else `default`.
    pub action: String,
    /// The node that it leads to, and its position among equal edges, from 0. Only set if some version has
    /// several edges for this action of this node; otherwise the target is a value that an edit may change.
    pub to: Option<(String, usize)>,
}

impl Path {
    /// The path of the document itself.
    pub const ROOT: Self = Self(None);

    /// The path extended by one step.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        Self(Some(Arc::new(Joint { parent: self.clone(), step })))
    }

    /// The path of the value under `key`.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.join(Step::Key(key.into()))
    }

    /// The path of the enclosing value; none for the root.
    pub fn parent(&self) -> Option<&Self> {
        self.0.as_ref().map(|joint| &joint.parent)
    }

    /// The last step; none for the root.
    pub fn last(&self) -> Option<&Step> {
        self.0.as_ref().map(|joint| &joint.step)
    }

    /// All steps, from the root on.
    pub fn steps(&self) -> Vec<&Step> {
        let mut steps: Vec<&Step> =
            std::iter::successors(self.0.as_deref(), |joint| joint.parent.0.as_deref())
                .map(|joint| &joint.step)
                .collect();
        steps.reverse();
        steps
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps();
        if steps.is_empty() {
            return f.write_str("the document");
        }
        for (nth, step) in steps.into_iter().enumerate() {
            match step {
                Step::Key(key) if !is_identifier(key) => write!(f, "[{}]", quoted(key))?,
                Step::Key(key) if nth == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Node(id) => write!(f, "[id={}]", Word(id))?,
                Step::Edge(EdgeName { from, action, to }) => {
                    write!(f, "[from={},action={}", Word(from), Word(action))?;
                    if let Some((to, nth)) = to {
                        write!(f, ",to={}", Word(to))?;
                        again(f, *nth)?;
                    }
                    f.write_str("]")?;
                }
                Step::Tag { tag, nth } => {
                    write!(f, "[{}", Word(tag))?;
                    again(f, *nth)?;
                    f.write_str("]")?;
                }
                Step::Order => f.write_str(" (order)")?,
                Step::Lines { first } => write!(f, " (line {first})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

/// The position among equal elements, counted from 1, unless it is the first.
fn again(f: &mut fmt::Formatter<'_>, nth: usize) -> fmt::Result {
    if nth > 0 { write!(f, " #{}", nth + 1) } else { Ok(()) }
}

/// A name, in quotes if it could be misread.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !self.0.is_empty() && self.0.len() <= 64 && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            f.write_str(&quoted(self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(to: Option<(&str, usize)>) -> Path {
        let to = to.map(|(to, nth)| (to.to_owned(), nth));
        let name = EdgeName { from: "a".to_owned(), action: "on error".to_owned(), to };
        Path::ROOT.key("edges").join(Step::Edge(name))
    }

    #[test]
    fn paths_are_displayed_readably() {
        let nodes = Path::ROOT.key("ir").key("nodes");
        for (path, shown) in [
            (Path::ROOT, "the document"),
            (
                nodes.join(Step::Node("fetch".to_owned())).key("params").key("url"),
                "ir.nodes[id=fetch].params.url",
            ),
            (nodes.join(Step::Node("a b\u{1b}".to_owned())), r#"ir.nodes[id="a b\u{1b}"]"#),
            (nodes.join(Step::Order), "ir.nodes (order)"),
            (Path::ROOT.key("a key").key("b"), r#"["a key"].b"#),
            (Path::ROOT.key("tags").join(Step::Tag { tag: "etl".to_owned(), nth: 0 }), "tags[etl]"),
            (Path::ROOT.key("tags").join(Step::Tag { tag: "".to_owned(), nth: 1 }), r#"tags["" #2]"#),
            (edge(None), r#"edges[from=a,action="on error"]"#),
            (edge(Some(("b", 0))), r#"edges[from=a,action="on error",to=b]"#),
            (edge(Some(("b", 1))), r#"edges[from=a,action="on error",to=b #2]"#),
        ] {
            assert_eq!(path.to_string(), shown);
        }
    }
}
