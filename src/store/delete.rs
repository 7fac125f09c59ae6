use super::{ChangeRequest, Saved, Store, change::Task, request::check_message};
use crate::Result;

impl Store {
    /// Deletes a workflow: adds a generation that marks the deletion, and removes the working copy. The
    /// versions stay, so the workflow can be restored. Deleting a deleted workflow changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::WorkflowMissing`] if the workflow has never existed; otherwise as [`Store::save`].
    pub async fn delete(&self, request: ChangeRequest) -> Result<Saved> {
        check_message(&request.request)?;
        self.change(request.request, Task::Delete).await
    }

    /// Restores a deleted workflow as a new generation with its last content. A workflow that is not deleted
    /// is not changed.
    ///
    /// # Errors
    /// [`crate::Error::WorkflowMissing`] if the workflow has never existed,
    /// [`crate::Error::GenerationMissing`] if its content was pruned; otherwise as [`Store::save`].
    pub async fn undelete(&self, request: ChangeRequest) -> Result<Saved> {
        check_message(&request.request)?;
        self.change(request.request, Task::Undelete).await
    }
}
