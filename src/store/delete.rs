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

/// A workflow to be deleted.
#[derive(Debug, Clone)]
pub struct DeleteRequest(Request);

/// A deleted workflow to be brought back.
#[derive(Debug, Clone)]
pub struct UndeleteRequest(Request);

macro_rules! common_options {
    () => {
        /// Why, for the history.
        #[must_use]
        pub fn message(mut self, message: impl Into<String>) -> Self {
            self.0.message = Some(message.into());
            self
        }

        /// Under this lease: if it was lost, nothing is changed.
        #[must_use]
        pub fn lease(mut self, lease: LeaseId) -> Self {
            self.0.lease = Some(lease.into());
            self
        }

        /// Who decides about conflicts, as with [`crate::SaveRequest::resolver`]. There is nothing to merge,
        /// and nothing to keep elsewhere.
        #[must_use]
        pub fn resolver(mut self, resolver: Arc<dyn ConflictResolver>) -> Self {
            self.0.resolver = resolver;
            self
        }

        /// How long to wait for a lock, as with [`crate::SaveRequest::lock_timeout`].
        #[must_use]
        pub fn lock_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
            self.0.lock_timeout = limit.into();
            self
        }

        /// Ends waits and questions, as with [`crate::SaveRequest::cancelled_by`].
        #[must_use]
        pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
            self.0.cancel = token;
            self
        }
    };
}

impl DeleteRequest {
    /// This workflow, if it is what `expect` says.
    pub fn new(id: WorkflowId, expect: Expect) -> Self {
        Self(Request::new(id, expect))
    }

    common_options!();
}

impl UndeleteRequest {
    /// This workflow, if it is what `expect` says. The generation of a deleted workflow is that of its
    /// deletion.
    pub fn new(id: WorkflowId, expect: Expect) -> Self {
        Self(Request::new(id, expect))
    }

    common_options!();
}

impl Store {
    /// Deletes a workflow: a new generation says so, and `workflow.json` goes. Its versions stay, so it can
    /// be brought back. Deleting what is deleted changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::WorkflowMissing`] where there has never been one; otherwise as [`Store::save`].
    pub async fn delete(&self, request: DeleteRequest) -> Result<Saved> {
        check_message(request.0.message.as_deref())?;
        self.change(request.0, Task::Delete).await
    }

    /// Brings a deleted workflow back as a new generation with the content it had. One that is not deleted
    /// stays as it is.
    ///
    /// # Errors
    /// [`crate::Error::WorkflowMissing`] where there has never been one, [`crate::Error::GenerationMissing`] if its content was pruned;
    /// otherwise as [`Store::save`].
    pub async fn undelete(&self, request: UndeleteRequest) -> Result<Saved> {
        check_message(request.0.message.as_deref())?;
        self.change(request.0, Task::Undelete).await
    }
}
