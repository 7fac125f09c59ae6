use super::{ChangeRequest, Saved, Store, change::Task, request::check_message};
use crate::{Result, format::VersionRef};

impl Store {
    /// Merges another stored version of a workflow into the current one, without a person's choice.
    ///
    /// The result follows from the two versions alone. Every client that merges the same two makes the same
    /// version, byte for byte, in this store or in another one; `docs/format.md` has the rules. Nothing is
    /// changed if the other version is an ancestor of the current one.
    ///
    /// The request's message does not apply: a version that follows from its parents has no author and no
    /// message of its own.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] if both sides changed the same places, if the other version was built on the
    /// current one, or if a lock or an edit is in the way; [`crate::Error::Corrupt`] if a version that is
    /// needed is missing or damaged; otherwise as [`Store::save`].
    pub async fn merge_version(&self, request: ChangeRequest, with: VersionRef) -> Result<Saved> {
        check_message(&request.request)?;
        self.change(request.request, Task::Merge(with)).await
    }
}
