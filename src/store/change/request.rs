use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    conflict::{ConflictResolver, Expect, Goal, Policy},
    document::DocumentFormat,
    format::{LeaseRef, WorkflowId},
    lock::LeaseClaim,
};

/// The goal of a change whose document is not parsed yet.
pub(crate) type Task = Goal<Unread>;

/// A document that is not parsed yet.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    pub(crate) content: Bytes,
    /// None if the format is to be detected.
    pub(crate) format: Option<DocumentFormat>,
}

/// The caller's request, without the [`Task`].
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: WorkflowId,
    pub(crate) expect: Expect,
    /// The lease that the caller holds.
    pub(crate) lease: Option<LeaseRef>,
    /// The lease that the caller requests along with the change.
    pub(crate) hold: Option<LeaseClaim>,
    pub(crate) message: Option<String>,
    /// Decides conflicts.
    pub(crate) resolver: Arc<dyn ConflictResolver>,
    /// How long to wait for locks of other clients; if not set, the resolver decides.
    pub(crate) lock_timeout: Option<Duration>,
    /// Ends waits and questions to the resolver, never a write.
    pub(crate) cancel: CancellationToken,
}

impl Request {
    pub(crate) fn new(id: WorkflowId, expect: Expect) -> Self {
        let (lease, hold, message, lock_timeout, cancel) = Default::default();
        let resolver = Arc::new(Policy::Fail);
        Self { id, expect, lease, hold, message, resolver, lock_timeout, cancel }
    }
}
