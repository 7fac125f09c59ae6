use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    conflict::{ChangeKind, ConflictResolver, Expect, Policy, Wanted},
    document::Document,
    format::{Given, LeaseRef, WorkflowId},
    lock::LeaseRequest,
};

/// What a caller asks for, but for the [`Task`].
#[derive(Debug, Clone)]
pub(in crate::store) struct Request {
    pub(in crate::store) id: WorkflowId,
    pub(in crate::store) expect: Expect,
    /// The lease that the caller holds.
    pub(in crate::store) lease: Option<LeaseRef>,
    /// The lease that the caller wants along with the change.
    pub(in crate::store) hold: Option<LeaseRequest>,
    pub(in crate::store) message: Option<String>,
    /// Decides about conflicts.
    pub(in crate::store) resolver: Arc<dyn ConflictResolver>,
    /// How long locks of others are waited for; the resolver's own idea of it unless set.
    pub(in crate::store) lock_timeout: Option<Duration>,
    /// Ends waits and questions, never a write.
    pub(in crate::store) cancel: CancellationToken,
}

/// What a change is to do.
#[derive(Debug, Clone)]
pub(in crate::store) enum Task {
    /// Save this, with what is given beside it. The content is not read yet.
    Save {
        content: Bytes,
        given: Given,
    },
    Delete,
    Undelete,
}

/// What a change makes of the workflow: a [`Task`] whose content is a document.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    Save { document: Box<Document>, given: Given },
    Delete,
    Undelete,
}

impl Request {
    pub(in crate::store) fn new(id: WorkflowId, expect: Expect) -> Self {
        let (lease, hold, message, lock_timeout, cancel) = Default::default();
        let resolver = Arc::new(Policy::Fail);
        Self { id, expect, lease, hold, message, resolver, lock_timeout, cancel }
    }
}

impl Goal {
    pub(super) fn kind(&self) -> ChangeKind {
        match self {
            Self::Save { .. } => ChangeKind::Save,
            Self::Delete => ChangeKind::Delete,
            Self::Undelete => ChangeKind::Undelete,
        }
    }

    pub(super) fn is_save(&self) -> bool {
        matches!(self, Self::Save { .. })
    }

    pub(super) fn wanted(&self) -> Wanted {
        match self {
            Self::Save { document, .. } => Wanted::Save(document.as_ref().clone()),
            Self::Delete => Wanted::Delete,
            Self::Undelete => Wanted::Undelete,
        }
    }
}
