//! Three-way structural merge of workflows, and what differs between two.
//!
//! A change is told by comparing a side with the common ancestor, value by value, as RFC 6902 and RFC 7396
//! name values: by the keys that lead to them. What only one side changed is taken from it; what both changed
//! alike is taken once; what both changed differently is an [`Overlap`], listed with all three values and
//! never decided here.
//!
//! | what | told apart by | merged |
//! | --- | --- | --- |
//! | objects, `params` among them | keys | key by key |
//! | `nodes`, at the top and in `ir` | `id` | node by node, and their order as one value |
//! | `edges`, at the same places | `from` and action | edge by edge; where an action of a node has several edges, also by `to` |
//! | `tags`, there and in `metadata` | text | as a set |
//! | any other list, strings, numbers | | as a whole |
//!
//! - One side removes what the other changes: an overlap. An edge, or `start_node`, that leads to a node
//!   which the other side removed: an overlap.
//! - Edges are a set whose elements are told apart by what they leave, because pflow follows one edge for an
//!   action: two sides that each give a node another successor for it overlap, rather than to make a workflow
//!   that takes one of them silently. Where some version has several edges for an action, edges to different
//!   nodes are different elements.
//! - What both sides add under one name overlaps wherever the two differ, because nothing tells an addition
//!   from an omission. Only `nodes edges tags params inputs outputs mappings` that the ancestor lacks count
//!   as empty there.
//! - The order of nodes and the node that a workflow starts at (the first, where `start_node` does not say)
//!   are values like any other.
//! - Strings are equal whatever their escapes, numbers only if they are spelled alike: `1.0` and `1` are
//!   different numbers in most languages, and no digit is ever lost.
//! - **Neither side is preferred**: exchanging them exchanges the names in the overlaps and changes no byte
//!   of a clean merge. So two stores that merge the same versions come to the same document.
//! - Values keep the text of the side that they come from. What is new is the text between them, where an
//!   object or list has members of both sides: it follows the style of the side that changed it (indentation,
//!   line ends, space after colons). A merge whose values are those of one side is that side's document, byte
//!   for byte.
//! - A merged document that is not valid is never given out: [`Merge::Refused`].

mod align;
mod bounds;
mod combine;
mod cursor;
mod diff;
mod fields;
mod fragment;
mod graph;
mod merged;
mod path;
mod style;
mod text;
mod three;
mod value;
mod write;

use std::fmt;

use crate::document::{Document, DocumentError, Limits, quoted};

pub use bounds::{MAX_COMPARED_BYTES, MAX_EFFORT, TooMuch};
pub use fields::{Fields, merge_fields};
pub use fragment::Fragment;
pub use path::{EdgeName, Path, Step};
pub use three::Side;

use combine::Merger;
use three::Three;
use value::Value;

/// What became of a merge.
#[derive(Debug, Clone)]
pub enum Merge {
    /// The edits of both sides, in a valid document.
    Clean(Document),
    /// Both sides changed the same things differently: at least one, in the order of the merged document,
    /// those of the graph last. A person decides.
    Overlapping(Vec<Overlap>),
    /// No two edits overlap, but together they make no valid document: it got too large, for example. A
    /// person decides.
    Refused(DocumentError),
    /// They are too large to be merged at once, and were not looked into. A person decides.
    TooMuch(TooMuch),
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
    /// A side has an edge or a start that names a node which the other one removed.
    RemovedNode {
        /// The node.
        id: String,
        /// Who removed it.
        by: Side,
    },
    /// Both sides put the nodes into another order. The values are the ids of the nodes that all have.
    Order,
    /// Together the edits would start the workflow at another node than either side meant. The values are the
    /// ids of the nodes that the workflow starts at.
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
/// Takes up to some seconds and some hundred MiB for what is just not [`TooMuch`]: an async caller merges
/// large documents on a thread that may block. A merged document is held against `limits`; one that a side
/// has already is given back as it is, whatever its size.
pub fn merge(base: Option<&Document>, ours: &Document, theirs: &Document, limits: &Limits) -> Merge {
    let same = |a: Option<&Document>, b: &Document| a.is_some_and(|a| a.bytes() == b.bytes());
    if same(base, ours) || same(Some(ours), theirs) {
        return Merge::Clean(theirs.clone());
    }
    if same(base, theirs) {
        return Merge::Clean(ours.clone());
    }
    if let Err(too_much) = bounds::check(base.into_iter().chain([ours, theirs])) {
        return Merge::TooMuch(too_much);
    }
    let texts = Three { base, ours: Some(ours), theirs: Some(theirs) }.map(|document| document.map(text_of));
    let values = texts.map(|text| text.map(Value::read));
    let roots =
        Three { base: values.base.as_ref(), ours: values.ours.as_ref(), theirs: values.theirs.as_ref() };
    // Whichever it is, it is the same one when the sides are exchanged.
    let leader = if ours.bytes() <= theirs.bytes() { Side::Ours } else { Side::Theirs };
    let mut merger = Merger { leader, overlaps: Vec::new() };
    let merged = merger.root(roots);
    graph::judge(&mut merger, &merged, roots);
    if !merger.overlaps.is_empty() {
        return Merge::Overlapping(merger.overlaps);
    }
    match write::write(&merged, texts, leader, limits.max_bytes) {
        Err(Side::Ours) => Merge::Clean(ours.clone()),
        Err(Side::Theirs) => Merge::Clean(theirs.clone()),
        Ok(text) => Document::parse(text, limits).map_or_else(Merge::Refused, Merge::Clean),
    }
}

/// What makes `after` out of `before`, in the order of the documents: additions and changes where they stand
/// in `after`, removals at the end of the object or list that they left. Two documents that say the same have
/// none, however they are written.
///
/// Takes up to some seconds, as [`merge`] does.
///
/// # Errors
///
/// They are too large to be compared at once.
pub fn changes(before: &Document, after: &Document) -> Result<Vec<Change>, TooMuch> {
    if before.bytes() == after.bytes() {
        return Ok(Vec::new());
    }
    bounds::check([before, after])?;
    Ok(diff::changes(&Value::read(text_of(before)), &Value::read(text_of(after))))
}

/// A document is UTF-8; were it not, nothing of it would be merged, and nothing is no valid document.
fn text_of(document: &Document) -> &str {
    std::str::from_utf8(document.bytes()).unwrap_or_default()
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, clash, base, ours, theirs } = self;
        write!(f, "{path}: ")?;
        if let Clash::RemovedNode { id, by } = clash {
            return write!(f, "{} leads to {}, which {by} removed", by.other(), quoted(id));
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
