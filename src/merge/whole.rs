//! Documents that are compared as a whole: of a format without parts, or of two formats.

use serde_json::Value;

use super::{Change, Clash, Fragment, Merge, Overlap, Path};
use crate::document::Document;

/// Merges documents that differ: both sides changed the whole.
pub(super) fn merge(base: Option<&Document>, ours: &Document, theirs: &Document) -> Merge {
    Merge::Overlapping(vec![Overlap {
        path: Path::ROOT,
        clash: Clash::Value,
        base: base.map(described),
        ours: Some(described(ours)),
        theirs: Some(described(theirs)),
    }])
}

/// Lists the change from one document to another one: the whole.
pub(super) fn changes(before: &Document, after: &Document) -> Vec<Change> {
    vec![Change { path: Path::ROOT, before: Some(described(before)), after: Some(described(after)) }]
}

/// Describes a content instead of showing it: it may be long, and it may be no text.
fn described(document: &Document) -> Fragment {
    let text = format!("{} bytes of {}, {}", document.size(), document.media_type(), document.hash());
    Fragment::written(&Value::String(text))
}
