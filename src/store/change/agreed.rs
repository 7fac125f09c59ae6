use super::plan::Basis;
use crate::{
    document::{ContentHash, Document},
    format::{LeaseId, Operation, SourcedFields, VersionId},
    store::copy::{CopyState, EditedCopy},
};

/// The consent of a resolver.
///
/// Invariant: each part names what the resolver was shown, and is valid for that state alone. So if the state
/// changes between the answer and the swap, nothing is overwritten, kept or taken away without the resolver's
/// consent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agreed {
    /// The current version that the change may build on, whatever the caller expected; the inner none is a
    /// workflow without a version.
    pub(crate) on_top_of: Option<Option<VersionId>>,
    /// The document to save instead of the caller's, on top of that version.
    pub(crate) instead: Option<Instead>,
    /// A person's edit. It becomes a version before anything is written over it.
    pub(crate) edit: Option<Document>,
    /// The live lease of another client that may be broken.
    pub(crate) lease: Option<LeaseId>,
}

/// A document that replaces the caller's: a merged one, or the edit that is accepted as the next version.
#[derive(Debug, Clone)]
pub(crate) struct Instead {
    pub(crate) document: Document,
    /// The exact fields; none: those that were given before stay, as for any save that gives nothing.
    pub(crate) fields: Option<SourcedFields>,
    pub(crate) operation: Operation,
    /// The edit that the document contains, by the hash of the whole file.
    pub(crate) of_edit: Option<ContentHash>,
}

impl Agreed {
    /// Whether the change may build on `basis`, whatever the caller expected.
    pub(crate) fn covers(&self, basis: &Basis) -> bool {
        self.on_top_of == Some(current_id(basis))
            && self.instead.as_ref().is_none_or(|instead| instead.holds(basis))
    }

    /// Returns the document to save instead of the caller's.
    pub(crate) fn instead(&self, basis: &Basis) -> Option<&Instead> {
        self.instead.as_ref().filter(|_| self.covers(basis))
    }

    /// Returns the edit in `basis` that is to become a version.
    pub(crate) fn edit(&self, basis: &Basis) -> Option<&Document> {
        self.edit.as_ref().filter(|edit| edited(basis).map(|found| found.hash) == Some(edit.hash()))
    }
}

impl Instead {
    /// Whether the consent still fits: a document that contains an edit is void once the edit has changed or
    /// is gone. A document without an edit is treated like the caller's own.
    fn holds(&self, basis: &Basis) -> bool {
        self.of_edit.is_none() || self.of_edit == edited(basis).map(|found| found.hash)
    }
}

/// Returns the id of the current version; none if there is none.
pub(crate) fn current_id(basis: &Basis) -> Option<VersionId> {
    basis.stored.head.current.as_ref().map(|current| current.record.version_id)
}

/// Returns a person's edit, if there is one: of the working copy, or else a file under its next name.
pub(crate) fn edited(basis: &Basis) -> Option<&EditedCopy> {
    match (&basis.copy, &basis.target) {
        (CopyState::Edited(_, found), _) => Some(found),
        (_, Some(target)) => Some(&target.found),
        (_, None) => None,
    }
}
