//! Three-way structural merge of workflows, and the differences between two.
//!
//! A change is found by comparing a side with the common ancestor, value by value. Values are named by the
//! keys that lead to them, as in RFC 6902 and RFC 7396. A value that only one side changed is taken from that
//! side; a value that both changed in the same way is taken once; a value that both changed differently is an
//! [`Overlap`], listed with all three values and never decided here.
//!
//! | what | identified by | merged |
//! | --- | --- | --- |
//! | objects, including `params` | keys | key by key |
//! | `nodes`, at the top and in `ir` | `id` | node by node, and their order as one value |
//! | `edges`, at the same places | `from` and action | edge by edge; if an action of a node has several edges, also by `to` |
//! | `tags`, at the same places and in `metadata` | text | as a set |
//! | any other list, strings, numbers | | as a whole |
//!
//! - If one side removes what the other changes, that is an overlap. If an edge, or `start_node`, leads to a
//!   node that the other side removed, that is an overlap.
//! - Edges are a set. They are identified by node and action because pflow follows one edge for an action: if
//!   both sides give a node different successors for the same action, that is an overlap, and not a workflow
//!   of which pflow silently follows one edge. If some version has several edges for an action, edges to
//!   different nodes are different elements.
//! - If both sides add a value under one name, it overlaps wherever the two differ, because an addition
//!   cannot be distinguished from an omission. Only for `nodes edges tags params inputs outputs mappings` a
//!   missing ancestor counts as empty.
//! - The order of nodes, and the start node (the first node, unless `start_node` names one), are values like
//!   any other.
//! - Strings are equal whatever their escapes. Numbers are equal only if they are spelled alike: `1.0` and
//!   `1` are different numbers in most languages, and no digit is ever lost.
//! - **Neither side is preferred**: exchanging them exchanges the names in the overlaps and changes no byte
//!   of a clean merge. So two stores that merge the same versions get the same document.
//! - Values keep the text of the side that they come from. Only the text between them is new, if an object or
//!   list has members of both sides: it follows the style of the side that changed it (indentation, line
//!   ends, space after colons). If all values come from one side, the result is that side's document, byte
//!   for byte.
//! - An invalid merged document is never returned: [`Merge::Refused`].

mod bounds;
mod fields;
mod fragment;
mod json;
mod markdown;
mod order;
mod path;
mod three;
mod whole;

use std::fmt;

use crate::document::{Document, DocumentError, Limits, MediaType, quoted};

pub use bounds::{MAX_COMPARED_BYTES, TooMuch};
pub use fields::merge_fields;
pub(crate) use fields::tags_fit;
pub use fragment::Fragment;
pub use path::{EdgeName, Path, Step};
pub use three::Side;

/// The result of a merge.
#[derive(Debug, Clone)]
pub enum Merge {
    /// The edits of both sides, in a valid document.
    Clean(Document),
    /// Both sides changed the same places differently: at least one overlap, in the order of the merged
    /// document, those of the graph last. A person decides.
    Overlapping(Vec<Overlap>),
    /// No two edits overlap, but the merged document is not valid, for example because it is too large. A
    /// person decides.
    Refused(DocumentError),
    /// The documents are too large to be merged at once, and were not read. A person decides.
    TooMuch(TooMuch),
}

/// A place that both sides changed differently.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overlap {
    /// The place.
    pub path: Path,
    /// How the edits conflict.
    pub clash: Clash,
    /// The value in the common ancestor; none if it has none, or if there is no ancestor.
    pub base: Option<Fragment>,
    /// Our value; none if there is none.
    pub ours: Option<Fragment>,
    /// Their value; none if there is none.
    pub theirs: Option<Fragment>,
}

/// How two edits conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clash {
    /// Both sides changed the value, one perhaps by removing it. Without an ancestor: the sides differ.
    Value,
    /// One side has an edge or a start that names a node which the other side removed.
    RemovedNode {
        /// The node.
        id: String,
        /// The side that removed it.
        by: Side,
    },
    /// Both sides reordered the nodes. The values are the ids of the nodes that all versions have.
    Order,
    /// The merged edits would start the workflow at a node that neither side intended. The values are the ids
    /// of the start nodes.
    Start,
}

/// One difference between two documents.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The place.
    pub path: Path,
    /// The old value; none if it was added.
    pub before: Option<Fragment>,
    /// The new value; none if it was removed.
    pub after: Option<Fragment>,
}

/// Merges the edits of two sides since `base`. Without a base every difference is an overlap.
///
/// The time and memory are in proportion to the size, whatever the shape of the documents. Three of 16 MiB
/// take about a second and some hundred MiB: an async caller should merge large documents on a thread that may
/// block. A merged document is checked against `limits`; a result that equals the document of one side is
/// returned as it is, whatever its size.
pub fn merge(base: Option<&Document>, ours: &Document, theirs: &Document, limits: &Limits) -> Merge {
    let same = |a: Option<&Document>, b: &Document| {
        a.is_some_and(|a| a.bytes() == b.bytes() && a.media_type() == b.media_type())
    };
    if same(base, ours) || same(Some(ours), theirs) {
        return Merge::Clean(theirs.clone());
    }
    if same(base, theirs) {
        return Merge::Clean(ours.clone());
    }
    // Without a base of the same format every difference is an overlap.
    let base = base.filter(|base| base.media_type() == ours.media_type());
    let kind = Kind::of([ours, theirs]);
    if let Kind::Whole = kind {
        return whole::merge(base, ours, theirs);
    }
    if let Err(too_much) = bounds::check(base.into_iter().chain([ours, theirs])) {
        return Merge::TooMuch(too_much);
    }
    match kind {
        Kind::Markdown => markdown::merge(base, ours, theirs, limits),
        Kind::Json | Kind::Whole => json::merge(base, ours, theirs, limits),
    }
}

/// Lists the changes from `before` to `after`, in document order: additions and changes in the order of
/// `after`, removals at the end of the object or list that they were in. Two documents with equal values have
/// no differences, however they are written.
///
/// It takes up to about a second, like [`merge`].
///
/// # Errors
///
/// The documents are too large to be compared at once.
pub fn changes(before: &Document, after: &Document) -> Result<Vec<Change>, TooMuch> {
    if before.bytes() == after.bytes() && before.media_type() == after.media_type() {
        return Ok(Vec::new());
    }
    let kind = Kind::of([before, after]);
    if let Kind::Whole = kind {
        return Ok(whole::changes(before, after));
    }
    bounds::check([before, after])?;
    Ok(match kind {
        Kind::Markdown => markdown::changes(before, after),
        Kind::Json | Kind::Whole => json::changes(before, after),
    })
}

/// How documents are compared.
enum Kind {
    Json,
    Markdown,
    Whole,
}

impl Kind {
    fn of(documents: [&Document; 2]) -> Self {
        let [first, second] = documents.map(Document::media_type);
        match first {
            _ if first != second => Self::Whole,
            MediaType::Json | MediaType::OtherJson => Self::Json,
            MediaType::PflowMarkdown => Self::Markdown,
            MediaType::Opaque => Self::Whole,
        }
    }
}

/// The text of a document, which is always UTF-8. If it were not, the merged result would be empty, which is
/// not a valid document.
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
