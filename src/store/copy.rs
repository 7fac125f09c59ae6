//! The copy of the current content that people look at, held against the history.

use pflow_backend::{Object, Version};

use crate::{
    Result,
    document::ContentHash,
    stored::{Head, Objects},
};

/// What stands in `workflow.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CopyState {
    /// Nothing: not written yet, or taken away.
    Absent,
    /// The current content.
    Current(Version),
    /// The content of an earlier version: a crash, or a writer that is still busy, left it behind.
    Lagging(Version),
    /// Bytes that no version has: a person's edit. It must not be overwritten.
    Edited(Version, ContentHash),
}

impl CopyState {
    /// Judges `copy` by the history of `head`.
    ///
    /// The head must have been read **after** the copy, or both be what one reader saw with no other head since. A writer swaps the
    /// head first and refreshes the copy after, so a copy newer than that head cannot be seen.
    pub(super) async fn of(objects: &Objects, head: &Head, copy: Option<&Object>) -> Result<Self> {
        let Some(copy) = copy else { return Ok(Self::Absent) };
        let (version, hash) = (copy.meta.version.clone(), ContentHash::of(&copy.bytes));
        if head.current.as_ref().is_some_and(|current| current.record.hash == Some(hash)) {
            Ok(Self::Current(version))
        } else if chain_has(objects, head, hash).await? {
            Ok(Self::Lagging(version))
        } else {
            Ok(Self::Edited(version, hash))
        }
    }

    /// What a write of the copy must name so that it overwrites nothing but what was judged.
    pub(super) fn version(&self) -> Option<&Version> {
        match self {
            Self::Absent => None,
            Self::Current(version) | Self::Lagging(version) | Self::Edited(version, _) => Some(version),
        }
    }
}

/// Whether some version of the chain has this content. Asks the head first and walks the records only for what it has forgotten. What cannot
/// be read is not known: then the copy counts as an edit, which is never overwritten.
async fn chain_has(objects: &Objects, head: &Head, hash: ContentHash) -> Result<bool> {
    let Some(current) = &head.current else { return Ok(false) };
    let mut oldest = None;
    for ancestor in current.lineage() {
        if ancestor.hash == Some(hash) {
            return Ok(true);
        }
        oldest = Some(ancestor);
    }
    let Some(oldest) = oldest else { return Ok(false) };
    let mut walk = objects.walk(&head.id, &oldest);
    while let Some(version) = walk.parent(objects).await? {
        if version.record.hash == Some(hash) {
            return Ok(true);
        }
    }
    Ok(false)
}
