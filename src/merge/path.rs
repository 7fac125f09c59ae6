//! Where in a workflow two documents differ.

use std::fmt;
use std::sync::Arc;

use crate::document::{is_identifier, quoted};

/// The way from the root of a document to a value, with nodes named by their ids and edges by what they
/// connect, so that it means the same in every version of the workflow.
///
/// Shown as `nodes[id=fetch].params.url`; long names are cut there, in [`steps`](Self::steps) they are not.
/// Paths share their beginnings, so that many of them take little memory.
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
    /// Into an object, to the value under this key.
    Key(String),
    /// Into a list of nodes, to the one with this id.
    Node(String),
    /// Into a list of edges.
    Edge(EdgeName),
    /// Into a list of tags.
    Tag {
        /// The tag.
        tag: String,
        /// Which of several equal ones, from 0.
        nth: usize,
    },
    /// Of a list of nodes not its elements but the order in which they stand.
    Order,
}

/// What tells an edge from the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EdgeName {
    /// The node that it leaves.
    pub from: String,
    /// The action that it is taken for: `action`, else `condition`, else `default`.
    pub action: String,
    /// Where it leads, and which of several equal edges it is, from 0. Only where some version has several
    /// edges for this action of this node; elsewhere its end is a value that an edit may change.
    pub to: Option<(String, usize)>,
}

impl Path {
    /// The path of the document itself.
    pub const ROOT: Self = Self(None);

    /// The path of what lies one step further.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        Self(Some(Arc::new(Joint { parent: self.clone(), step })))
    }

    /// The path of what is under `key`.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.join(Step::Key(key.into()))
    }

    /// The path of what it is in; none for the root.
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

/// Which of several equal ones, counted as people do, if it is not the first.
fn again(f: &mut fmt::Formatter<'_>, nth: usize) -> fmt::Result {
    if nth > 0 { write!(f, " #{}", nth + 1) } else { Ok(()) }
}

/// A name as it is, or in quotes where it could be misread.
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
    fn paths_are_shown_as_people_would_write_them() {
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
