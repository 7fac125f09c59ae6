use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    conflict::{ChangeKind, ConflictResolver, Expect, Policy, Wanted},
    document::Document,
    format::{Given, LeaseRef, WorkflowId},
    lock::Claim,
};

/// What a caller asks for, but for the [`Task`].
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: WorkflowId,
    pub(crate) expect: Expect,
    /// The lease that the caller holds.
    pub(crate) lease: Option<LeaseRef>,
    /// The lease that the caller wants along with the change.
    pub(crate) hold: Option<Claim>,
    pub(crate) message: Option<String>,
    /// Decides about conflicts.
    pub(crate) resolver: Arc<dyn ConflictResolver>,
    /// How long locks of others are waited for; the resolver's own idea of it unless set.
    pub(crate) lock_timeout: Option<Duration>,
    /// Ends waits and questions, never a write.
    pub(crate) cancel: CancellationToken,
}

/// What a change is to do.
#[derive(Debug, Clone)]
pub(crate) enum Task {
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
pub(crate) enum Goal {
    Save { document: Box<Document>, given: Given },
    Delete,
    Undelete,
}

impl Request {
    pub(crate) fn new(id: WorkflowId, expect: Expect) -> Self {
        let (lease, hold, message, lock_timeout, cancel) = Default::default();
        let resolver = Arc::new(Policy::Fail);
        Self { id, expect, lease, hold, message, resolver, lock_timeout, cancel }
    }
}

impl Goal {
    pub(crate) fn kind(&self) -> ChangeKind {
        match self {
            Self::Save { .. } => ChangeKind::Save,
            Self::Delete => ChangeKind::Delete,
            Self::Undelete => ChangeKind::Undelete,
        }
    }

    pub(crate) fn is_save(&self) -> bool {
        matches!(self, Self::Save { .. })
    }

    pub(crate) fn wanted(&self) -> Wanted {
        match self {
            Self::Save { document, .. } => Wanted::Save(document.as_ref().clone()),
            Self::Delete => Wanted::Delete,
            Self::Undelete => Wanted::Undelete,
        }
    }
}
