use super::plan::Basis;
use crate::{
    document::{ContentHash, Document},
    format::{Given, LeaseId, Operation},
    store::copy::CopyState,
};

/// What a resolver has agreed to.
///
/// Invariant: each part names what the resolver was shown, and holds for that alone. So nothing is built
/// upon, kept or taken away that nobody was asked about, however the ground moves between the answer and the
/// swap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agreed {
    /// The generation that the change may build on, whatever the caller expected. Generations never come
    /// back.
    pub(crate) on_top_of: Option<u64>,
    /// What is saved in place of what the caller gave, on top of that generation.
    pub(crate) instead: Option<Instead>,
    /// A person's edit, which becomes a version before anything is written over it.
    pub(crate) edit: Option<Document>,
    /// The live lease of somebody else that is taken away.
    pub(crate) lease: Option<LeaseId>,
}

/// A document that takes the place of the caller's: a merged one, or the edit that is left to stand.
#[derive(Debug, Clone)]
pub(crate) struct Instead {
    pub(crate) document: Document,
    /// What is given beside it, exactly; none: what was given before, as for any save that gives nothing.
    pub(crate) given: Option<Given>,
    pub(crate) operation: Operation,
    /// The edit that went into it, by the hash of the whole file.
    pub(crate) of_edit: Option<ContentHash>,
}

impl Agreed {
    /// Whether the change may be built on this, whatever was expected.
    pub(crate) fn covers(&self, basis: &Basis) -> bool {
        self.on_top_of == Some(basis.stored.head.generation())
            && self.instead.as_ref().is_none_or(|instead| instead.holds(basis))
    }

    /// What is saved in place of the caller's document.
    pub(crate) fn instead(&self, basis: &Basis) -> Option<&Instead> {
        self.instead.as_ref().filter(|_| self.covers(basis))
    }

    /// The edit that is there and shall become a version.
    pub(crate) fn edit(&self, basis: &Basis) -> Option<&Document> {
        self.edit.as_ref().filter(|edit| edited(basis) == Some(edit.hash()))
    }
}

impl Instead {
    /// What an edit went into is of no use once the edit is another one or gone. One that knows of no edit is
    /// judged as the caller's own would be.
    fn holds(&self, basis: &Basis) -> bool {
        self.of_edit.is_none() || self.of_edit == edited(basis)
    }
}

/// The hash of a person's edit, if there is one.
pub(crate) fn edited(basis: &Basis) -> Option<ContentHash> {
    match basis.copy {
        CopyState::Edited(_, found) => Some(found),
        _ => None,
    }
}
