//! Requests to change a workflow without new content, and what all requests have in common.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::change::Request;
use crate::{
    Result,
    conflict::{ConflictResolver, Expect},
    format::{LeaseId, WorkflowId, check_text},
};

/// A request to delete a workflow ([`crate::Store::delete`]) or to restore it ([`crate::Store::undelete`]).
/// Merging and keeping both versions do not apply to its conflicts.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    pub(super) request: Request,
}

impl ChangeRequest {
    /// Changes this workflow if its state is as `expect` says. The generation of a deleted workflow is that
    /// of its deletion.
    pub fn new(id: WorkflowId, expect: Expect) -> Self {
        Self { request: Request::new(id, expect) }
    }
}

/// The maximum length of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;

pub(super) fn check_message(request: &Request) -> Result<()> {
    check_text("message", request.message.as_deref(), MAX_MESSAGE_BYTES)
}

/// The options that every request to change a workflow has.
macro_rules! change_options {
    ($request:ident) => {
        impl $request {
            /// Sets the message for the history, at most 4,096 bytes.
            #[must_use]
            pub fn message(mut self, message: impl Into<String>) -> Self {
                self.request.message = Some(message.into());
                self
            }

            /// Makes the change under this lease: if the lease was lost, nothing is changed. Without a lease, another client's
            /// lease is a conflict.
            #[must_use]
            pub fn lease(mut self, lease: LeaseId) -> Self {
                self.request.lease = Some(lease.into());
                self
            }

            /// Sets the resolver for conflicts: a [`Policy`](crate::conflict::Policy), the caller's own, or an
            /// [`Arc`] of one, which several requests share. By default the conflict is reported, as with
            /// [`Policy::Fail`](crate::conflict::Policy::Fail).
            ///
            /// ```
            /// use pflow_store::{Expect, SaveRequest, WorkflowId, conflict::Policy};
            ///
            /// let id = WorkflowId::parse("greet")?;
            /// let request = SaveRequest::new(id, r#"{ "nodes": [] }"#, Expect::Generation(1)).resolver(Policy::Merge);
            /// # Ok::<(), pflow_store::Error>(())
            /// ```
            #[must_use]
            pub fn resolver(mut self, resolver: impl ConflictResolver + 'static) -> Self {
                self.request.resolver = Arc::new(resolver);
                self
            }

            /// Sets how long to wait in total for another client's lock, before the conflict is handled in any other
            /// way. By default the resolver decides: 30 seconds with [`Policy::Wait`](crate::conflict::Policy::Wait),
            /// no time with the other policies.
            #[must_use]
            pub fn lock_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
                self.request.lock_timeout = limit.into();
                self
            }

            /// Cancels waits for locks and calls of the resolver when the token is cancelled, with
            /// [`Error::Cancelled`](crate::Error::Cancelled) and nothing changed. A write that has begun is completed.
            #[must_use]
            pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
                self.request.cancel = token;
                self
            }
        }
    };
}

pub(super) use change_options;

change_options!(ChangeRequest);
