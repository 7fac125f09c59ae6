use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Saved, Store,
    change::{Request, Task},
    save::check_message,
};
use crate::{
    Result,
    conflict::{ConflictResolver, Expect},
    format::{LeaseId, WorkflowId},
};

/// A request to delete a workflow.
#[derive(Debug, Clone)]
pub struct DeleteRequest(Request);

/// A request to restore a deleted workflow.
#[derive(Debug, Clone)]
pub struct UndeleteRequest(Request);

macro_rules! common_options {
    () => {
        /// Sets the message for the history.
        #[must_use]
        pub fn message(mut self, message: impl Into<String>) -> Self {
            self.0.message = Some(message.into());
            self
        }

        /// Makes the change under this lease: if the lease was lost, nothing is changed.
        #[must_use]
        pub fn lease(mut self, lease: LeaseId) -> Self {
            self.0.lease = Some(lease.into());
            self
        }

        /// Sets the resolver for conflicts, as with [`crate::SaveRequest::resolver`]. Merging and keeping
        /// both do not apply.
        #[must_use]
        pub fn resolver(mut self, resolver: impl ConflictResolver + 'static) -> Self {
            self.0.resolver = Arc::new(resolver);
            self
        }

        /// Sets how long to wait for a lock, as with [`crate::SaveRequest::lock_timeout`].
        #[must_use]
        pub fn lock_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
            self.0.lock_timeout = limit.into();
            self
        }

        /// Cancels waits and questions, as with [`crate::SaveRequest::cancelled_by`].
        #[must_use]
        pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
            self.0.cancel = token;
            self
        }
    };
}

impl DeleteRequest {
    /// Deletes this workflow if its state is as `expect` says.
    pub fn new(id: WorkflowId, expect: Expect) -> Self {
        Self(Request::new(id, expect))
    }

    common_options!();
}

impl UndeleteRequest {
    /// Restores this workflow if its state is as `expect` says. The generation of a deleted workflow is that
    /// of its deletion.
    pub fn new(id: WorkflowId, expect: Expect) -> Self {
        Self(Request::new(id, expect))
    }

    common_options!();
}

impl Store {
    /// Deletes a workflow: adds a generation that marks the deletion, and removes `workflow.json`. The
    /// versions stay, so the workflow can be restored. Deleting a deleted workflow changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::WorkflowMissing`] if the workflow has never existed; otherwise as [`Store::save`].
    pub async fn delete(&self, request: DeleteRequest) -> Result<Saved> {
        check_message(request.0.message.as_deref())?;
        self.change(request.0, Task::Delete).await
    }

    /// Restores a deleted workflow as a new generation with its last content. A workflow that is not deleted
    /// is not changed.
    ///
    /// # Errors
    /// [`crate::Error::WorkflowMissing`] if the workflow has never existed,
    /// [`crate::Error::GenerationMissing`] if its content was pruned; otherwise as [`Store::save`].
    pub async fn undelete(&self, request: UndeleteRequest) -> Result<Saved> {
        check_message(request.0.message.as_deref())?;
        self.change(request.0, Task::Undelete).await
    }
}
