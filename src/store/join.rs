use super::{ChangeRequest, Saved, Store, change::Task};
use crate::{Error, Result, format::VersionRef};

impl Store {
    /// Merges another stored version of a workflow into the current one, without a person's choice.
    ///
    /// The result follows from the two versions alone. Every client that merges the same two makes the same
    /// version, byte for byte, in this store or in another one; `docs/format.md` has the rules. Nothing is
    /// changed if the other version is an ancestor of the current one.
    ///
    /// `with` is a version that was current in a store: one that a head or a record names. The object of a version
    /// that lost its race may be removed by its writer at any time.
    ///
    /// A version that follows from its parents has no author and no message of its own.
    ///
    /// # Errors
    /// [`crate::Error::InvalidField`] for a request with a message; [`crate::Error::GenerationMissing`] if the
    /// store does not have the version `with`, or if a content was pruned; [`crate::Error::Conflict`] if both
    /// sides changed the same places, if the other version was built on the current one, or if another client's
    /// lock or a person's edit does not permit it; [`crate::Error::Corrupt`] if a version that is needed is missing
    /// or damaged; otherwise as [`Store::save`].
    pub async fn merge_version(&self, request: ChangeRequest, with: VersionRef) -> Result<Saved> {
        if request.request.message.is_some() {
            let reason = "a merge of two stored versions has none".to_owned();
            return Err(Error::InvalidField { field: "message", reason });
        }
        self.change(request.request, Task::Merge(with)).await
    }
}
