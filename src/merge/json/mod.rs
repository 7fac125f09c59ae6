//! The merge of JSON documents.
//!
//! A value is a range of the text, and is read only when it is needed: a value that one side left alone is
//! compared as text and taken; an object or list is split into its parts once, where both sides changed it.

mod align;
mod combine;
mod cost;
mod cursor;
mod diff;
mod graph;
mod merged;
mod pair;
mod style;
pub(super) mod text;
mod value;
mod write;

#[cfg(test)]
mod cost_tests;

use super::three::{Side, Three};
use super::{Change, Merge, text_of};
use crate::document::{Document, Limits, MediaType};

pub(super) use combine::Merger;
pub(super) use cursor::{Cursor, Source};
pub(super) use merged::View;
pub(super) use value::{Role, Value};

/// Merges documents that differ. They are not larger than [`MAX_COMPARED_BYTES`](super::MAX_COMPARED_BYTES).
pub(super) fn merge(base: Option<&Document>, ours: &Document, theirs: &Document, limits: &Limits) -> Merge {
    let texts = Three { base, ours: Some(ours), theirs: Some(theirs) }.map(|document| document.map(text_of));
    let sources = texts.map(|text| text.map(Source::new));
    let role = role(ours);
    let roots =
        sources.as_ref().map(|source| source.as_ref().map(|source| Value::root(source).in_role(role)));
    // The choice does not depend on which side is called ours.
    let leader = if ours.bytes() <= theirs.bytes() { Side::Ours } else { Side::Theirs };
    let mut merger = Merger::new(leader);
    let merged = merger.root(roots);
    if role == Role::Document {
        graph::judge(&mut merger, &merged);
    }
    if !merger.overlaps.is_empty() {
        return Merge::Overlapping(merger.overlaps);
    }
    let written = write::write(&merged, texts, leader, limits.max_bytes);
    // They may take more memory than the result.
    drop(merged);
    drop(sources);
    match written {
        Err(Side::Ours) => Merge::Clean(ours.clone()),
        Err(Side::Theirs) => Merge::Clean(theirs.clone()),
        Ok(text) => ours.read_like_this(text, limits).map_or_else(Merge::Refused, Merge::Clean),
    }
}

/// Lists the changes between documents of this size.
pub(super) fn changes(before: &Document, after: &Document) -> Vec<Change> {
    let (role, before, after) = (role(after), Source::new(text_of(before)), Source::new(text_of(after)));
    diff::changes(Value::root(&before).in_role(role), Value::root(&after).in_role(role))
}

/// The role of the root. No rule of pflow applies to the JSON of another tool: its lists are merged as
/// wholes, and it has no graph.
fn role(document: &Document) -> Role {
    if document.media_type() == MediaType::Json { Role::Document } else { Role::Other }
}
